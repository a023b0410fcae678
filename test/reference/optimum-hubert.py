"""Writes test/fixtures/optimum-hubert: what Hugging Face Optimum makes of two checkpoints of test/fixtures/hubert.

Made with optimum 2.1.0, optimum-onnx 0.1.0, transformers 4.57.6, torch 2.13.0, onnx 1.23.2 and onnxruntime 1.30.0:

    python test/reference/optimum-hubert.py

Each folder is the export as it is: model.onnx with its weights inside, config.json and preprocessor_config.json. It takes
`input_values` alone. Run after hubert.py, whose hidden states of single clips the graphs must give: the script fails
otherwise. Optimum wants an older transformers than the other references, so it has an environment of its own; where it
is not installed, the script says so and leaves the fixtures as they are.
"""

import pathlib
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

try:
    from optimum.exporters.onnx import main_export
except ImportError:
    sys.exit(print("optimum-hubert.py: left as it is, optimum-onnx is not installed"))

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
OUT = FIXTURES / "optimum-hubert"
CHECKPOINTS = ["base-odd", "large-odd"]


def main() -> None:
    reference = load_file(FIXTURES / "hubert" / "reference.safetensors")
    for name in CHECKPOINTS:
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        main_export(str(FIXTURES / "hubert" / name), folder, task="feature-extraction", library_name="transformers")
        onnx.checker.check_model(str(folder / "model.onnx"))
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        assert [port.name for port in session.get_inputs()] == ["input_values"]
        for i, samples in enumerate(reference[f"{name}.samples"]):
            clip = reference[f"clip.{i}"][None, :samples].astype(np.float32)
            (hidden,) = session.run(["last_hidden_state"], {"input_values": clip})
            expected = reference[f"{name}.{i}"]
            error = np.abs(hidden[0] - expected).max()
            print(f"{name}, {samples} samples: off by {error:.1e}, relative {error / np.abs(expected).max():.1e}")
            assert error < 1e-4 * np.abs(expected).max()


if __name__ == "__main__":
    main()
