"""Writes test/fixtures/hidden-layers.safetensors: the hidden states of every layer that transformers gives for the first
clip of the random encoders of hubert.py, wav2vec2.py and wavlm.py, alone. The last is last_hidden_state: large models
normalise it, which hidden_states of this version of transformers leave out.

Made with torch 2.13.0, transformers 5.24.0 and safetensors 0.8, after those three:

    python test/reference/hidden-layers.py
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
CLIP = load_file(FIXTURES / "hubert" / "reference.safetensors")["clip.0"].float()
SAMPLES = 4000
# Frames of each layer that are kept.
FRAMES = 12
ENCODERS = {
    "hubert": ["base-odd", "group-stable", "large-odd", "layer-post"],
    "wav2vec2": ["base-odd", "large-odd"],
    "unispeech-sat": ["large-odd"],
    "wavlm": ["base-odd", "large-odd"],
}


def main() -> None:
    tensors = {}
    for family, names in ENCODERS.items():
        for name in names:
            model = AutoModel.from_pretrained(FIXTURES / family / name, dtype=torch.float32).eval()
            with torch.inference_mode():
                found = model(CLIP[None, :SAMPLES], output_hidden_states=True)
            states = [*found.hidden_states[:-1], found.last_hidden_state]
            assert len(states) == model.config.num_hidden_layers + 1
            for layer, state in enumerate(states):
                tensors[f"{family}/{name}.{layer}"] = state[0, :FRAMES].contiguous()
    tensors["clip"] = CLIP[:SAMPLES].contiguous()
    path = FIXTURES / "hidden-layers.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
