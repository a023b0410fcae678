"""Writes test/fixtures/linear-probe.json: probes of a padded batch as PyTorch computes them.

Each utterance is computed alone, without padding, in float64; the batch in the fixture is padded with values that must not
matter. Features are stored in half precision, as emoq's feature cache has them. Made with Python 3 and torch 2.13.0:
    python test/reference/linear-probe.py
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

FIXTURE = Path(__file__).parent.parent / "fixtures" / "linear-probe.json"
WIDTH, CLASSES, FRAMES = 5, 3, [4, 7, 1]
LABELS = [2, 0, 2]


def flat(value):
    return value.detach().flatten().tolist()


def main():
    torch.manual_seed(3)
    features = [(2 * torch.randn(frames, WIDTH) + 1).half().double() for frames in FRAMES]
    padded = torch.full((len(FRAMES), max(FRAMES), WIDTH), 9.0, dtype=torch.float64)
    for row, own in enumerate(features):
        padded[row, : len(own)] = own
    cases = []
    for hidden, standardize in [(0, False), (0, True), (4, False), (4, True)]:
        parameters = {}

        def parameter(key, *shape):
            value = torch.randn(shape).half().double().requires_grad_(True)
            parameters[f"probe.{key}"] = value
            return value

        scale, shift = (parameter("norm.weight", WIDTH), parameter("norm.bias", WIDTH)) if standardize else (1, 0)
        inner = (parameter("hidden.weight", hidden, WIDTH), parameter("hidden.bias", hidden)) if hidden else None
        weight, bias = parameter("out.weight", CLASSES, hidden or WIDTH), parameter("out.bias", CLASSES)

        def pooled(x):
            if inner is None:
                return x.mean(0) * scale + shift
            return F.relu(F.linear(x * scale + shift, *inner)).mean(0)

        embeddings = torch.stack([pooled(x) for x in features])
        logits = F.linear(embeddings, weight, bias)
        loss = F.cross_entropy(logits, torch.tensor(LABELS))
        loss.backward()
        cases.append({
            "hidden": hidden,
            "standardize": standardize,
            "parameters": {key: {"shape": list(value.shape), "values": flat(value)} for key, value in parameters.items()},
            "loss": loss.item(),
            "embedding": flat(embeddings),
            "probabilities": flat(logits.softmax(-1)),
            "gradients": {key: flat(value.grad) for key, value in parameters.items()},
        })
    FIXTURE.write_text(json.dumps({
        "width": WIDTH,
        "classes": CLASSES,
        "frames": FRAMES,
        "labels": LABELS,
        "features": flat(padded),
        "cases": cases,
    }))


main()
