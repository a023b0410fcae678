"""Writes test/fixtures/wav2vec2 and unispeech-sat: tiny random checkpoints of wav2vec 2.0 and of UniSpeech-SAT, and
what transformers computes with them, in the way of hubert.py, whose clips, sizes and names are the same.

Made with torch 2.13.0, transformers 5.23.0, safetensors 0.8 and numpy 2.4.6:

    python test/reference/wav2vec2.py

wav2vec2:
base       as pretraining leaves it (Wav2Vec2ForPreTraining): every key below "wav2vec2.", the quantizer beside it, the
           weight norm under its older names
large      float16 on disk, keys without a prefix, waveforms normalised
base-odd   width 10 in heads of 5, three convolutions with bias
large-odd  width 21 in heads of 7, five convolutions, layer norm without conv bias; saved as Wav2Vec2ForCTC

unispeech-sat:
base-odd   as pretraining leaves it (UniSpeechSatForPreTraining), the weight norm under its older names
large-odd  keys without a prefix
layer-post layer norm with post-norm layers; saved as UniSpeechSatForXVector
"""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import (UniSpeechSatConfig, UniSpeechSatForPreTraining, UniSpeechSatForXVector, UniSpeechSatModel,
                          Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC,
                          Wav2Vec2ForPreTraining, Wav2Vec2Model)

from hubert import CLIP_SAMPLES, VARIANTS, references

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
CLIPS = FIXTURES / "hubert" / "reference.safetensors"
ARCHITECTURES = {
    "wav2vec2": {"base": Wav2Vec2ForPreTraining, "large": Wav2Vec2Model, "base-odd": Wav2Vec2Model,
                 "large-odd": Wav2Vec2ForCTC},
    "unispeech-sat": {"base-odd": UniSpeechSatForPreTraining, "large-odd": UniSpeechSatModel,
                      "layer-post": UniSpeechSatForXVector},
}
HEADS = dict(vocab_size=32, num_codevectors_per_group=4, codevector_dim=8, proj_codevector_dim=8)
SPEAKER_HEADS = dict(num_clusters=5, tdnn_dim=(4, 4, 6), tdnn_kernel=(3, 1, 1), tdnn_dilation=(1, 2, 1),
                     xvector_output_dim=4)
# Config, sizes of its heads, seed.
FAMILIES = {"wav2vec2": (Wav2Vec2Config, HEADS, 100), "unispeech-sat": (UniSpeechSatConfig, HEADS | SPEAKER_HEADS, 200)}


def random_model(family, variant):
    config_of, heads, seed = FAMILIES[family]
    torch.manual_seed(seed + len(variant))
    sizes = {key: value for key, value in VARIANTS[variant].items() if key != "feat_proj_layer_norm"}
    model = ARCHITECTURES[family][variant](config_of(**sizes, **heads)).eval()
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


def save(model, folder):
    variant = folder.name
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    if type(model).__name__.endswith("ForPreTraining"):
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
    for family in FAMILIES:
        write(family, waves)


def write(family, waves):
    tensors = {}
    for variant in ARCHITECTURES[family]:
        folder = FIXTURES / family / variant
        model = random_model(family, variant)
        save(model, folder)
        clips = [wave[:samples] for wave, samples in zip(waves, CLIP_SAMPLES[variant])]
        encoder = model.base_model
        with torch.inference_mode():
            found = references(encoder, clips)
            if variant == "large":
                extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
                speech = extractor(waves[0].numpy() * 0.1 + 0.3, sampling_rate=16_000, return_tensors="pt")
                found["normalized"] = encoder(speech.input_values).last_hidden_state[0].contiguous()
        tensors |= {f"{variant}.{key}": value for key, value in found.items()}
    path = FIXTURES / family / "reference.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
