"""Converts a published emotion2vec to a folder that emoq reads: pip install torch safetensors omegaconf.

    python convert_emotion2vec.py MODEL_FOLDER OUT_FOLDER [--unsafe]

MODEL_FOLDER has config.yaml and a .pt file, as on the Hugging Face hub (emotion2vec/emotion2vec_plus_base). OUT_FOLDER
gets config.json, the file's model_conf, and model.safetensors, the weights unchanged. --unsafe reads files that hold
more than tensors, as those of fairseq do: it can run code that is in the file.
"""

import json
import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file


def convert(source, out, unsafe=False):
    config = OmegaConf.load(source / "config.yaml")
    if config.get("model") != "Emotion2vec":
        sys.exit(f"{source / 'config.yaml'} is of no Emotion2vec, but of {config.get('model')}")
    files = sorted(source.glob("*.pt"))
    if len(files) != 1:
        sys.exit(f"{source} must have one .pt file, not {len(files)}")
    state = torch.load(files[0], map_location="cpu", weights_only=not unsafe)
    for key in ("state_dict", "model_state_dict", "model"):  # where FunASR looks for it
        state = state.get(key, state)
    weights = {key: value.clone().contiguous() for key, value in state.items() if isinstance(value, torch.Tensor)}
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    conf = OmegaConf.to_container(config.model_conf)
    (out / "config.json").write_text(json.dumps({"model_type": "emotion2vec", **conf}, indent=2) + "\n")


if __name__ == "__main__":
    convert(*map(Path, sys.argv[1:3]), unsafe="--unsafe" in sys.argv[3:])
