"""Writes test/fixtures/tensor.json: 16-bit floats by numpy and torch, element types by onnx, random numbers by hand.

Made with Python 3, numpy 2.4.6, torch 2.13.0, onnx 1.23.2 and safetensors 0.8.0:
    python test/reference/tensor.py
"""

import json
import math
import struct
from pathlib import Path

import numpy as np
import onnx
import torch
from safetensors.torch import save


def float_bits(value):
    return struct.unpack("<I", struct.pack("<f", value))[0]


def conversions():
    """float32 bit patterns with the words that numpy (binary16) and torch (bfloat16) make of them."""
    special = [0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, 65504.0, 65519.996, 65520.0, -65520.0, 1e38, 3.4028235e38]
    small = [2.0**-14, 2.0**-15, 2.0**-24, 2.0**-25, 2.0**-26, 2.0**-149, 2.0**-126, 1.5 * 2.0**-24, 2.5 * 2.0**-24]
    patterns = [float_bits(value) for value in special + small]
    patterns += [0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x7FBFFFFF]  # NaN of several kinds
    for word in [0x0001, 0x0002, 0x03FF, 0x0400, 0x0401, 0x3BFF, 0x3C00, 0x7BFE, 0x7BFF]:
        # One below, on and above the tie with the next binary16 value.
        low, high = (float(np.array([w], np.uint16).view(np.float16)[0]) for w in (word, word + 1))
        if not math.isinf(high):
            tie = float_bits((low + high) / 2)
            patterns += [tie - 1, tie, tie + 1]
    for base in [0x3F800000, 0x3F810000, 0x00010000, 0x7F7F0000, 0xBF800000]:
        patterns += [base + 0x7FFF, base + 0x8000, base + 0x8001]  # around the tie of bfloat16
    patterns += np.random.default_rng(5).integers(0, 2**32, 150, dtype=np.uint32).tolist()
    floats = np.array(patterns, np.uint32).view(np.float32)
    with np.errstate(over="ignore"):
        half = floats.astype(np.float16).view(np.uint16)
    bfloat16 = torch.from_numpy(floats.copy()).to(torch.bfloat16).view(torch.uint16).numpy()
    return {"float32": patterns, "float16": half.tolist(), "bfloat16": bfloat16.tolist()}


def element_types():
    """Size, ONNX number and safetensors name of each type."""
    names = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool"]
    onnx_names = {"float32": "FLOAT", "float64": "DOUBLE"}
    table = {}
    for name in names:
        value = torch.zeros(1, dtype=getattr(torch, name))
        header = json.loads(save({"x": value})[8:].split(b"}}")[0] + b"}}")
        table[name] = {
            "bytes": value.element_size(),
            "onnx": onnx.TensorProto.DataType.Value(onnx_names.get(name, name.upper())),
            "safetensors": header["x"]["dtype"],
        }
    return table


def random_words(seed, count):
    """xoshiro128** seeded by splitmix32 over the FNV-1a hash of the seed's parts."""
    mask = 0xFFFFFFFF
    state = 0x811C9DC5
    for byte in "\0".join(str(part) for part in seed).encode():
        state = (state ^ byte) * 0x01000193 & mask

    def splitmix():
        nonlocal state
        state = (state + 0x9E3779B9) & mask
        z = (state ^ state >> 16) * 0x21F0AAAD & mask
        z = (z ^ z >> 15) * 0x735A2D97 & mask
        return z ^ z >> 15

    def rotl(x, k):
        return (x << k | x >> (32 - k)) & mask

    s = [splitmix() for _ in range(4)]
    words = []
    for _ in range(count):
        words.append(rotl(s[1] * 5 & mask, 7) * 9 & mask)
        t = s[1] << 9 & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)
    return words


seeds = [[0], [7, "dropout", 12], ["sätze", -1.5]]
fixture = {
    "versions": {"numpy": np.__version__, "torch": torch.__version__, "onnx": onnx.__version__},
    "conversions": conversions(),
    "elementTypes": element_types(),
    "random": [{"seed": seed, "uint32": random_words(seed, 8)} for seed in seeds],
}
path = Path(__file__).parents[1] / "fixtures" / "tensor.json"
path.write_text(json.dumps(fixture) + "\n")
