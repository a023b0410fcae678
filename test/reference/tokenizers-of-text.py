"""Makes test/fixtures/text/tokenizers.json: texts of our own, and the ids that the Python tokenizers library gives them
with emoq's toy tokenizers (built by emoq, loaded from their files) and, given its folder, with Qwen2.5's real one.

Made with Python 3.11, tokenizers 0.23.3, transformers 5.23.0. Run from the repository root after `npm run build`:
    python test/reference/tokenizers-of-text.py [QWEN2.5-TOKENIZER-FOLDER]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer

# Words whose parts overlap, so that a wrong order of merges would show.
WORDS = ["an", "can", "cancan", "happy", "happily", "angry", "sad", "neutral", "the", "Emotion", "user", "banana", "ça"]
EXTRA = ["<extra>"]

TEXTS = [
    "",
    " ",
    "happy",
    " happy angry sad neutral",
    "the can can cancan banana",
    "unhappy, happily; the Canada!",
    "It's 10:45 and I'll pay $3.50 -- we've DON'T 'S",
    "two  spaces\tand\n\nlines \r\n end ",
    "naïve café ça c\u0327a Ünïcöde ﬁ",
    "你好 世界 😀👍🏽 ٣٤",
    "zero\u200bwidth no\u00a0break \u2028 \ufeff \u0085",
    "quote “curly” … — –",
    "Emotion: happy",
]
# Names of special tokens inside a text: plain characters, because no added token is looked for.
LITERAL = ["a <|im_end|> b", "</s><mask> <s>", "<|endoftext|>", "say <AUDIO> <extra>"]
PROMPT = (
    "<|im_start|>system\nName the emotion: happy, sad.<|im_end|>\n<|im_start|>user\nSpeaker: Ana\n"
    "Transcript: I can dance!\n<AUDIO>\nthe end<|im_end|>\n<|im_start|>assistant\nEmotion:"
)

BUILD = """
const { buildByteLevelTokenizer } = await import(process.cwd() + '/dist/data/text/index.js');
process.stdout.write(JSON.stringify(buildByteLevelTokenizer(JSON.parse(process.argv[1]))));
"""


def build(kind: str) -> dict:
    options = json.dumps({"words": WORDS, "specialTokens": EXTRA, "kind": kind})
    made = subprocess.run(["node", "--input-type=module", "-e", BUILD, options], check=True, capture_output=True)
    return json.loads(made.stdout)


def without_added_tokens(tokenizer_json: dict) -> Tokenizer:
    return Tokenizer.from_str(json.dumps({**tokenizer_json, "added_tokens": []}))


def prompt_ids(tokenizer: Tokenizer) -> list[list[int]]:
    return [tokenizer.encode(part, add_special_tokens=False).ids for part in PROMPT.split("<AUDIO>")]


fixture = {"words": WORDS, "specialTokens": EXTRA, "texts": TEXTS, "literal": LITERAL, "ids": {}}
for kind in ["qwen2", "roberta"]:
    made = build(kind)
    tokenizer = Tokenizer.from_str(json.dumps(made["tokenizerJson"]))
    plain = without_added_tokens(made["tokenizerJson"])
    if kind == "qwen2":  # the library looks the post-processor's tokens up by id, so none are missing without them
        fixture["prompt"] = prompt_ids(tokenizer)
    fixture["ids"][kind] = {
        "vocabSize": tokenizer.get_vocab_size(),
        "texts": [tokenizer.encode(text).ids for text in TEXTS],
        "literal": [plain.encode(text).ids for text in LITERAL],
    }
    # The transformers library opens the two files as a folder, too.
    with tempfile.TemporaryDirectory() as folder:
        for name, content in [("tokenizer", made["tokenizerJson"]), ("tokenizer_config", made["tokenizerConfig"])]:
            Path(folder, f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        auto = AutoTokenizer.from_pretrained(folder)
        assert [auto(text)["input_ids"] for text in TEXTS] == fixture["ids"][kind]["texts"], kind
        print(kind, type(auto).__name__, len(auto), auto.pad_token, auto.eos_token)

path = Path("test/fixtures/text/tokenizers.json")
if len(sys.argv) > 1:
    real_json = json.loads(Path(sys.argv[1], "tokenizer.json").read_text(encoding="utf-8"))
    real = Tokenizer.from_str(json.dumps(real_json))
    fixture["ids"]["realQwen2"] = {
        "vocabSize": real.get_vocab_size(),
        "texts": [real.encode(text).ids for text in TEXTS],
        "literal": [without_added_tokens(real_json).encode(text).ids for text in LITERAL],
    }
    fixture["realPrompt"] = prompt_ids(real)
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")
