"""Writes test/fixtures/evaluation-statistics.json: bootstrap intervals by scipy, McNemar's exact test by statsmodels and scipy,
expected calibration error by torchmetrics and numpy.

Made with Python 3, scipy 1.17.1, statsmodels 0.15.0, torchmetrics 1.9.0, scikit-learn 1.9.1 and numpy 2.4.6:
    python test/reference/evaluation-statistics.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
import statsmodels
import torch
import torchmetrics
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from statsmodels.stats.contingency_tables import mcnemar
from torchmetrics.functional.classification import multiclass_calibration_error

warnings.simplefilter("ignore")
random = np.random.default_rng(6)
CLASSES = 5
RESAMPLES = 10_000
METRICS = ("wa", "ua", "wf1", "macro_f1")


def figures(references, predictions):
    """The four metrics by plain counting, quick enough for a bootstrap; held to scikit-learn below."""
    table = np.zeros((CLASSES, CLASSES + 1))
    np.add.at(table, (references, predictions), 1)  # -1, no answer, is the last column
    hits, support, predicted = np.diag(table), table.sum(axis=1), table[:, :CLASSES].sum(axis=0)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    here = support > 0
    return {
        "wa": hits.sum() / support.sum(),
        "ua": (hits[here] / support[here]).mean(),
        "wf1": (f1 * support).sum() / support.sum(),
        "macro_f1": f1[support + predicted > 0].mean(),
    }


def check_figures(references, predictions):
    ours = figures(references, predictions)
    occurring = sorted((set(references.tolist()) | set(predictions.tolist())) - {-1})
    theirs = {
        "wa": accuracy_score(references, predictions),
        "ua": balanced_accuracy_score(references, predictions),
        "wf1": f1_score(references, predictions, labels=range(CLASSES), average="weighted", zero_division=0),
        "macro_f1": f1_score(references, predictions, labels=occurring, average="macro", zero_division=0),
    }
    for metric in METRICS:
        assert abs(ours[metric] - theirs[metric]) < 1e-12, metric


def end(distribution, share):
    """A quantile, and the standard error that the number of resamples leaves it."""
    step = np.sqrt(share * (1 - share) / RESAMPLES)
    low, value, high = np.quantile(distribution, [share - step, share, share + step])
    return {"value": float(value), "error": float((high - low) / 2)}


def interval(result):
    low, high = end(result.bootstrap_distribution, 0.025), end(result.bootstrap_distribution, 0.975)
    assert abs(low["value"] - result.confidence_interval.low) < 1e-12
    assert abs(high["value"] - result.confidence_interval.high) < 1e-12
    return {"low": low, "high": high}


def percentile(units, statistic):
    return stats.bootstrap(
        (units,), statistic, vectorized=False, method="percentile", n_resamples=RESAMPLES, rng=random
    )


def predictions_of(references, share):
    wrong = random.random(len(references)) < share
    return np.where(wrong, random.integers(0, CLASSES, len(references)), references)


def bootstrap_case():
    # Class 4 is so rare that some resamples lack it, and speakers are right to very different degrees.
    n, speakers = 180, 24
    references = random.choice(CLASSES - 1, n, p=[0.5, 0.2, 0.17, 0.13])
    references[random.choice(n, 3, replace=False)] = 4
    assert sum(4 not in references[random.integers(0, n, n)] for _ in range(1000)) > 20
    speaker = random.integers(0, speakers, n)
    skill = random.uniform(0.1, 0.9, speakers)
    first = np.where(random.random(n) < skill[speaker], references, random.integers(0, CLASSES, n))
    first[random.random(n) < 0.05] = -1
    second = np.where(random.random(n) < 0.7, first, predictions_of(references, 0.3))
    for predictions in (first, second):
        check_figures(references, predictions)
    members = [np.flatnonzero(speaker == each) for each in range(speakers)]
    assert all(len(each) > 0 for each in members)

    def drawn(units):
        return np.concatenate([members[int(unit)] for unit in units])

    by_utterance, by_speaker, paired = {}, {}, {}
    for metric in METRICS:
        by_utterance[metric] = interval(
            percentile(np.arange(n), lambda rows: figures(references[rows], first[rows])[metric])
        )

        def of_speakers(units):
            rows = drawn(units)
            return figures(references[rows], first[rows])[metric]

        by_speaker[metric] = interval(percentile(np.arange(speakers), of_speakers))
        found = percentile(
            np.arange(n),
            lambda rows: figures(references[rows], second[rows])[metric] - figures(references[rows], first[rows])[metric],
        )
        differences = found.bootstrap_distribution
        share = min((differences < 1e-12).mean(), (differences > -1e-12).mean())
        paired[metric] = {
            **interval(found),
            "p": {"value": float(2 * share), "error": float(2 * np.sqrt(share * (1 - share) / RESAMPLES))},
        }
    return {
        "classes": CLASSES,
        "resamples": RESAMPLES,
        "references": references.tolist(),
        "speakers": speaker.tolist(),
        "first": first.tolist(),
        "second": second.tolist(),
        "byUtterance": by_utterance,
        "bySpeaker": by_speaker,
        "paired": paired,
    }


def mcnemar_cases():
    cases = []
    pairs = [(0, 0), (1, 0), (3, 3), (2, 9), (25, 10), (480, 560), (3000, 3300), (6200, 7000), (400_000, 402_500)]
    for b, c in pairs:
        p = stats.binomtest(b, b + c, 0.5).pvalue if b + c > 0 else 1.0
        theirs = mcnemar([[50, b], [c, 7]], exact=True).pvalue if b + c > 0 else 1.0
        assert abs(p - theirs) <= 1e-12 * max(p, 1e-300) or abs(p - theirs) < 1e-14, (b, c, p, theirs)
        cases.append({"onlyFirst": b, "onlySecond": c, "p": float(p)})
    # So far out that the terms underflow one by one where they are not taken together.
    cases.append({"onlyFirst": 40, "onlySecond": 900, "p": float(stats.binomtest(40, 940, 0.5).pvalue)})
    return cases


def ece(confidence, right, bins=15):
    """Guo et al. (2017), eqs. 2 and 3: bins (m - 1) / M < confidence <= m / M."""
    total = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(total)


def calibration_cases():
    cases = []
    for name, n, classes, sharpness in (("flat", 90, 7, 0.3), ("sharp", 140, 4, 4.0), ("two classes", 60, 2, 1.0)):
        logits = sharpness * random.normal(size=(n, classes))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        references = random.integers(0, classes, n)
        value = ece(probabilities.max(axis=1), probabilities.argmax(axis=1) == references)
        theirs = multiclass_calibration_error(
            torch.tensor(probabilities), torch.tensor(references), num_classes=classes, n_bins=15, norm="l1"
        )
        assert abs(value - float(theirs)) < 1e-6
        cases.append({"name": name, "probabilities": probabilities.tolist(), "references": references.tolist(), "ece": value})
    # Confidences on the edges of bins, which belong to the bin below, and ties, where the first class wins.
    edges = [[1.0, 0.0], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2], [10 / 15, 5 / 15], [0.6, 0.4], [0.2, 0.8]]
    references = [0, 1, 1, 0, 0, 0, 1]
    probabilities = np.array(edges)
    value = ece(probabilities.max(axis=1), probabilities.argmax(axis=1) == np.array(references))
    cases.append({"name": "edges and ties", "probabilities": edges, "references": references, "ece": value})
    return cases


def main():
    path = Path(__file__).parent.parent / "fixtures" / "evaluation-statistics.json"
    modules = {"scipy": scipy, "statsmodels": statsmodels, "torchmetrics": torchmetrics, "scikit-learn": sklearn, "numpy": np}
    content = {
        "versions": {name: module.__version__ for name, module in modules.items()},
        "bootstrap": bootstrap_case(),
        "mcnemar": mcnemar_cases(),
        "calibration": calibration_cases(),
    }
    path.write_text(json.dumps(content) + "\n")
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
