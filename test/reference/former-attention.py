"""Writes test/fixtures/former-attention.safetensors: what the queries of the Formers of stage1.safetensors attend to.

Parameters and first batches are those of that fixture. Every utterance is computed alone, without padding, in float64;
softmax(Q K' / sqrt(d)) is written out, and its product with the values must be that of PyTorch's own attention. Shares
are means over heads and layers, and rows behind an utterance's end are 0. Made with Python 3, torch 2.14.1 and
safetensors 0.8.0:
    python test/reference/former-attention.py
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from stage1 import FIXTURE as STAGE1
from stage1 import Former

FIXTURE = Path(__file__).parent.parent / "fixtures" / "former-attention.safetensors"


class Recorded(Former):
    """A Former with given parameters, which keeps the shares of its attention."""

    def __init__(self, config, parameters):
        self.config, self.parameters = config, parameters
        self.joint, self.cross, self.pooled = [], [], []

    def __call__(self, key, *shape):
        assert tuple(self.parameters[key].shape) == shape, key
        return self.parameters[key]

    def attend(self, key, x, others):
        width, heads = self.config["width"], self.config["heads"]
        split = lambda y: y.reshape(len(y), heads, width // heads).transpose(0, 1)
        q, k, v = (split(self.dense(f"{key}.self.{name}", source, width))
                   for name, source in (("query", x), ("key", others), ("value", others)))
        shares = torch.softmax(q @ k.transpose(1, 2) / (width // heads) ** 0.5, dim=-1)
        torch.testing.assert_close(shares @ v, F.scaled_dot_product_attention(q, k, v), rtol=0, atol=1e-12)
        of_queries = shares.mean(0)[: self.config["queries"]]
        (self.cross if "crossattention" in key else self.joint).append(of_queries)
        return super().attend(key, x, others)

    def pool(self, queries):
        scores = self("pooling.score.weight", self.config["pooling_heads"], self.config["width"])
        self.pooled.append(torch.softmax(queries @ scores.T, 0).mean(1))
        return super().pool(queries)


def opened():
    with safe_open(STAGE1, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["reference"])


def unpacked(packed, shapes):
    """The Former's parameters by key, which lie end to end."""
    parts = packed.double().split([torch.Size(shape).numel() for _, shape in shapes])
    return {key.removeprefix("former."): part.reshape(shape) for (key, shape), part in zip(shapes, parts)
            if key.startswith("former.")}


def padded(rows):
    """[N, ...] with zeros behind the last axis of each."""
    length = max(row.shape[-1] for row in rows)
    return torch.stack([F.pad(row, (0, length - row.shape[-1])) for row in rows]).float()


def attention(views, config, parameters, batch):
    shares = {"frames": [], "joint": [], "pooling": []}
    features, frame_mask, ids, mask = (
        batch[key] for key in ("audio_features", "frame_mask", "input_ids", "attention_mask"))
    for row in range(len(features)):
        former = Recorded(config, parameters)
        audio = None if views == "text" else features[row, : frame_mask[row].sum()].double()
        former.embed(audio, None if views == "audio" else ids[row, : mask[row].sum()])
        if views != "text":
            shares["frames"].append(torch.stack(former.cross).mean(0))
        shares["joint"].append(torch.stack(former.joint).mean(0))
        shares["pooling"] += former.pooled
    return {key: padded(rows) for key, rows in shares.items() if rows}


def main():
    torch.set_num_threads(1)
    tensors, reference = opened()
    out = {}
    for name, config in reference["configs"].items():
        batch = {key.removeprefix(f"{name}/batch/0/"): value for key, value in tensors.items()
                 if key.startswith(f"{name}/batch/0/")}
        parameters = unpacked(tensors[f"{name}/parameters"], reference["shapes"][name])
        shares = attention(name, config, parameters, batch)
        out |= {f"{name}/{key}": value.contiguous() for key, value in shares.items()}
    save_file(out, FIXTURE, {"reference": json.dumps({"torch": torch.__version__})})
    FIXTURE.chmod(0o644)


if __name__ == "__main__":
    main()
