"""Writes test/fixtures/hidden-layers.safetensors: the hidden states of every layer that transformers gives for the first
clip of the random encoders of hubert.py, wav2vec2.py, wavlm.py and whisper.py, alone. The last is last_hidden_state:
large models normalise it, which hidden_states of this version of transformers leave out.

Made with torch 2.14.1, transformers 5.24.0 and safetensors 0.8, after those four:

    python test/reference/hidden-layers.py
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, WhisperFeatureExtractor

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
    "whisper": ["tiny", "large"],
}


def states_of(model) -> list[torch.Tensor]:
    values = CLIP[None, :SAMPLES]
    if model.config.model_type == "whisper":
        extractor = WhisperFeatureExtractor.from_pretrained(model.name_or_path)
        model = model.get_encoder()
        values = extractor(values[0].numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    found = model(values, output_hidden_states=True)
    return [*found.hidden_states[:-1], found.last_hidden_state]


def main() -> None:
    tensors = {}
    for family, names in ENCODERS.items():
        for name in names:
            model = AutoModel.from_pretrained(FIXTURES / family / name, dtype=torch.float32).eval()
            with torch.inference_mode():
                states = states_of(model)
            assert len(states) == model.config.num_hidden_layers + 1
            for layer, state in enumerate(states):
                tensors[f"{family}/{name}.{layer}"] = state[0, :FRAMES].contiguous()
    tensors["clip"] = CLIP[:SAMPLES].contiguous()
    path = FIXTURES / "hidden-layers.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
