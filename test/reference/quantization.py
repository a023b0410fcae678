"""Writes test/fixtures/quantization.json: weights in blocks of 8 and 4 bits by numpy, and ONNX's numbers of the types.

Made with Python 3, numpy 2.4.6 and onnx 1.23.2:
    python test/reference/quantization.py
"""

import json
from pathlib import Path

import numpy as np
import onnx

RANGES = [1, 0.95, 0.9, 0.85, 0.8]


def half(x):
    return np.float64(np.float16(np.float32(x)))


def quantize(block, bits):
    """Integers, scale and zero point of one block, by the definition in src/engine/tensor/block-quantization.ts."""
    block = block.astype(np.float64)
    if bits == 8:
        scale = half(np.abs(block).max() / 127)
        inverse = 0 if scale == 0 else 1 / scale
        return np.clip(np.floor(block * inverse + 0.5), -127, 127), scale, None
    low, high = min(block.min(), 0), max(block.max(), 0)
    best = None
    for part in RANGES:
        scale = half((high - low) * part / 15)
        inverse = 0 if scale == 0 else 1 / scale
        zero = min(np.floor(-low * part * inverse + 0.5), 15)
        steps = np.clip(np.floor(block * inverse + 0.5) + zero, 0, 15)
        error = np.sum(((steps - zero) * scale - block) ** 2)
        if best is None or error < best[0]:
            best = (error, steps, scale, zero)
    return best[1:]


def packed(values):
    """Two values per byte, the first in the low half, as in ONNX."""
    values = np.asarray(values, dtype=np.uint8)
    if len(values) % 2:
        values = np.append(values, np.uint8(0))
    return (values[0::2] | (values[1::2] << 4)).tolist()


def case(weights, bits, size):
    blocks = weights.reshape(-1, size)
    made = [quantize(block, bits) for block in blocks]
    integers = np.concatenate([integer for integer, _, _ in made])
    scales = np.array([scale for _, scale, _ in made], dtype=np.float16)
    zeros = np.array([0 if zero is None else zero for _, _, zero in made])
    restored = np.concatenate(
        [((integer - z) * np.float64(s)).astype(np.float32) for (integer, _, _), s, z in zip(made, scales, zeros)]
    )
    return {
        "bits": bits,
        "blockSize": size,
        "integers": integers.astype(np.int8).view(np.uint8).tolist() if bits == 8 else packed(integers),
        "scales": scales.view(np.uint16).tolist(),
        "zeroPoints": None if bits == 8 else packed(zeros),
        "restored": restored.astype(np.float64).tolist(),
    }


def main():
    rng = np.random.default_rng(7)
    size = 64
    rows = [
        rng.standard_normal(size) * 0.02,
        rng.standard_t(3, size) * 0.05,
        np.zeros(size),
        np.full(size, -0.125),
        np.abs(rng.standard_normal(size)) + 3,
        np.where(np.arange(size) == 5, 40, rng.standard_normal(size) * 0.01),
        rng.standard_normal(size) * 1e-8,  # below the smallest scale of float16
        rng.standard_normal(size) * 1e-5,  # scales that are subnormal in float16
        np.linspace(-1, 1, size),
    ]
    weights = np.concatenate(rows).astype(np.float32)
    cases = [case(weights, bits, block) for bits in (4, 8) for block in (32, 64)]
    types = {"uint4": onnx.TensorProto.UINT4, "int4": onnx.TensorProto.INT4, "int8": onnx.TensorProto.INT8}
    fixture = {"types": types, "weights": weights.astype(np.float64).tolist(), "cases": cases}
    path = Path(__file__).parent.parent / "fixtures" / "quantization.json"
    path.write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
