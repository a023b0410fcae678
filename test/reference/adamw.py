"""Writes test/fixtures/adamw.safetensors: 20 steps of torch.optim.AdamW on a small model, as emoq should take them.

The model (tokens through an MLP, pooled by a masked softmax) is the one of test/engine/training-model.ts. Each step has
a batch of its own size; gradients are clipped by torch.nn.utils.clip_grad_norm_, only matrices decay, and the rate
follows src/engine/training/schedule.ts. Computed in float64 from float32 values. Made with Python 3, torch 2.13.0 and
safetensors 0.8.0:
    python test/reference/adamw.py
"""

import math
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

FIXTURE = Path(__file__).parent.parent / "fixtures" / "adamw.safetensors"
STEPS, TOTAL_STEPS, WARMUP_STEPS = 20, 24, 5
RATE, BETAS, EPSILON, WEIGHT_DECAY, CLIP_NORM = 0.02, (0.9, 0.999), 1e-8, 0.1, 6.0
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


def rate_factor(step):
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    return max((TOTAL_STEPS - step) / max(TOTAL_STEPS - WARMUP_STEPS, 1), 0)


def main():
    torch.manual_seed(0)
    parameters = {key: torch.randn(shape) * (0.3 if len(shape) == 1 else shape[-1] ** -0.5)
                  for key, shape in SHAPES.items()}
    parameters["norm.weight"] += 1
    out = {f"start/{key}": value.clone() for key, value in parameters.items()}
    parameters = {key: value.double().requires_grad_(True) for key, value in parameters.items()}
    groups = [{"params": [value for value in parameters.values() if value.ndim >= 2], "weight_decay": WEIGHT_DECAY},
              {"params": [value for value in parameters.values() if value.ndim < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor)

    losses, norms, rates = [], [], []
    for step in range(STEPS):
        batch, length = 2 + (3 * step) % 4, 3 + (7 * step) % 5
        x, target = torch.randn(batch, length, WIDTH), torch.randn(batch, OUT) * (3 if step % 2 else 0.5)
        lengths = torch.randint(1, length + 1, (batch,))
        lengths[0] = length
        mask = (torch.arange(length)[None, :] < lengths[:, None]).long()
        out |= {f"batch/{step}/x": x, f"batch/{step}/mask": mask, f"batch/{step}/target": target}
        optimizer.zero_grad()
        loss = loss_of(parameters, x.double(), mask, target.double())
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP_NORM).item())
        losses.append(loss.item())
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        if step + 1 in (1, STEPS // 2, STEPS):
            for key, value in parameters.items():
                state = optimizer.state[value]
                out |= {f"after/{step + 1}/{key}": value.detach().clone(),
                        f"after/{step + 1}/exp_avg/{key}": state["exp_avg"].clone(),
                        f"after/{step + 1}/exp_avg_sq/{key}": state["exp_avg_sq"].clone()}
    out |= {"loss": torch.tensor(losses, dtype=torch.float64), "gradient_norm": torch.tensor(norms, dtype=torch.float64),
            "learning_rate_used": torch.tensor(rates, dtype=torch.float64)}
    metadata = {"steps": STEPS, "total_steps": TOTAL_STEPS, "warmup_steps": WARMUP_STEPS, "rate": RATE,
                "beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON, "weight_decay": WEIGHT_DECAY,
                "clip_norm": CLIP_NORM, "torch": torch.__version__, "safetensors": safetensors.__version__}
    save_file({key: value.contiguous() for key, value in out.items()}, FIXTURE,
              {key: str(value) for key, value in metadata.items()})
    FIXTURE.chmod(0o644)
    print(f"{FIXTURE.name}: gradient norms {min(norms):.2f} to {max(norms):.2f}")


if __name__ == "__main__":
    main()
