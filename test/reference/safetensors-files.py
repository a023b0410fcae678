"""Makes test/fixtures/safetensors/: a file written by the Python library, the values it holds, and a file written by
emoq that the Python library reads back.

Made with Python 3.11, safetensors 0.8.0, torch 2.13.0. Run from the repository root after `npm run build`:
    python test/reference/safetensors-files.py
"""

import json
import subprocess
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FOLDER = Path("test/fixtures/safetensors")

values = torch.tensor([[0.0, -0.0, 1.0, -1.5], [3.1415927, 65504.0, 6.1e-5, -5.9604645e-08]])
tensors = {
    "f32": values,
    "f64": values.double() / 3,
    "f16": values.half(),
    "bf16": values.bfloat16(),
    "i64": torch.tensor([0, -1, 2**62, -(2**63)], dtype=torch.int64),
    "i32": torch.tensor([[1], [-(2**31)]], dtype=torch.int32),
    "i8": torch.tensor([-128, 127, 5], dtype=torch.int8),
    "u8": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    'name with "quotes", spaces and Ünïcode': torch.tensor([1.0]),
    "7": torch.tensor([7.0]),
}
metadata = {"note": "zwölf"}

FOLDER.mkdir(parents=True, exist_ok=True)
save_file(tensors, FOLDER / "python.safetensors", metadata=metadata)
(FOLDER / "python.safetensors").chmod(0o644)

float32_values = {
    key: tensor.float().flatten().tolist() for key, tensor in tensors.items() if tensor.is_floating_point()
}
integers = {
    key: [str(int(item)) for item in tensor.flatten()]
    for key, tensor in tensors.items()
    if not tensor.is_floating_point()
}
shapes = {key: list(tensor.shape) for key, tensor in tensors.items()}
expected = {"metadata": metadata, "shapes": shapes, "float32": float32_values, "integers": integers}
(FOLDER / "python.json").write_text(json.dumps(expected, ensure_ascii=False) + "\n", encoding="utf-8")

# The other direction: emoq rewrites the file, and the Python library must find the same tensors in it.
subprocess.run(
    [
        "node",
        "--input-type=module",
        "-e",
        "const { readSafetensors, writeSafetensors } = await import(process.cwd() + '/dist/engine/tensor/index.js');"
        "const { tensors, metadata } = await readSafetensors(process.argv[1]);"
        "const keys = [...tensors.keys()].sort();"
        "await writeSafetensors(process.argv[2], keys.map((key) => [key, tensors.get(key)]), metadata);",
        str(FOLDER / "python.safetensors"),
        str(FOLDER / "emoq.safetensors"),
    ],
    check=True,
)
found = load_file(FOLDER / "emoq.safetensors")
assert found.keys() == tensors.keys(), (found.keys(), tensors.keys())
for key, tensor in tensors.items():
    assert found[key].dtype == tensor.dtype and found[key].shape == tensor.shape, key
    assert found[key].numpy(force=True).tobytes() == tensor.numpy(force=True).tobytes() if (
        tensor.dtype != torch.bfloat16
    ) else torch.equal(found[key].view(torch.int16), tensor.view(torch.int16)), key
with safe_open(FOLDER / "emoq.safetensors", "pt") as file:
    assert file.metadata() == metadata, file.metadata()
print("emoq.safetensors reads back equal")
