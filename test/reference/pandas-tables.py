"""Writes test/fixtures/pandas: a corpus in many dialects, a predictions file, and tables that are no CSV.

Made with Python 3, pandas 3.1.1, numpy 2.4.6, openpyxl 3.1.5 and pyarrow 26.0.1:
    python test/reference/pandas-tables.py
"""

from pathlib import Path

import numpy
import pandas

folder = Path(__file__).parent.parent / "fixtures" / "pandas"
folder.mkdir(exist_ok=True)

corpus = pandas.DataFrame(
    {
        "path": ["clips/one.wav", "clips/one.wav", "clips/zwei, \"drei\".wav", "clips/fünf;x.wav"],
        "label": ["happy", "sad", "happy", "sad"],
        "text": ["Yes, it is; indeed.", numpy.nan, "Grüße\taus \"Köln\"", "two\nlines"],
        "speaker": ["ann", "ann", "bob", "cyd"],
        "start": pandas.to_timedelta(["0s", "1.5s", None, None]),
        "end": pandas.to_timedelta(["1.5s", "62.25s", None, None]),
        "split": ["training", "training", "Validation", "testing"],
    }
)
corpus.to_csv(folder / "plain.csv", index=False)
corpus.to_csv(folder / "index.csv")
corpus.to_csv(folder / "semicolon.csv", index=False, sep=";", decimal=",")
corpus.to_csv(folder / "tab.tsv", index=False, sep="\t")
corpus.to_csv(folder / "utf-16.csv", index=False, encoding="utf-16", sep="\t", lineterminator="\r\n")
corpus.to_csv(folder / "utf-8-sig.csv", index=False, encoding="utf-8-sig", na_rep="NaN")
pandas.read_csv(folder / "index.csv").to_csv(folder / "index-twice.csv")
seconds = corpus.assign(
    start=corpus["start"].dt.total_seconds(), end=corpus["end"].dt.total_seconds()
)
seconds.to_csv(folder / "seconds.csv", index=False)
seconds.to_csv(folder / "seconds-comma.csv", index=False, sep=";", decimal=",", na_rep="nan")

probabilities = numpy.array([[1.0000001, -1e-9], [0.25, 0.75], [1e-05, 0.99999]])
predictions = pandas.DataFrame(
    {
        "id": ["a", "b", "c"],
        "reference": ["happy", "sad", None],
        "label": ["happy", "sad", "sad"],
        "prob_happy": probabilities[:, 0],
        "prob_sad": probabilities[:, 1],
    }
)
predictions.to_csv(folder / "predictions.csv", index=False)
predictions.to_csv(folder / "predictions-comma.csv", sep=";", decimal=",", encoding="utf-16")
predictions.to_json(folder / "predictions.jsonl", orient="records", lines=True)
predictions.to_json(folder / "predictions.json", orient="records")

corpus[["path", "label"]].to_excel(folder / "sheet.xlsx", index=False)
corpus[["path", "label"]].to_parquet(folder / "frame.parquet")
corpus[["path", "label"]].to_csv(folder / "packed.csv.gz", index=False)
