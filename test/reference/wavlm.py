"""Writes test/fixtures/wavlm: tiny random checkpoints of WavLM, and what transformers computes with them, in the way of
hubert.py, whose clips, sizes and names are the same.

Made with torch 2.13.0, transformers 5.24.0, safetensors 0.8 and numpy 2.4.6:

    python test/reference/wavlm.py

base       as published (WavLMModel): keys without a prefix, the weight norm under its older names
large      float16 on disk, every key below "wavlm." (WavLMForCTC), waveforms normalised
base-odd   width 10 in heads of 5, three convolutions with bias, an odd number of buckets; saved as WavLMForXVector
large-odd  width 21 in heads of 7, five convolutions, layer norm without conv bias
layer-post bfloat16 on disk, layer norm with post-norm layers; saved as WavLMForSequenceClassification, which weighs the
           layers

Numbers of buckets are small, so that the clips reach buckets of one distance, of ranges and, except in large, at the
ends. `buckets.<number>.<distance>` are those of all distances to 50 more than the largest, in both directions, also
with the numbers of the published models.
"""

import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import (Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForCTC, WavLMForSequenceClassification,
                          WavLMForXVector, WavLMModel)
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from hubert import CLIP_SAMPLES, VARIANTS, references

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "wavlm"
ARCHITECTURES = {"base": WavLMModel, "large": WavLMForCTC, "base-odd": WavLMForXVector, "large-odd": WavLMModel,
                 "layer-post": WavLMForSequenceClassification}
BUCKETS = {"base": (16, 20), "large": (32, 50), "base-odd": (7, 9), "large-odd": (12, 13), "layer-post": (20, 11)}
FURTHER_BUCKETS = [(320, 800), (4, 2), (5, 100), (8, 16), (64, 500), (321, 81), (1000, 251)]
HEADS = dict(vocab_size=32, classifier_proj_size=3, use_weighted_layer_sum=True, tdnn_dim=(4, 4, 6),
             tdnn_kernel=(3, 1, 1), tdnn_dilation=(1, 2, 1), xvector_output_dim=4)
STORED = {"large": torch.float16, "layer-post": torch.bfloat16}


def random_model(variant):
    torch.manual_seed(300 + len(variant))
    sizes = {key: value for key, value in VARIANTS[variant].items() if key != "feat_proj_layer_norm"}
    num_buckets, max_bucket_distance = BUCKETS[variant]
    config = WavLMConfig(**sizes, **HEADS, num_buckets=num_buckets, max_bucket_distance=max_bucket_distance)
    model = ARCHITECTURES[variant](config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Every weight must matter: no norm at 1, no bias at 0, no g that is just the length of v.
            if "norm" in name and name.endswith("weight") or name.endswith(("original0", "rel_pos_const")):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif name.endswith("rel_attn_embed.weight"):
                parameter.normal_(0, 1)
            elif parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
        if variant in STORED:
            for parameter in model.parameters():
                parameter.copy_(parameter.to(STORED[variant]).float())
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
    if variant in STORED:
        weights = {key: value.to(STORED[variant]) for key, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    preprocessor = dict(do_normalize=variant == "large", feature_size=1, sampling_rate=16_000, padding_value=0.0)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def main():
    stored = load_file(FIXTURES / "hubert" / "reference.safetensors")
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
    for number, distance in [*BUCKETS.values(), *FURTHER_BUCKETS]:
        attention = WavLMAttention(8, 2, num_buckets=number, max_distance=distance)
        reach = distance + 50
        buckets = attention._relative_positions_bucket(torch.arange(-reach, reach + 1))
        tensors[f"buckets.{number}.{distance}"] = buckets.to(torch.int32)
    path = OUT / "reference.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
