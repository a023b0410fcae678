"""Writes test/fixtures/emotion2vec: tiny random checkpoints of emotion2vec, converted by
examples/convert_emotion2vec.py, and what the model's published code (PyPI package funasr) computes with them. The
clips are those of hubert.py.

Made with torch 2.14.1, funasr 1.4.16, omegaconf 2.4.0 and safetensors 0.8; only the model is imported of funasr, not
what it needs otherwise:

    python test/reference/emotion2vec.py

base   one factor of distances for each head, 4 heads, even positional kernels, a decoder that is left unread, waveforms
       normalised
plus   factors for each layer and head, one of them negative, 3 heads of 5, odd positional kernels, classes (proj);
       float16 on disk
plain  one factor for all, waveforms as they are, one layer of each kind

For each, in reference.safetensors: `<name>.<i>`, the frames of clip i alone; `<name>.layers.<n>`, for clip 1 the
outputs of the layers of the context encoder and of those after it, after their input. Clip i is the first
`<name>.samples`[i] samples of `clip.<i>`. `<name>.quiet` are the frames of a clip so quiet that the constant of the
normalisation matters.
"""

import importlib.util
import pathlib
import sys
import tempfile
import types

import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
from convert_emotion2vec import convert  # noqa: E402

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "emotion2vec"


def published_model():
    """The class, without the imports of its package, which need much else."""
    folder = pathlib.Path(importlib.util.find_spec("funasr").submodule_search_locations[0])
    for name in ("funasr", "funasr.models", "funasr.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    for name, attribute in {"load_utils": "load_audio_text_image_video", "amp": "autocast"}.items():
        module = types.ModuleType(f"funasr.utils.{name}")
        setattr(module, attribute, None)
        sys.modules[module.__name__] = module
    from funasr.models.emotion2vec.model import Emotion2vec
    return Emotion2vec


Emotion2vec = published_model()
AUDIO = dict(
    type="AUDIO", prenet_layerdrop=0.0, prenet_dropout=0.0, start_drop_path_rate=0.0, end_drop_path_rate=0.0,
    init_extra_token_zero=False, mask_noise_std=0.01, mask_prob=0.5, inverse_mask=False, mask_prob_adjust=0.07,
    mask_length=5, encoder_zero_mask=True, mask_channel_prob=0.0, mask_channel_length=64, local_grad_mult=1.0,
    use_alibi_encoder=True, alibi_scale=1.0, learned_alibi=False, alibi_max_pos=None, learned_alibi_scale=True,
    extractor_mode="layer_norm", conv_pos_pre_ln=False, decoder=None)
MODEL = dict(
    start_drop_path_rate=0.0, end_drop_path_rate=0.0, norm_affine=True, encoder_dropout=0.1, post_mlp_drop=0.1,
    attention_dropout=0.1, activation_dropout=0.0, dropout_input=0.0, layerdrop=0.05, layer_norm_first=False,
    end_of_block_targets=False, clone_batch=8, average_top_k_layers=2, loss_beta=0.0, loss_scale=None)
DECODER = dict(input_dropout=0.1, decoder_dim=8, decoder_groups=2, decoder_kernel=3, decoder_layers=1,
               decoder_residual=True, projection_layers=1, projection_ratio=2.0, add_positions_masked=False,
               add_positions_all=False)
VARIANTS = {
    "base": (dict(MODEL, depth=2, num_heads=4, embed_dim=16, mlp_ratio=4.0, norm_eps=1e-5, normalize=True),
             dict(AUDIO, prenet_depth=2, model_depth=2, num_extra_tokens=3, num_alibi_heads=4,
                  feature_encoder_spec="[(12, 10, 5)] + [(12, 3, 2)] * 4 + [(12,2,2)] + [(12,2,2)]",
                  conv_pos_width=20, conv_pos_groups=4, conv_pos_depth=5, learned_alibi_scale_per_layer=False,
                  learned_alibi_scale_per_head=True, decoder=DECODER)),
    "plus": (dict(MODEL, depth=2, num_heads=3, embed_dim=15, mlp_ratio=2.5, norm_eps=1e-3, normalize=True),
             dict(AUDIO, prenet_depth=1, model_depth=2, num_extra_tokens=2, num_alibi_heads=3,
                  feature_encoder_spec="[(6, 8, 4), (9, 3, 2)] + [(5, 2, 2)]", conv_pos_width=15, conv_pos_groups=5,
                  conv_pos_depth=3, learned_alibi_scale_per_layer=True, learned_alibi_scale_per_head=True)),
    "plain": (dict(MODEL, depth=1, num_heads=1, embed_dim=8, mlp_ratio=1.0, norm_eps=1e-5, normalize=False),
              dict(AUDIO, prenet_depth=1, model_depth=1, num_extra_tokens=1, num_alibi_heads=1,
                   feature_encoder_spec="[(4, 16, 12)]", conv_pos_width=3, conv_pos_groups=1, conv_pos_depth=1,
                   learned_alibi_scale_per_layer=False, learned_alibi_scale_per_head=False)),
}
CLIP_SAMPLES = {"base": [10_000, 4_123, 400], "plus": [2_000, 1_301, 28], "plain": [480, 301, 16]}


def random_model(variant):
    torch.manual_seed(500 + len(variant))
    model_conf, audio = VARIANTS[variant]
    conf = dict(model_conf, modalities=dict(audio=audio))
    model = Emotion2vec(model_conf=conf, vocab_size=9 if variant == "plus" else -1).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Every weight must matter: no norm at 1, no bias at 0, no factor of distances at 1.
            if name.endswith("alibi_scale"):
                parameter.uniform_(0.1, 1)
            elif name.endswith("extra_tokens"):
                parameter.normal_(0, 1)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, (parameter.numel() / parameter.shape[0]) ** -0.5)
        if variant == "plus":
            model.modality_encoders["AUDIO"].alibi_scale[1, 0, 2] = -0.5
            for parameter in model.parameters():
                parameter.copy_(parameter.half().float())
    return model, conf


def save(model, conf, variant):
    weights = model.state_dict()
    if variant == "plus":
        weights = {key: value.half() for key, value in weights.items()}
    with tempfile.TemporaryDirectory() as name:
        source = pathlib.Path(name)
        OmegaConf.save(OmegaConf.create({"model": "Emotion2vec", "model_conf": conf}), source / "config.yaml")
        torch.save({"model": weights, "epoch": 3} if variant == "base" else weights, source / "model.pt")
        convert(source, OUT / variant)
    (OUT / variant / "model.safetensors").chmod(0o644)


def frames_of(model, clip):
    if model.cfg.normalize:
        clip = torch.nn.functional.layer_norm(clip, clip.shape)
    return model.extract_features(clip.view(1, -1), padding_mask=None)["x"][0].contiguous()


def states_of(model, clip):
    states = []
    blocks = [*model.modality_encoders["AUDIO"].context_encoder.blocks, *model.blocks]
    hooks = [blocks[0].register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))]
    hooks += [block.register_forward_hook(lambda *call: states.append(call[2][0])) for block in blocks]
    frames_of(model, clip)
    for hook in hooks:
        hook.remove()
    extra = model.modality_encoders["AUDIO"].modality_cfg.num_extra_tokens
    return [state[0, extra:].contiguous() for state in states]


def main():
    stored = load_file(FIXTURES / "hubert" / "reference.safetensors")
    waves = [stored[f"clip.{i}"].float() for i in range(3)]
    tensors = {}
    for variant in VARIANTS:
        model, conf = random_model(variant)
        save(model, conf, variant)
        clips = [wave[:samples] for wave, samples in zip(waves, CLIP_SAMPLES[variant])]
        with torch.inference_mode():
            tensors |= {f"{variant}.{i}": frames_of(model, clip) for i, clip in enumerate(clips)}
            tensors |= {f"{variant}.layers.{n}": state for n, state in enumerate(states_of(model, clips[1]))}
            tensors[f"{variant}.quiet"] = frames_of(model, clips[1] * 0.01 + 0.002)
        tensors[f"{variant}.samples"] = torch.tensor([len(clip) for clip in clips])
    path = OUT / "reference.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
