"""Writes test/fixtures/schedule.json: the factors by which transformers' schedules multiply a learning rate.

Of get_linear_, get_cosine_ and get_constant_schedule_with_warmup, for each step of a run and a few beyond its end. Made
with Python 3, torch 2.14.1 and transformers 5.24.0:
    python test/reference/schedule.py
"""

import json
from pathlib import Path

import torch
import transformers

FIXTURE = Path(__file__).parent.parent / "fixtures" / "schedule.json"
CASES = [(5, 24), (0, 7), (24, 24), (1, 100)]  # steps of warm-up, steps in all


def factors(warmup, total, make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer, warmup, total)
    rates = []
    for _ in range(total + 3):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def main():
    shapes = {
        "linear": transformers.get_linear_schedule_with_warmup,
        "cosine": transformers.get_cosine_schedule_with_warmup,
        "constant": lambda optimizer, warmup, _: transformers.get_constant_schedule_with_warmup(optimizer, warmup),
    }
    cases = [{"warmup": warmup, "total": total, **{name: factors(warmup, total, make) for name, make in shapes.items()}}
             for warmup, total in CASES]
    FIXTURE.write_text(json.dumps({"transformers": transformers.__version__, "cases": cases}) + "\n")
    print(f"{FIXTURE.name}: {len(cases)} cases")


if __name__ == "__main__":
    main()
