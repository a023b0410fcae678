"""Writes test/fixtures/autodiff.safetensors: loss and gradients of a two-layer attention block by PyTorch autograd.

All in float64. The block is that of test/engine/autodiff-attention.test.ts: post-norm transformer layers with padded
keys masked, GELU in its exact form. Made with Python 3, torch 2.13.0 and safetensors 0.8.0:
    python test/reference/autodiff.py
"""

from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

BATCH, FRAMES, WIDTH, HEADS, INNER, LAYERS = 2, 5, 8, 2, 16, 2

torch.manual_seed(11)
double = {"dtype": torch.float64}
values = {"x": torch.randn(BATCH, FRAMES, WIDTH, **double)}
for layer in range(LAYERS):
    for name, out, width in [
        ("query", WIDTH, WIDTH),
        ("key", WIDTH, WIDTH),
        ("value", WIDTH, WIDTH),
        ("attention_output", WIDTH, WIDTH),
        ("intermediate", INNER, WIDTH),
        ("output", WIDTH, INNER),
    ]:
        values[f"layer.{layer}.{name}.weight"] = torch.randn(out, width, **double) / width**0.5
        values[f"layer.{layer}.{name}.bias"] = 0.1 * torch.randn(out, **double)
    for name in ["attention_norm", "output_norm"]:
        values[f"layer.{layer}.{name}.weight"] = 1 + 0.2 * torch.randn(WIDTH, **double)
        values[f"layer.{layer}.{name}.bias"] = 0.1 * torch.randn(WIDTH, **double)
mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
loss_weights = torch.randn(BATCH, FRAMES, WIDTH, **double)

# What the test reads is float32: round first, so that both sides start from the same numbers.
values = {key: value.float().double().requires_grad_() for key, value in values.items()}


def linear(x, name):
    return F.linear(x, values[f"{name}.weight"], values[f"{name}.bias"])


def norm(x, name):
    return F.layer_norm(x, (WIDTH,), values[f"{name}.weight"], values[f"{name}.bias"], 1e-5)


x = values["x"]
for layer in range(LAYERS):
    at = f"layer.{layer}"
    q, k, v = (
        linear(x, f"{at}.{name}").reshape(BATCH, FRAMES, HEADS, WIDTH // HEADS).transpose(1, 2)
        for name in ["query", "key", "value"]
    )
    scores = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5).masked_fill(~mask[:, None, None, :], -torch.inf)
    context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(BATCH, FRAMES, WIDTH)
    hidden = norm(x + linear(context, f"{at}.attention_output"), f"{at}.attention_norm")
    inner = linear(F.gelu(linear(hidden, f"{at}.intermediate")), f"{at}.output")
    x = norm(hidden + inner, f"{at}.output_norm")
loss = (x * loss_weights).sum()
loss.backward()

tensors = {key: value.detach().float() for key, value in values.items()}
tensors |= {f"gradient/{key}": value.grad for key, value in values.items()}
tensors |= {"mask": mask, "loss_weights": loss_weights, "loss": loss.detach(), "y": x.detach()}
save_file(
    {key: value.contiguous() for key, value in tensors.items()},
    Path(__file__).parents[1] / "fixtures" / "autodiff.safetensors",
    metadata={"torch": torch.__version__, "safetensors": safetensors.__version__},
)
