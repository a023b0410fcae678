"""Makes test/fixtures/text/tokenizers.json: texts of our own, and the ids that the Python tokenizers library gives them
with emoq's toy tokenizers (built by emoq, loaded from their files), with a RoBERTa tokenizer trained here (written to
test/fixtures/text/roberta as transformers saves it), and with Qwen2.5's real one where EMOQ_REAL_DATA names the folder
that holds qwen2.5-tokenizer (without it, what the fixture says of that one stays as it is).

Made with Python 3.11, tokenizers 0.23.3, transformers 5.23.0. Run from the repository root after `npm run build`:
    EMOQ_REAL_DATA=FOLDER python test/reference/tokenizers-of-text.py
"""

import hashlib
import json
import os
import random
import subprocess
import tempfile
from array import array
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer, Tokenizer
from transformers import AutoTokenizer, RobertaTokenizerFast

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
    "👨‍👩‍👧‍👦 family 🇩🇪🇫🇷 ❤️ 👩🏽‍🚀 1️⃣",
    "e\u0301\u0327 o\u0308\u0304 \u1100\u1161\u11a8 q\u0307\u0323 \u0301alone \u0344 \u212b \u2126",
    "我今天很高興。彼女は怒っている！그는 슬퍼요… ไม่กลัว हिन्दी עצוב مَرحبا",
    "\t\ttabs\t and\r\n\r\nlines\u2028para\u2029\v\f \n",
    "\ufefffirst \ufeffx and\ufeff \ufeff? last \u0085 next \u0085e \u0085! \u0085",
    "\x00\x01\x1f \x7f \ufffd \ufffe \U0010ffff \U0001d15e",
    "'LL 'Ve ’s I'ſ İstanbul ﬃ Ⅷ ½ ²³ ①",
]
# Names of special tokens inside a text: plain characters, because no added token is looked for.
LITERAL = [
    "a <|im_end|> b",
    "</s><mask> <s>",
    "<|endoftext|>",
    "say <AUDIO> <extra>",
    "fine<|im_end|>\n<|im_start|>assistant\nEmotion: happy<|im_end|>\n<|vision_pad|>",
    "<|im_end|",
]
# Texts too long to store: a unit and how often it comes. Their ids are given by count and hash.
LONG = [["I am so happy! ", 20000], ["a", 20000], ["\U0001f600", 5000], ["\n", 5000], ["e\u0301", 20000]]
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


def train_roberta() -> dict:
    """A byte-level BPE trained on English and on odd characters, so that merges cross where a wrong split would show."""
    generator = random.Random(7)
    odd = list("abesxyz'’.,!?-<|>_/s 0123 ") + [" "] * 8 + list("\t\n\r\v\x1c\x85\xa0\u2003\u2028\u200b\u3000\ufeff")
    odd += list("éßñ\u0301\u0308你好가हि٣😀👍🏽½…“”") + ["'s", "'LL", "<|im_end|>", "</s>"]
    mixtures = ["".join(generator.choices(odd, k=30)) for _ in range(2000)]
    english = Path("LICENSE").read_text(encoding="utf-8").splitlines()
    trained = ByteLevelBPETokenizer(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator([*english, *mixtures], vocab_size=1500, special_tokens=special, show_progress=False)
    parts = json.loads(trained.to_str())["model"]
    roberta = RobertaTokenizerFast(vocab=parts["vocab"], merges=[tuple(pair) for pair in parts["merges"]])
    folder = Path("test/fixtures/text/roberta")
    roberta.save_pretrained(folder)
    contents = {}
    for name in ["tokenizer", "tokenizer_config"]:
        contents[name] = json.loads(Path(folder, f"{name}.json").read_text(encoding="utf-8"))
        compact = json.dumps(contents[name], ensure_ascii=True, separators=(",", ":"))
        Path(folder, f"{name}.json").write_text(compact + "\n", encoding="utf-8")
    for rest in set(folder.iterdir()) - {Path(folder, f"{name}.json") for name in contents}:
        rest.unlink()
    return contents["tokenizer"]


def without_added_tokens(tokenizer_json: dict) -> Tokenizer:
    return Tokenizer.from_str(json.dumps({**tokenizer_json, "added_tokens": []}))


def prompt_ids(tokenizer: Tokenizer) -> list[list[int]]:
    return [tokenizer.encode(part, add_special_tokens=False).ids for part in PROMPT.split("<AUDIO>")]


def counted(ids: list[int]) -> dict:
    return {"count": len(ids), "sha256": hashlib.sha256(array("i", ids).tobytes()).hexdigest()[:16]}


def reference(tokenizer_json: dict) -> dict:
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json))
    # The library looks a post-processor's tokens up by id, so none are missing without added tokens.
    plain = without_added_tokens(tokenizer_json)
    return {
        "vocabSize": tokenizer.get_vocab_size(),
        "texts": [tokenizer.encode(text).ids for text in TEXTS],
        "literal": [plain.encode(text).ids for text in LITERAL],
        "long": [counted(tokenizer.encode(unit * times).ids) for unit, times in LONG],
    }


path = Path("test/fixtures/text/tokenizers.json")
earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
fixture = {"words": WORDS, "specialTokens": EXTRA, "texts": TEXTS, "literal": LITERAL, "longTexts": LONG, "ids": {}}
for kind in ["qwen2", "roberta"]:
    made = build(kind)
    fixture["ids"][kind] = reference(made["tokenizerJson"])
    if kind == "qwen2":
        fixture["prompt"] = prompt_ids(Tokenizer.from_str(json.dumps(made["tokenizerJson"])))
    # The transformers library opens the two files as a folder, too.
    with tempfile.TemporaryDirectory() as folder:
        for name, content in [("tokenizer", made["tokenizerJson"]), ("tokenizer_config", made["tokenizerConfig"])]:
            Path(folder, f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        auto = AutoTokenizer.from_pretrained(folder)
        assert [auto(text)["input_ids"] for text in TEXTS] == fixture["ids"][kind]["texts"], kind
        print(kind, type(auto).__name__, len(auto), auto.pad_token, auto.eos_token)
fixture["ids"]["trainedRoberta"] = reference(train_roberta())

if "EMOQ_REAL_DATA" in os.environ:
    real_path = Path(os.environ["EMOQ_REAL_DATA"], "qwen2.5-tokenizer", "tokenizer.json")
    real_json = json.loads(real_path.read_text(encoding="utf-8"))
    fixture["ids"]["realQwen2"] = reference(real_json)
    fixture["realPrompt"] = prompt_ids(Tokenizer.from_str(json.dumps(real_json)))
else:
    print("EMOQ_REAL_DATA is not set: what the fixture says of Qwen2.5's tokenizer stays")
    same = all(earlier.get(key) == fixture[key] for key in ["texts", "literal", "longTexts"])
    assert same, "the texts have changed: EMOQ_REAL_DATA is needed"
    fixture["ids"]["realQwen2"] = earlier["ids"]["realQwen2"]
    fixture["realPrompt"] = earlier["realPrompt"]
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")
