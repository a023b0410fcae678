"""Writes test/fixtures/ctc-loss.safetensors: losses of torch.nn.functional.ctc_loss and their gradients by the logits.

Made with torch 2.14.1 and safetensors 0.8:

    python test/reference/ctc-loss.py

short  5 clips of up to 30 frames: repeated symbols, one symbol, none, and one with too few frames for its symbols
long   2 clips of up to 260 frames with confident logits, the second in half as many
"""

import pathlib

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "ctc-loss.safetensors"
CASES = {
    # frames, symbols of the head, blank, scale of the logits, targets
    "short": ([30, 21, 12, 9, 6], 7, 3, 2.0, [[1, 1, 2, 2, 2, 0, 5], [6, 4, 6], [5], [], [1, 2, 2, 4, 5, 0]]),
    "long": ([260, 130], 12, 0, 8.0, [[1 + (i * i) % 11 for i in range(60)], [1 + i % 3 for i in range(33)]]),
}


def main() -> None:
    tensors = {}
    for name, (frames, size, blank, scale, targets) in CASES.items():
        torch.manual_seed(len(name))
        logits = (scale * torch.randn(len(frames), max(frames), size)).requires_grad_()
        lengths = [len(target) for target in targets]
        padded = torch.full((len(targets), max(lengths)), 2)
        for row, target in enumerate(targets):
            padded[row, : len(target)] = torch.tensor(target, dtype=torch.long)
        loss = torch.nn.functional.ctc_loss(
            logits.double().log_softmax(2).transpose(0, 1), padded, torch.tensor(frames), torch.tensor(lengths),
            blank=blank, reduction="mean", zero_infinity=True)
        loss.backward()
        tensors |= {f"{name}.logits": logits.detach(), f"{name}.gradient": logits.grad, f"{name}.targets": padded,
                    f"{name}.frames": torch.tensor(frames), f"{name}.lengths": torch.tensor(lengths),
                    f"{name}.blank": torch.tensor([blank]), f"{name}.loss": loss.detach().float()[None]}
    save_file(tensors, OUT)
    OUT.chmod(0o644)


if __name__ == "__main__":
    main()
