"""Writes test/fixtures/hubert: tiny random HuBERT checkpoints and what transformers computes with them.

Made with torch 2.13.0, transformers 5.23.0, safetensors 0.8 and numpy 2.4.6:

    python test/reference/hubert.py

base         group norm after the first convolution, post-norm layers, even positional kernel; float32; the weight norm
             under its older names weight_g and weight_v
large        layer norm after each convolution, conv bias, pre-norm layers, odd positional kernel; float16 on disk; the
             weight norm under its newer names, every key below "hubert."
base-odd     width 10 in heads of 5, three convolutions with bias, no norm before the projection
large-odd    width 21 in heads of 7, five convolutions, layer norm without conv bias
group-stable group norm with pre-norm layers; one convolution, one head, positions that reach past the clip
layer-post   layer norm with post-norm layers; nine convolutions, one of which skips samples, a positional kernel of 1;
             saved as HubertForCTC, so that every key is below "hubert.", with the weight norm's older names

For each, in reference.safetensors: `<name>.<i>`, the hidden states of clip i alone; `<name>.padded`, those of all clips
as one zero-padded batch with its attention mask, at every position; `<name>.frame_mask`, which frames of that batch
are real. Clip i is the first `<name>.samples`[i] samples of `clip.<i>`. `<name>.lengths` and `<name>.length_mask` are
the frame mask of many lengths.
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertForCTC, HubertModel, Wav2Vec2FeatureExtractor

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "hubert"
# The longest clip fills its row of the batch; the shortest has one frame (in group-stable two, since PyTorch refuses
# the group norm of a single time step).
CLIP_SAMPLES = {
    "base": [10_000, 4_123, 400],
    "large": [10_000, 4_123, 400],
    "base-odd": [480, 301, 24],
    "large-odd": [480, 301, 73],
    "group-stable": [480, 301, 28],
    "layer-post": [480, 301, 67],
}
PUBLISHED = dict(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    conv_dim=(16, 24, 16, 16, 16, 16, 20),
    num_conv_pos_embedding_groups=4,
)
VARIANTS = {
    "base": dict(
        PUBLISHED, feat_extract_norm="group", conv_bias=False, do_stable_layer_norm=False, num_conv_pos_embeddings=16
    ),
    "large": dict(
        PUBLISHED, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True, num_conv_pos_embeddings=15
    ),
    "base-odd": dict(
        hidden_size=10,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=7,
        conv_dim=(6, 9, 5),
        conv_kernel=(8, 3, 2),
        conv_stride=(4, 2, 2),
        conv_bias=True,
        feat_extract_norm="group",
        feat_proj_layer_norm=False,
        do_stable_layer_norm=False,
        num_conv_pos_embeddings=6,
        num_conv_pos_embedding_groups=5,
        layer_norm_eps=1e-3,
    ),
    "large-odd": dict(
        hidden_size=21,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=13,
        conv_dim=(5, 7, 6, 9, 4),
        conv_kernel=(7, 5, 4, 3, 2),
        conv_stride=(3, 2, 2, 1, 1),
        conv_bias=False,
        feat_extract_norm="layer",
        feat_proj_layer_norm=False,
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=9,
        num_conv_pos_embedding_groups=3,
        layer_norm_eps=1e-2,
    ),
    "group-stable": dict(
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=20,
        conv_dim=(7,),
        conv_kernel=(16,),
        conv_stride=(12,),
        conv_bias=False,
        feat_extract_norm="group",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=90,
        num_conv_pos_embedding_groups=12,
        layer_norm_eps=1e-6,
    ),
    "layer-post": dict(
        hidden_size=15,
        num_hidden_layers=1,
        num_attention_heads=5,
        intermediate_size=9,
        conv_dim=(3, 4, 3, 2, 5, 3, 4, 2, 6),
        conv_kernel=(3, 2, 2, 2, 2, 2, 2, 2, 2),
        conv_stride=(2, 1, 3, 1, 2, 1, 1, 1, 1),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=False,
        num_conv_pos_embeddings=1,
        num_conv_pos_embedding_groups=1,
        layer_norm_eps=1e-4,
    ),
}


def random_model(variant: str) -> HubertModel | HubertForCTC:
    torch.manual_seed(len(variant))
    architecture = HubertForCTC if variant == "layer-post" else HubertModel
    model = architecture(HubertConfig(**VARIANTS[variant], vocab_size=32)).eval()
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


def save(model: HubertModel | HubertForCTC, variant: str) -> None:
    folder = OUT / variant
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    weights = load_file(path)
    if variant in ("base", "layer-post"):
        renamed = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        for new, old in renamed.items():
            weights = {key.replace(new, old): value for key, value in weights.items()}
    if variant == "large":
        weights = {f"hubert.{key}": value.half() for key, value in weights.items()}
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)
    preprocessor = dict(do_normalize=variant == "large", feature_size=1, sampling_rate=16_000, padding_value=0.0)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")


def padded_batch(clips: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    return values, lengths_mask([len(clip) for clip in clips], values.shape[1])


def lengths_mask(lengths: list[int], samples: int) -> torch.Tensor:
    return torch.stack([torch.arange(samples) < length for length in lengths]).long()


def references(model: HubertModel, clips: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {str(i): model(clip[None]).last_hidden_state[0].contiguous() for i, clip in enumerate(clips)}
    values, mask = padded_batch(clips)
    found["padded"] = model(values, attention_mask=mask).last_hidden_state.contiguous()
    found["frame_mask"] = model._get_feature_vector_attention_mask(found["padded"].shape[1], mask).to(torch.uint8)
    fewest = len(clips[-1])
    step = 1 if fewest < 400 else 37
    lengths = [fewest + step * count for count in range(40)]
    frames = int(model._get_feat_extract_output_lengths(lengths[-1]))
    mask = model._get_feature_vector_attention_mask(frames, lengths_mask(lengths, lengths[-1]))
    found["samples"] = torch.tensor([len(clip) for clip in clips])
    found["lengths"] = torch.tensor(lengths)
    found["length_mask"] = mask.to(torch.uint8)
    return found


def main() -> None:
    generator = np.random.default_rng(0)
    waves = []
    for samples in CLIP_SAMPLES["base"]:
        time = np.arange(samples) / 16_000
        voice = np.sin(2 * np.pi * 180 * time) + 0.5 * np.sin(2 * np.pi * 950 * time + 1)
        wave = 0.3 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) + 0.05 * generator.standard_normal(samples)
        waves.append(torch.tensor(wave).half().float())
    tensors = {f"clip.{i}": clip.half() for i, clip in enumerate(waves)}
    for variant in VARIANTS:
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
