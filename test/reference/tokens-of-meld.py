"""Makes test/fixtures/text/meld-tokens.json: hashes of the token ids that the Python tokenizers library gives to every
utterance of MELD with Qwen2.5's real tokenizer: the transcript, and the whole prompt around the audio slot; and the
transcript with the RoBERTa tokenizer of tokenizers-of-text.py. The fixture holds no text of the corpus.

What is hashed. A transcript is the CSV's Utterance, a speaker its Speaker, without white space around them; in a prompt
their runs of white space are one space. (This release of the CSVs is clean UTF-8, which is asserted, so emoq's repair
of Windows-1252 characters changes nothing in them.) A list of ids counts as its length and its ids, a prompt as its
length, the slot's position and its ids, all as little-endian int32; each hundred utterances of a split, in the file's
order, have one SHA-256 for each kind, of which the first 16 hexadecimal digits are kept.

The prompt is put together here, from the texts of emoq's template: as one string with the turn tokens' names in it,
which the library reads, cut at <AUDIO>, between whose parts comes the padding token.

Made with Python 3.11, tokenizers 0.23.3. Run from the repository root after `npm run build` and tokenizers-of-text.py:
    EMOQ_REAL_DATA=FOLDER python test/reference/tokens-of-meld.py
FOLDER holds qwen2.5-tokenizer/tokenizer.json and meld/{train,dev,test}_sent_emo.csv. Without it nothing is made.
"""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from array import array
from pathlib import Path

from tokenizers import Tokenizer

LABELS = ["neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear"]
KINDS = ["transcript", "prompt", "roberta"]
CHUNK = 100
PAD = "<|endoftext|>"
TEMPLATE = """
const { DEFAULT_PROMPT } = await import(process.cwd() + '/dist/data/text/index.js');
process.stdout.write(JSON.stringify(DEFAULT_PROMPT));
"""

if "EMOQ_REAL_DATA" not in os.environ:
    print("EMOQ_REAL_DATA is not set: test/fixtures/text/meld-tokens.json stays as it is")
    sys.exit(0)
data = Path(os.environ["EMOQ_REAL_DATA"])
qwen = Tokenizer.from_file(str(data / "qwen2.5-tokenizer" / "tokenizer.json"))
roberta = Tokenizer.from_file("test/fixtures/text/roberta/tokenizer.json")
node = subprocess.run(["node", "--input-type=module", "-e", TEMPLATE], check=True, capture_output=True)
template = json.loads(node.stdout)


def rows_of(split: str) -> list[dict]:
    text = (data / "meld" / f"{split}_sent_emo.csv").read_bytes().decode("utf-8")
    assert not re.search("[\x80-\xa0\ufeff]", text), "this copy needs repair before it is hashed"
    return list(csv.DictReader(text.splitlines(keepends=True)))


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def prompt_parts(speaker: str, transcript: str) -> list[str]:
    """The prompt's text before the slot and after it."""
    assert speaker and transcript and "<|" not in speaker + transcript and "<AUDIO>" not in transcript
    system = template["system"].replace("{labels}", ", ".join(LABELS))
    before, after = (
        part.replace("{speaker}", speaker, 1).replace("{transcript}", transcript, 1)
        for part in template["user"].split("<AUDIO>")
    )
    return [
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{before}",
        f"{after}<|im_end|>\n<|im_start|>assistant\n{template['answer']}",
    ]


def prompt_record(parts: list[str]) -> list[int]:
    before, after = (qwen.encode(part, add_special_tokens=False).ids for part in parts)
    return [len(before) + 1 + len(after), len(before), *before, qwen.token_to_id(PAD), *after]


def record(ids: list[int]) -> list[int]:
    return [len(ids), *ids]


def digest(records: list[list[int]]) -> str:
    numbers = array("i", [number for one in records for number in one])
    assert numbers.itemsize == 4 and sys.byteorder == "little"
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:16]


splits = {}
start = time.perf_counter()
for split in ["train", "dev", "test"]:
    records: dict[str, list[list[int]]] = {kind: [] for kind in KINDS}
    for row in rows_of(split):
        transcript, speaker = row["Utterance"].strip(), row["Speaker"].strip()
        records["transcript"].append(record(qwen.encode(transcript).ids))
        records["prompt"].append(prompt_record(prompt_parts(one_line(speaker), one_line(transcript))))
        records["roberta"].append(record(roberta.encode(transcript).ids))
    count = len(records["prompt"])
    splits[split] = {
        "utterances": count,
        "tokens": {kind: sum(one[0] for one in records[kind]) for kind in KINDS},
        "chunks": {
            kind: [digest(records[kind][first : first + CHUNK]) for first in range(0, count, CHUNK)] for kind in KINDS
        },
    }
print(f"{sum(split['utterances'] for split in splits.values())} utterances in {time.perf_counter() - start:.2f} s")

fixture = {
    "labels": LABELS,
    "template": template,
    "chunk": CHUNK,
    "specialTokens": {
        token.content: index for index, token in sorted(qwen.get_added_tokens_decoder().items()) if token.special
    },
    "words": {word: qwen.encode(f" {word}").ids for word in LABELS},
    "splits": splits,
}
path = Path("test/fixtures/text/meld-tokens.json")
path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n", encoding="utf-8")
