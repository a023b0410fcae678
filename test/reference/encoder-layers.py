"""Writes test/fixtures/encoder-layers.safetensors: what transformers computes with the upper layers of the random encoders
of hubert.py and wavlm.py, from hidden states rounded to float16, and the gradients of a loss by their weights.

Made with torch 2.14.1, transformers 5.24.0 and safetensors 0.8, after those two:

    python test/reference/encoder-layers.py

<encoder>.<layers that are read>.<first trained layer's input>, for instance hubert/base-odd.0-3.1:
features   float16 [2, L, held * width], what would be cached of two clips, the shorter padded with ones
factors    float32 [2, L, width]; the loss is their product with the features that the model reads, summed over real frames
shares     float32 [states], parameters of the learned sum; absent where one state is read
mixed.<n>  float32 [L_n, width], the features that the model reads of a clip alone
gradient.<key>  of the loss
"""

import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
CLIPS = load_file(FIXTURES / "hubert" / "reference.safetensors")
SAMPLES = [700, 480]
CASES = [
    ("hubert/base-odd", [0, 3], 1),
    ("hubert/base-odd", [3], 0),
    ("hubert/large-odd", [1, 2], 1),
    ("hubert/large-odd", [1], 0),
    ("wavlm/base-odd", [1, 2, 3], 1),
    ("wavlm/large-odd", [2], 0),
]


def upper_states(model, start: torch.Tensor, first: int) -> list[torch.Tensor]:
    """The hidden states `first`, `first` + 1, ... of a clip alone, from hidden state `first` [1, L, width]."""
    states = [start]
    layers = model.encoder.layers
    bias = {}
    if model.config.model_type == "wavlm":
        frames = start.shape[1]
        bias = {"position_bias": layers[0].attention.compute_bias(frames, frames)}
    for layer in layers[first:]:
        found = layer(states[-1], **bias)
        states.append(found[0] if isinstance(found, tuple) else found)
    if model.config.do_stable_layer_norm:
        states[-1] = model.encoder.layer_norm(states[-1])
    return states


def main() -> None:
    tensors = {}
    for name, read, first in CASES:
        torch.manual_seed(len(tensors))
        model = AutoModel.from_pretrained(FIXTURES / name, dtype=torch.float32, attn_implementation="eager").eval()
        below = [layer for layer in read if layer < first]
        features = []
        with torch.no_grad():
            for number, samples in enumerate(SAMPLES):
                clip = CLIPS[f"clip.{number}"].float()[None, :samples]
                found = model(clip, output_hidden_states=True).hidden_states
                features.append(torch.cat([found[layer] for layer in [*below, first]], dim=2)[0].half())
        lengths = [len(each) for each in features]
        factors = torch.randn(len(SAMPLES), max(lengths), model.config.hidden_size)
        shares = torch.randn(len(read), requires_grad=True)
        loss = 0
        case = f"{name}.{'-'.join(map(str, read))}.{first}"
        for number, clip in enumerate(features):
            cached = clip.float()[None].chunk(len(below) + 1, dim=2)
            upper = upper_states(model, cached[-1], first)
            states = [*cached[:-1], *(upper[layer - first] for layer in read if layer >= first)]
            mixed = sum(share * state for share, state in zip(shares.softmax(0), states, strict=True))[0]
            loss = loss + (factors[number, : len(mixed)] * mixed).sum()
            tensors[f"{case}.mixed.{number}"] = mixed.detach().contiguous()
        loss.backward()
        tensors[f"{case}.features"] = torch.nn.utils.rnn.pad_sequence(features, batch_first=True, padding_value=1)
        tensors[f"{case}.factors"] = factors
        if len(read) > 1:
            tensors[f"{case}.shares"] = shares.detach()
            tensors[f"{case}.gradient.layer_mix.weight"] = shares.grad
        for key, parameter in model.named_parameters():
            if parameter.grad is not None and parameter.grad.abs().max() > 0:
                tensors[f"{case}.gradient.speech_encoder.{key}"] = parameter.grad.contiguous()
    path = FIXTURES / "encoder-layers.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
