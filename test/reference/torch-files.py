"""Makes test/fixtures/torch/: checkpoints as PyTorch writes them, what they hold, and pickles that do harm.

Made with Python 3.11, torch 2.13.0, transformers 5.23.0, safetensors 0.8.0 and numpy 2.4.6:

    python test/reference/torch-files.py

state/    one state dict in the zip format (protocols 2 and 4), in the format before 1.6 (protocols 2 and 4) and as
          Python 2 pickled dictionaries; values.safetensors is what all of them hold
hubert/   a tiny HuBERT of the large kind, its weight norm under the names weight_g and weight_v, in both formats;
          reference.safetensors is what transformers computes from pytorch_model.bin
sharded/  two files and their index, as transformers wrote them before safetensors
refused/  what cannot be read in place; refused.json says what the error must name
harmful/  pickles that run a command, or fetch a function that could; harmful.json says what they ask for

The keys of storages in the older format are addresses in memory, so that these files differ from run to run.
"""

import collections
import io
import json
import os
import pathlib
import pickle
import shutil
import tempfile
import warnings
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import HubertConfig, HubertModel

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "torch"
MARK = "emoq-pickle-ran"
CLIP_SAMPLES = [2_000, 400]

warnings.filterwarnings("ignore")


def save(value: object, path: str, legacy: bool = False, protocol: int = 2) -> pathlib.Path:
    target = OUT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, target, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    return target


def state_dict() -> collections.OrderedDict:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(4, 3, generator=generator)
    state = collections.OrderedDict(
        {
            "embedding.weight": table,
            "lm_head.weight": table,
            "rows": table[1:3],
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 3),
            "column": torch.arange(6.0)[None].T,
            "wide": torch.randn(2, 2, generator=generator).T.contiguous(),
            "parameter": torch.nn.Parameter(torch.ones(2)),
            "half": torch.tensor([0.1, -65504.0, 6e-8]).half(),
            "bfloat16": torch.tensor([3.14159, -1e38]).bfloat16(),
            "double": torch.tensor([1 / 3], dtype=torch.float64),
            "long": torch.tensor([2**62, -1]),
            "int": torch.tensor([[-(2**31)], [7]], dtype=torch.int32),
            "char": torch.tensor([-128, 127], dtype=torch.int8),
            "byte": torch.tensor([0, 255], dtype=torch.uint8),
            "bool": torch.tensor([True, False, True]),
            "position_ids": torch.arange(5).expand(1, -1),
            "__proto__": torch.tensor([1.0]),
            "Ünïcode": torch.tensor([7.0]),
        }
    )
    state._metadata = collections.OrderedDict({"": {"version": 1}, "inner": {"version": 2, "scale": 0.5, "none": None}})
    return state


class Python2OrderedDict:
    """Pickles as collections.OrderedDict of Python 2 did: built from a list of pairs."""

    def __init__(self, items: dict) -> None:
        self.pairs = [list(pair) for pair in items.items()]

    def __reduce__(self) -> tuple:
        return collections.OrderedDict, (self.pairs,), {"_metadata": {}}


def write_states() -> None:
    state = state_dict()
    save(state, "state/zip.bin")
    save(state, "state/zip-protocol-4.bin", protocol=4)
    save(dict(state), "state/legacy.bin", legacy=True)
    save(state, "state/legacy-protocol-4.bin", legacy=True, protocol=4)
    save(Python2OrderedDict(state), "state/python2.bin")
    values = {key: value.detach().clone().contiguous() for key, value in state.items()}
    save_file(values, OUT / "state" / "values.safetensors")
    (OUT / "state" / "values.safetensors").chmod(0o644)


def write_hubert() -> None:
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=20,
        conv_dim=(8, 8, 8, 8, 8, 8, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm="layer",
        conv_bias=True,
        do_stable_layer_norm=True,
    )
    model = HubertModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.2)
            elif "norm" in name or name.endswith("original0"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
    older = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = collections.OrderedDict()
    for key, value in model.state_dict().items():
        for new, old in older.items():
            key = key.replace(new, old)
        state[key] = value
    state._metadata = model.state_dict()._metadata
    folder = save(state, "hubert/pytorch_model.bin").parent
    save(state, "hubert/legacy.bin", legacy=True)
    config.save_pretrained(folder)
    loaded = HubertModel.from_pretrained(folder).eval()  # transformers reads the very file
    generator = np.random.default_rng(0)
    tensors = {}
    with torch.inference_mode():
        for place, samples in enumerate(CLIP_SAMPLES):
            clip = torch.tensor(generator.standard_normal(samples) * 0.3).float()
            tensors[f"clip.{place}"] = clip
            tensors[f"hidden.{place}"] = loaded(clip[None]).last_hidden_state[0].contiguous()
            assert torch.equal(tensors[f"hidden.{place}"], model(clip[None]).last_hidden_state[0])
    save_file(tensors, folder / "reference.safetensors")
    (folder / "reference.safetensors").chmod(0o644)


def write_sharded() -> None:
    shards = {
        "pytorch_model-00001-of-00002.bin": {"a": torch.arange(3.0), "b": torch.arange(2.0).half()},
        "pytorch_model-00002-of-00002.bin": {"c": torch.arange(4.0)},
    }
    for name, tensors in shards.items():
        save(tensors, f"sharded/{name}")
    index = {
        "metadata": {"total_size": 32},
        "weight_map": {key: name for name, tensors in shards.items() for key in tensors},
    }
    (OUT / "sharded" / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (OUT / "sharded" / "config.json").write_text('{"model_type": "x"}\n')


def rewrite_zip(source: pathlib.Path, target: str, content: dict, compression: int = zipfile.ZIP_STORED) -> None:
    """Copies an archive with some entries given other content (by the end of their names)."""
    (OUT / target).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(OUT / target, "w", compression) as new:
        for name in old.namelist():
            replaced = [value for end, value in content.items() if name.endswith(end)]
            new.writestr(name, replaced[0] if replaced else old.read(name))


def write_refused() -> None:
    simple = OUT / "sharded" / "pytorch_model-00002-of-00002.bin"
    one = torch.ones(2, 3)
    cases = {
        "transposed": ({"fine": one, "turned": one.T}, '"turned" of shape [3, 2] with strides [1, 3]'),
        "int16": ({"short": torch.ones(2, dtype=torch.int16)}, '"short" as torch.ShortStorage'),
        "float8": ({"tiny": one.to(torch.float8_e4m3fn)}, '"tiny" as torch.float8_e4m3fn'),
        "complex": ({"c": torch.ones(2, dtype=torch.complex64)}, '"c" as torch.ComplexFloatStorage'),
        "negated": ({"n": torch.tensor([1 + 2j]).conj().imag}, "lazily conjugated or negated"),
        "sparse": ({"s": torch.eye(2).to_sparse()}, "torch._utils._rebuild_sparse_tensor"),
        "quantized": ({"q": torch.quantize_per_tensor(one, 0.1, 0, torch.qint8)}, "torch._utils._rebuild_qtensor"),
        "nested": ({"epoch": 3, "state_dict": {"a": one}}, 'inner dictionary "state_dict"'),
        "tensor": (one, "holds no state dict"),
        "list": ([one], "holds no state dict"),
        "nothing": ({"epoch": 3}, "holds no tensors"),
        "module": (torch.nn.Linear(1, 1), "asks for torch.nn.modules.linear.Linear"),
        "numpy": ({"a": one, "loss": np.float64(1.5)}, "multiarray.scalar"),
    }
    zipped = ("module",)  # the older format would add the source of the class
    both_formats = ("transposed", "int16", "float8", "nested")
    expected = {}
    for name, (value, message) in cases.items():
        for legacy in (False, True) if name in both_formats else (name not in zipped,):
            file = f"{name}{'-legacy' if legacy else ''}.bin"
            save(value, f"refused/{file}", legacy)
            expected[file] = message
    rewrite_zip(simple, "refused/big-endian.bin", {"/byteorder": b"big"})
    expected["big-endian.bin"] = '"big" byte order'
    rewrite_zip(simple, "refused/compressed.bin", {}, zipfile.ZIP_DEFLATED)
    expected["compressed.bin"] = "compressed or encrypted"
    with open(OUT / "refused" / "pickle.bin", "wb") as file:
        pickle.dump({"a": 1}, file, protocol=2)
    expected["pickle.bin"] = "PyTorch's magic number"
    (OUT / "refused" / "refused.json").write_text(json.dumps(expected, indent=2) + "\n")


class Gadget:
    """Pickles as a call of `function`."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple:
        return self.call


def write_harmful() -> None:
    command = f"touch {MARK}"
    inner = io.BytesIO()
    torch.save(Gadget(os.system, command), inner)
    gadgets = {
        "system": (Gadget(os.system, command), f"{os.system.__module__}.system"),
        "eval": (Gadget(eval, f"__import__('os').system({command!r})"), "__builtin__.eval"),
        "exec": (Gadget(exec, f"import os; os.system({command!r})"), "__builtin__.exec"),
        "open": (Gadget(open, MARK, "w"), f"{open.__module__}.open"),
        "getattr": (Gadget(getattr, Gadget(__import__, "torch"), "load"), "__builtin__.getattr"),
        "load": (Gadget(torch.load, MARK), "torch.serialization.load"),
        "bytes": (Gadget(torch.storage._load_from_bytes, inner.getvalue()), "torch.storage._load_from_bytes"),
    }
    expected = {}
    for name, (gadget, asked) in gadgets.items():
        state = collections.OrderedDict(a=torch.ones(2), b=gadget)
        save(state, f"harmful/{name}.bin")
        save(state, f"harmful/{name}-legacy.bin", legacy=True, protocol=4)
        expected[f"{name}.bin"] = asked
        expected[f"{name}-legacy.bin"] = asked.replace("__builtin__", "builtins")  # the name that protocol 2 has
    (OUT / "harmful" / "harmful.json").write_text(json.dumps(expected, indent=2) + "\n")
    with tempfile.TemporaryDirectory() as folder:  # that these are no empty threats
        harmful = OUT / "harmful"
        os.chdir(folder)
        for name in ("system", "eval", "exec", "open", "bytes"):
            torch.load(harmful / f"{name}.bin", weights_only=False)
            os.remove(MARK)
        os.chdir(OUT)


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    write_states()
    write_hubert()
    write_sharded()
    write_refused()
    write_harmful()


if __name__ == "__main__":
    main()
