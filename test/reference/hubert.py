"""Writes test/fixtures/hubert: two tiny random HuBERT checkpoints and what transformers computes with them.

Made with torch 2.13.0, transformers 5.23.0, safetensors 0.8 and numpy 2.4.6:

    python test/reference/hubert.py

base   group norm after the first convolution, post-norm layers, even positional kernel; float32; the weight norm under
       its older names weight_g and weight_v
large  layer norm after each convolution, conv bias, pre-norm layers, odd positional kernel; float16 on disk; the weight
       norm under its newer names, every key below "hubert."
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "hubert"
CLIP_SAMPLES = [10_000, 4_123, 400]
SHARED = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    conv_dim=(16, 24, 16, 16, 16, 16, 20),
    num_conv_pos_embedding_groups=4,
    vocab_size=32,
)
VARIANTS = {
    "base": dict(feat_extract_norm="group", conv_bias=False, do_stable_layer_norm=False, num_conv_pos_embeddings=16),
    "large": dict(feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True, num_conv_pos_embeddings=15),
}


def random_model(variant: str) -> HubertModel:
    torch.manual_seed(len(variant))
    model = HubertModel(HubertConfig(**SHARED, **VARIANTS[variant])).eval()
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


def save(model: HubertModel, variant: str) -> None:
    folder = OUT / variant
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    if variant == "base":
        renamed = {"original0": "weight_g", "original1": "weight_v"}
        for new, old in renamed.items():
            key = f"encoder.pos_conv_embed.conv.parametrizations.weight.{new}"
            weights[f"encoder.pos_conv_embed.conv.{old}"] = weights.pop(key)
    else:
        weights = {f"hubert.{key}": value.half() for key, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})
    preprocessor = dict(do_normalize=variant == "large", feature_size=1, sampling_rate=16_000, padding_value=0.0)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def main() -> None:
    generator = np.random.default_rng(0)
    clips = []
    for samples in CLIP_SAMPLES:
        time = np.arange(samples) / 16_000
        voice = np.sin(2 * np.pi * 180 * time) + 0.5 * np.sin(2 * np.pi * 950 * time + 1)
        wave = 0.3 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) + 0.05 * generator.standard_normal(samples)
        clips.append(torch.tensor(wave).half().float())
    tensors = {f"clip.{i}": clip.half() for i, clip in enumerate(clips)}
    for variant in VARIANTS:
        model = random_model(variant)
        save(model, variant)
        with torch.inference_mode():
            for i, clip in enumerate(clips):
                tensors[f"{variant}.{i}"] = model(clip[None]).last_hidden_state[0].contiguous()
            if variant == "large":
                padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
                mask = torch.stack([torch.arange(padded.shape[1]) < len(clip) for clip in clips]).long()
                tensors["large.padded"] = model(padded, attention_mask=mask).last_hidden_state.contiguous()
                extractor = Wav2Vec2FeatureExtractor.from_pretrained(OUT / variant)
                speech = extractor(clips[0].numpy() * 0.1 + 0.3, sampling_rate=16_000, return_tensors="pt")
                tensors["large.normalized"] = model(speech.input_values).last_hidden_state[0].contiguous()
    save_file(tensors, OUT / "reference.safetensors")


if __name__ == "__main__":
    main()
