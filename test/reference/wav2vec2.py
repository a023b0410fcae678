"""Writes test/fixtures/wav2vec2: tiny random wav2vec 2.0 checkpoints and what transformers computes with them, in the way
of hubert.py, whose clips, sizes and names are the same.

Made with torch 2.13.0, transformers 5.23.0, safetensors 0.8 and numpy 2.4.6:

    python test/reference/wav2vec2.py

base       as pretraining leaves it (Wav2Vec2ForPreTraining): every key below "wav2vec2.", the quantizer beside it, the
           weight norm under its older names
large      float16 on disk, keys without a prefix, waveforms normalised
base-odd   width 10 in heads of 5, three convolutions with bias
large-odd  width 21 in heads of 7, five convolutions, layer norm without conv bias; saved as Wav2Vec2ForCTC
"""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import (Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining,
                          Wav2Vec2Model)

from hubert import CLIP_SAMPLES, VARIANTS, references

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "wav2vec2"
CLIPS = pathlib.Path(__file__).parent.parent / "fixtures" / "hubert" / "reference.safetensors"
ARCHITECTURES = {"base": Wav2Vec2ForPreTraining, "large": Wav2Vec2Model, "base-odd": Wav2Vec2Model,
                 "large-odd": Wav2Vec2ForCTC}
HEADS = dict(vocab_size=32, num_codevectors_per_group=4, codevector_dim=8, proj_codevector_dim=8)


def random_model(variant):
    torch.manual_seed(100 + len(variant))
    sizes = {key: value for key, value in VARIANTS[variant].items() if key != "feat_proj_layer_norm"}
    model = ARCHITECTURES[variant](Wav2Vec2Config(**sizes, **HEADS)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Every weight must matter: no norm at 1, no bias at 0, no g that is just the length of v.
            if "norm" in name and name.endswith("weight") or name.endswith("original0"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
        if variant == "large":
            for parameter in model.parameters():
                parameter.copy_(parameter.half().float())
    return model


def save(model, variant):
    folder = OUT / variant
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    if variant == "base":
        renamed = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        for new, old in renamed.items():
            weights = {key.replace(new, old): value for key, value in weights.items()}
    if variant == "large":
        weights = {key: value.half() for key, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    preprocessor = dict(do_normalize=variant == "large", feature_size=1, sampling_rate=16_000, padding_value=0.0)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def main():
    stored = load_file(CLIPS)
    waves = [stored[f"clip.{i}"].float() for i in range(3)]
    tensors = {}
    for variant in ARCHITECTURES:
        model = random_model(variant)
        save(model, variant)
        clips = [wave[:samples] for wave, samples in zip(waves, CLIP_SAMPLES[variant])]
        encoder = model.base_model
        with torch.inference_mode():
            found = references(encoder, clips)
            if variant == "large":
                extractor = Wav2Vec2FeatureExtractor.from_pretrained(OUT / variant)
                speech = extractor(waves[0].numpy() * 0.1 + 0.3, sampling_rate=16_000, return_tensors="pt")
                found["normalized"] = encoder(speech.input_values).last_hidden_state[0].contiguous()
        tensors |= {f"{variant}.{key}": value for key, value in found.items()}
    save_file(tensors, OUT / "reference.safetensors")
    (OUT / "reference.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
