"""Predicts emotions with a bundle of emoq, in Python: pip install numpy onnxruntime tokenizers, and ffmpeg.

    python predict.py BUNDLE RECORDING [TRANSCRIPT [SPEAKER [GENDER [HISTORY]]]]

HISTORY is what was said before, oldest first, for a bundle that reads it (prompt.history): a JSON list of objects with
text, and speaker or gender as the bundle's prompt has them. Prints one line of JSON with a probability for each label. For bundles of a probe, of stage 1, and of stage 2 with a
Former or of text alone, over byte-level tokenizers such as Qwen's. Like emoq, it judges the first `max_audio_sec`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

PAST = "past_key_values"  # of tokens that the prompt leaves out: none here


def waveform(path, seconds):
    """Mono float32 [samples] at 16 kHz."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-t", str(seconds), "-ac", "1", "-ar", "16000", "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)


def features(bundle, encoder, path):
    """What the encoder hears: float16 [1, frames, width], and the mask of real frames."""
    x = waveform(path, bundle["max_audio_sec"])
    if encoder["normalize"]:
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-7)
    feeds = {"input_values": x[None], "attention_mask": np.ones((1, len(x)), np.int64)}
    outputs = run(bundle["folder"] / encoder["file"], feeds)
    outputs.pop("frame_mask", None)  # of a single clip, all frames are real
    [states] = outputs.values()  # last_hidden_state, or hidden_states of several layers
    return {"audio_features": states.astype(np.float16), "frame_mask": np.ones(states.shape[:2], np.int64)}


def run(path, values):
    """Runs a model with what it takes of the values; returns its outputs by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {each.name: values[each.name] for each in session.get_inputs()}
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, feeds)))


def tokenizer(bundle, backbone):
    read = Tokenizer.from_file(str(bundle["folder"] / bundle["backbones"][backbone] / "tokenizer.json"))
    read.encode_special_tokens = True  # <|im_end|> in a transcript is text
    return read


def former_text(bundle, text):
    ids = tokenizer(bundle, "former").encode(text).ids
    limit = bundle["max_text_tokens"]
    return ids if len(ids) <= limit else ids[: limit - 1] + ids[-1:]


def history_lines(bundle, turns, mention_of):
    """The latest turns that the bundle reads, each after a line break, as many as fit its tokens."""
    template, read, lines = bundle["prompt"], tokenizer(bundle, "llm"), []
    left = template.get("history_tokens", 0)
    spoken = [turn for turn in turns if turn["text"].strip()]
    for turn in reversed(spoken[-template["history"] :] if template.get("history") else []):
        name = mention_of(turn.get("speaker", ""), turn.get("gender", ""))
        line = "\n" + (f"{name}: " if name else "") + '"' + " ".join(turn["text"].split()) + '"'
        left -= len(read.encode(line, add_special_tokens=False).ids)
        if left < 0:
            break
        lines.insert(0, line)
    return "".join(lines)


def prompt(bundle, text, speaker, gender, history=()):
    """Token ids, and the position of <AUDIO>, whose embedding the soft prompt replaces (-1: none)."""
    template, chat, read = bundle["prompt"], bundle["chat"], tokenizer(bundle, "llm")
    flat = lambda value: " ".join(value.split())
    words = {"f": "female", "female": "female", "m": "male", "male": "male"}
    word_of = lambda gender: words.get(flat(gender).lower(), flat(gender))
    kind = template.get("speaker", "name")
    mention_of = lambda name, gender: {"name": flat(name), "gender": word_of(gender), "none": ""}[kind]
    values = {"labels": ", ".join(bundle["label_words"]), "speaker": mention_of(speaker, gender)}
    values |= {"gender": word_of(gender), "transcript": flat(text), "history": history_lines(bundle, history, mention_of)}
    user = template["user"] if values["transcript"] else template.get("user_without_text", template["user"])
    present = lambda line: all(values[slot] for slot in re.findall(r"\{(\w+)\}", line))
    fill = lambda part: re.sub(r"\{(\w+)\}", lambda slot: values[slot[1]], part)
    lines = fill("\n".join(line for line in user.split("\n") if present(line))).split("<AUDIO>")
    plain = lambda part: [{"kind": "text", "text": part}]
    system = chat["system"]["before"] + plain(fill(template["system"])) + chat["system"]["after"]
    system = system if template["system"] else []
    slot = [{"kind": "slot"}] + plain(lines[1]) if len(lines) == 2 else []
    turn = chat["user"]["before"] + plain(lines[0]) + slot + chat["user"]["after"]
    ids, position, pending = [], -1, ""
    for piece in chat["begin"] + system + turn + chat["answer"] + plain(template["answer"]) + [{"kind": "end"}]:
        if piece["kind"] == "text":
            pending += piece["text"]
            continue
        ids += read.encode(pending, add_special_tokens=False).ids
        pending = ""
        if piece["kind"] == "slot":
            position = len(ids)
        if piece["kind"] != "end":
            ids.append(0 if piece["kind"] == "slot" else read.token_to_id(piece["text"]))
    return ids, position


def predict(folder, path, text="", speaker="", gender="", history="[]"):
    bundle = {**json.loads((Path(folder) / "bundle.json").read_text(encoding="utf-8")), "folder": Path(folder)}
    if any({"audio_features", "prompt_ids"} <= {each["name"] for each in model["inputs"]} for model in bundle["models"]):
        sys.exit(f"{folder} gives its language model a slot for each frame (fusion: none), which this example does not do")
    values = features(bundle, bundle["encoder"], path) if bundle["encoder"] else {}
    text = text if bundle["views"]["text"] else ""
    row = lambda ids: {"ids": np.array([ids], np.int64), "mask": np.ones((1, len(ids)), np.int64)}
    if "max_text_tokens" in bundle:
        own = row(former_text(bundle, text))
        values |= {"input_ids": own["ids"], "attention_mask": own["mask"]}
    if bundle["prompt"]:
        ids, position = prompt(bundle, text, speaker, gender, json.loads(history))
        own = row(ids)
        values |= {"prompt_ids": own["ids"], "prompt_mask": own["mask"], "audio_position": np.array([position])}
        (past,) = [each["shape"] for model in bundle["models"] for each in model["inputs"] if each["name"] == PAST]
        values[PAST] = np.zeros([0 if isinstance(size, str) else size for size in past], np.float32)
    for model in bundle["models"]:
        values |= run(bundle["folder"] / model["file"], values)
    return dict(zip(bundle["labels"], values["probabilities"][0].tolist()))


if __name__ == "__main__":
    print(json.dumps(predict(*sys.argv[1:])))
