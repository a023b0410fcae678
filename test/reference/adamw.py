"""Writes test/fixtures/adamw.safetensors: 20 steps of torch.optim.AdamW on a small model, as emoq should take them.

The model (tokens through an MLP, pooled by a masked softmax) is the one of test/engine/training-model.ts. Each step has
a batch of its own size; gradients are clipped by torch.nn.utils.clip_grad_norm_, only matrices decay, and the rate
follows src/engine/training/adamw.ts. Computed in float64 from float32 values. Made with Python 3, torch 2.13.0 and
safetensors 0.8.0:
    python test/reference/adamw.py
"""

import json
import math
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

FIXTURE = Path(__file__).parent.parent / "fixtures" / "adamw.safetensors"
SETTINGS = {"steps": 20, "total_steps": 24, "warmup_steps": 5, "rate": 0.02, "beta1": 0.9, "beta2": 0.999,
            "epsilon": 1e-8, "weight_decay": 0.1, "clip_norm": 6.0}
WIDTH, HIDDEN, OUT = 4, 6, 3
SHAPES = {"hidden.weight": (HIDDEN, WIDTH), "hidden.bias": (HIDDEN,), "score.weight": (1, HIDDEN),
          "norm.weight": (HIDDEN,), "norm.bias": (HIDDEN,), "output.weight": (OUT, HIDDEN), "output.bias": (OUT,)}


def loss_of(parameters, x, mask, target):
    hidden = torch.nn.functional.gelu(x @ parameters["hidden.weight"].T + parameters["hidden.bias"])
    scores = (hidden @ parameters["score.weight"].T).squeeze(-1).masked_fill(mask == 0, -math.inf)
    pooled = (scores.softmax(-1)[:, :, None] * hidden).sum(1)
    normed = torch.nn.functional.layer_norm(pooled, (HIDDEN,), parameters["norm.weight"], parameters["norm.bias"], 1e-5)
    output = normed @ parameters["output.weight"].T + parameters["output.bias"]
    return ((output - target) ** 2).sum() / len(x)


def rate_factor(step, settings):
    warmup, total = settings["warmup_steps"], settings["total_steps"]
    if step < warmup:
        return (step + 1) / warmup
    return max((total - step) / max(total - warmup, 1), 0)


def take_steps(parameters, loss_at, settings, after_step=lambda step, optimizer: None):
    """Trains parameters (by key) on loss_at(step): clipped gradients, AdamW, the schedule; matrices alone decay.

    Gives the loss, the gradient norm before clipping and the rate of each step."""
    values = list(parameters.values())
    groups = [{"params": [value for value in values if value.ndim >= 2], "weight_decay": settings["weight_decay"]},
              {"params": [value for value in values if value.ndim < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings["rate"], betas=(settings["beta1"], settings["beta2"]),
                                  eps=settings["epsilon"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, settings))
    losses, norms, rates = [], [], []
    for step in range(settings["steps"]):
        optimizer.zero_grad()
        loss = loss_at(step)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(values, settings["clip_norm"]).item())
        losses.append(loss.item())
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        after_step(step, optimizer)
    assert min(norms) < settings["clip_norm"] < max(norms), f"clipping should act in some steps only: {norms}"
    return {"loss": torch.tensor(losses, dtype=torch.float64),
            "gradient_norm": torch.tensor(norms, dtype=torch.float64),
            "learning_rate_used": torch.tensor(rates, dtype=torch.float64)}


def draw_batch(step):
    batch, length = 2 + (3 * step) % 4, 3 + (7 * step) % 5
    x, target = torch.randn(batch, length, WIDTH), torch.randn(batch, OUT) * (3 if step % 2 else 0.5)
    lengths = torch.randint(1, length + 1, (batch,))
    lengths[0] = length
    return x, (torch.arange(length)[None, :] < lengths[:, None]).long(), target


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    torch.manual_seed(0)
    parameters = {key: torch.randn(shape) * (0.3 if len(shape) == 1 else shape[-1] ** -0.5)
                  for key, shape in SHAPES.items()}
    parameters["norm.weight"] += 1
    batches = [draw_batch(step) for step in range(SETTINGS["steps"])]
    out = {f"start/{key}": value.clone() for key, value in parameters.items()}
    for step, (x, mask, target) in enumerate(batches):
        out |= {f"batch/{step}/x": x, f"batch/{step}/mask": mask, f"batch/{step}/target": target}
    parameters = {key: value.double().requires_grad_(True) for key, value in parameters.items()}

    def loss_at(step):
        x, mask, target = batches[step]
        return loss_of(parameters, x.double(), mask, target.double())

    def keep(step, optimizer):
        if step + 1 not in (1, SETTINGS["steps"] // 2, SETTINGS["steps"]):
            return
        for key, value in parameters.items():
            state = optimizer.state[value]
            out.update({f"after/{step + 1}/{key}": value.detach().clone(),
                        f"after/{step + 1}/exp_avg/{key}": state["exp_avg"].clone(),
                        f"after/{step + 1}/exp_avg_sq/{key}": state["exp_avg_sq"].clone()})

    series = take_steps(parameters, loss_at, SETTINGS, keep)
    out |= series
    reference = {"settings": SETTINGS, "torch": torch.__version__, "safetensors": safetensors.__version__}
    save_file({key: value.contiguous() for key, value in out.items()}, FIXTURE,
              {"reference": json.dumps(reference)})  # one key: the library writes several in any order
    FIXTURE.chmod(0o644)
    norms = series["gradient_norm"]
    print(f"{FIXTURE.name}: gradient norms {norms.min():.2f} to {norms.max():.2f}")


if __name__ == "__main__":
    main()
