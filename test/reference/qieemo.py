"""Writes test/fixtures/qieemo.safetensors: Qieemo's fusion modules, as src/systems/qieemo/fusion.ts reads them, in PyTorch,
with cross-entropy and its gradients.

Made with torch 2.14.1 and safetensors 0.8:

    python test/reference/qieemo.py

<variant>.<parameter>   initial parameters, all random
<variant>.probabilities, <variant>.embedding, <variant>.loss, <variant>.gradient.<parameter>
features, logits, frames, labels   three clips of 11, 7 and 1 frames, padded with ones
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy, gelu

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "qieemo.safetensors"
FRAMES = torch.tensor([11, 7, 1])
WIDTH, HEADS, INNER, HEAD, CLASSES = 6, 2, 10, 5, 3
FEATURES, SYMBOLS = 9, 4
VARIANTS = {
    "whole": dict(mmf=True, cma=True, streams="both"),
    "without_mmf": dict(mmf=False, cma=True, streams="both"),
    "without_cma": dict(mmf=True, cma=False, streams="both"),
    "sum": dict(mmf=False, cma=False, streams="both"),
    "ppg": dict(mmf=True, cma=True, streams="ppg"),
    "emotion": dict(mmf=True, cma=True, streams="emotion"),
}


class Mmf(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(2 * WIDTH, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH)

    def forward(self, emotion, phonetic):
        gate = torch.sigmoid(self.gate(torch.cat([emotion, phonetic], dim=-1)))
        return self.LayerNorm(gelu(gate * emotion + (1 - gate) * phonetic))


class Direction(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.attention = nn.ModuleDict({"LayerNorm": nn.LayerNorm(WIDTH)})
        self.intermediate = nn.Linear(WIDTH, INNER)
        self.feed_forward = nn.Linear(INNER, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH)

    def forward(self, asking, asked):
        split = lambda x: x.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(0, 1)
        attended = nn.functional.scaled_dot_product_attention(
            split(self.query(asking)), split(self.key(asked)), split(self.value(asked)))
        joined = self.attention["LayerNorm"](asking + self.output(attended.transpose(0, 1).flatten(-2)))
        return self.LayerNorm(joined + self.feed_forward(gelu(self.intermediate(joined))))


class Pooling(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(WIDTH, HEADS, bias=False)
        self.value, self.output = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        shares = self.score(x).softmax(dim=0)  # [L, H]
        values = self.value(x).unflatten(-1, (HEADS, WIDTH // HEADS))
        return self.output((shares[:, :, None] * values).sum(dim=0).flatten())


class Qieemo(nn.Module):
    def __init__(self, mmf, cma, streams):
        super().__init__()
        fusion = {"pooling": Pooling(), "fused": nn.ModuleDict({"LayerNorm": nn.LayerNorm(WIDTH)})}
        if streams != "ppg":
            fusion["emotion_projection"] = nn.Linear(FEATURES, WIDTH)
        if streams != "emotion":
            fusion["ppg_projection"] = nn.Linear(SYMBOLS, WIDTH)
        if streams == "both" and mmf:
            fusion["mmf"] = Mmf()
        if streams == "both" and cma:
            fusion["cma"] = nn.ModuleDict({"emotion": Direction(), "ppg": Direction()})
        self.fusion = nn.ModuleDict(fusion)
        self.head = nn.ModuleDict({"dense": nn.Linear(WIDTH, HEAD), "out_proj": nn.Linear(HEAD, CLASSES)})

    def forward(self, features, logits):
        """One clip: [L, FEATURES] and [L, SYMBOLS]."""
        parts = self.fusion
        emotion = parts["emotion_projection"](features) if "emotion_projection" in parts else None
        phonetic = parts["ppg_projection"](logits.softmax(dim=-1)) if "ppg_projection" in parts else None
        if emotion is None or phonetic is None:
            frames = gelu(phonetic if emotion is None else emotion)
        else:
            frames = 0
            if "mmf" in parts:
                frames = frames + parts["mmf"](emotion, phonetic)
            if "cma" in parts:
                frames = frames + parts["cma"]["emotion"](emotion, phonetic) + parts["cma"]["ppg"](phonetic, emotion)
            if "mmf" not in parts and "cma" not in parts:
                frames = emotion + phonetic
        embedding = parts["pooling"](parts["fused"]["LayerNorm"](frames))
        return embedding, self.head["out_proj"](gelu(self.head["dense"](embedding)))


def main() -> None:
    torch.manual_seed(7)
    longest = int(FRAMES.max())
    features = torch.randn(len(FRAMES), longest, FEATURES).half()
    logits = (2 * torch.randn(len(FRAMES), longest, SYMBOLS)).half()
    for clip, frames in enumerate(FRAMES):
        features[clip, frames:] = 1
        logits[clip, frames:] = 1
    labels = torch.tensor([2, 0, 1])
    tensors = {"features": features, "logits": logits, "frames": FRAMES, "labels": labels}
    for name, variant in VARIANTS.items():
        model = Qieemo(**variant)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.6)
        found = [model(features[clip, :frames].float(), logits[clip, :frames].float()) for clip, frames in enumerate(FRAMES)]
        scores = torch.stack([each for _, each in found])
        loss = cross_entropy(scores, labels)
        loss.backward()
        tensors |= {f"{name}.probabilities": scores.softmax(dim=1), f"{name}.loss": loss[None],
                    f"{name}.embedding": torch.stack([each for each, _ in found])}
        for key, parameter in model.named_parameters():
            tensors[f"{name}.{key}"] = parameter
            tensors[f"{name}.gradient.{key}"] = parameter.grad
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, OUT)
    OUT.chmod(0o644)


if __name__ == "__main__":
    main()
