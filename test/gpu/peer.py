"""What emoq's steps are compared with: the same work in PyTorch, with random weights, on the same card.

    python test/gpu/peer.py OPTIONS

OPTIONS is JSON: device, and sizes as in sizes.mjs. The language model is a plain module of Qwen2's architecture in
bfloat16 with LoRA on q, k, v and o; the Former is that of test/bench/former_step.py, in float32 (on CUDA its products
are in TF32, like emoq's). AdamW is fused, nothing is compiled. HuBERT is transformers', if that is installed. Prints a
line of JSON for each result.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import checkpoint  # noqa: F401 torch.utils.checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import former_step as peer_former  # noqa: E402

WARMUP_STEPS, TIMED_STEPS = 2, 5
RANK, ALPHA, LORA_DROPOUT = 16, 32, 0.1


class LoraLinear(nn.Module):
    """A frozen linear layer with LoRA: factors in float32, products in bfloat16."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.base = nn.Linear(inputs, outputs, bias=bias, dtype=torch.bfloat16).requires_grad_(False)
        self.a = nn.Parameter(torch.empty(RANK, inputs).uniform_(-0.02, 0.02))
        self.b = nn.Parameter(torch.empty(outputs, RANK).uniform_(-0.02, 0.02))
        self.dropout = nn.Dropout(LORA_DROPOUT)

    def forward(self, x):
        low = F.linear(self.dropout(x), self.a.to(x.dtype))
        return self.base(x) + F.linear(low, self.b.to(x.dtype)) * (ALPHA / RANK)


class RmsNorm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, dtype=torch.bfloat16), requires_grad=False)
        self.epsilon = epsilon

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class DecoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, heads, shared = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
        self.heads, self.shared, self.size = heads, shared, width // heads
        self.q, self.o = LoraLinear(width, width, True), LoraLinear(width, width, False)
        self.k, self.v = (LoraLinear(width, shared * self.size, True) for _ in range(2))
        frozen = lambda inputs, outputs: nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16).requires_grad_(False)
        inner = config["intermediate_size"]
        self.gate, self.up, self.down = frozen(width, inner), frozen(width, inner), frozen(inner, width)
        self.before, self.after = (RmsNorm(width, config["rms_norm_eps"]) for _ in range(2))

    def forward(self, x, rotary):
        normed = self.before(x)
        split = lambda y, heads: y.unflatten(-1, (heads, self.size)).transpose(1, 2)
        q, k = rotated(split(self.q(normed), self.heads), rotary), rotated(split(self.k(normed), self.shared), rotary)
        context = F.scaled_dot_product_attention(
            q, k, split(self.v(normed), self.shared), is_causal=True, enable_gqa=True)
        x = x + self.o(context.transpose(1, 2).flatten(2))
        normed = self.after(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


def rotated(x, rotary):
    cosine, sine = rotary
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine


class Decoder(nn.Module):
    def __init__(self, config, recompute):
        super().__init__()
        self.config, self.recompute = config, recompute
        width = config["hidden_size"]
        self.words = nn.Embedding(config["vocab_size"], width, dtype=torch.bfloat16).requires_grad_(False)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RmsNorm(width, config["rms_norm_eps"])
        self.head = nn.Linear(width, config["vocab_size"], bias=False, dtype=torch.bfloat16).requires_grad_(False)

    def forward(self, ids, soft, answers):
        x = self.words(ids)
        x = torch.cat([x[:, :1], soft[:, None].to(x.dtype), x[:, 2:]], 1)
        size = self.config["hidden_size"] // self.config["num_attention_heads"]
        frequencies = self.config["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
        angles = (torch.arange(ids.shape[1])[:, None] * frequencies).repeat(1, 2)
        rotary = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for layer in self.layers:
            if self.recompute:
                x = torch.utils.checkpoint.checkpoint(layer, x, rotary, use_reentrant=False)
            else:
                x = layer(x, rotary)
        return self.head(self.norm(x[:, -1 - answers:-1])).float()  # [N, answers, V]


class Stage2(nn.Module):
    def __init__(self, config, recompute):
        super().__init__()
        self.former = peer_former.Former()
        self.projector = nn.Linear(peer_former.WIDTH, config["hidden_size"])
        self.decoder = Decoder(config, recompute)

    def forward(self, ids, answers, **batch):
        logits = self.decoder(ids, self.projector(self.former(**batch)), answers)
        return F.cross_entropy(logits.flatten(0, 1), ids[:, -answers:].flatten())


def timed_step(model, batch, cuda):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(WARMUP_STEPS + TIMED_STEPS):
        started_at = time.perf_counter()
        optimizer.zero_grad()
        loss = model(**batch)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        loss.item()  # waits for the card
        seconds.append(time.perf_counter() - started_at)
    return {
        "stepSec": statistics.median(seconds[WARMUP_STEPS:]),
        "trainable": sum(parameter.numel() for parameter in trained),
        "peakBytes": torch.cuda.max_memory_reserved() if cuda else None,
    }


def former_batch(batch, frames, text, vocabulary):
    return {
        "features": torch.rand(batch, frames, peer_former.AUDIO_WIDTH).half(),
        "frame_mask": torch.ones(batch, frames, dtype=torch.int64),
        "input_ids": torch.randint(vocabulary, (batch, text)),
        "attention_mask": torch.ones(batch, text, dtype=torch.int64),
    }


def fit_former(models):
    """Gives the Former of the benchmark the sizes of the check."""
    text = models["text"]
    sizes = {"WIDTH": text.get("hidden_size", 768), "LAYERS": text.get("num_hidden_layers", 12),
             "HEADS": text.get("num_attention_heads", 12), "INNER": text.get("intermediate_size", 3072),
             "VOCABULARY": text["vocab_size"], "AUDIO_WIDTH": models["audioWidth"], "QUERIES": models["queries"],
             "POOLING_HEADS": 4}
    for name, value in sizes.items():
        setattr(peer_former, name, value)


def stage1(models, report, cuda):
    lengths = models["stage1"]
    for batch in lengths["batches"]:
        inputs = former_batch(batch, lengths["frames"], lengths["text"], models["text"]["vocab_size"])
        inputs["labels"] = torch.arange(batch) % peer_former.CLASSES
        report(f"stage-1 step, {models['names']['text']}, batch {batch}",
               lambda: timed_step(peer_former.Stage1().train(), inputs, cuda))


def stage2(models, report, cuda):
    lengths = models["stage2"]
    config = models["decoder"]
    runs = [(lengths["batch"], False), *((batch, True) for batch in lengths["recomputed"])]
    for recompute in (False, True):
        model = Stage2(config, recompute).train()
        for batch, own in runs:
            if own != recompute:
                continue
            inputs = former_batch(batch, lengths["frames"], lengths["text"], models["text"]["vocab_size"])
            inputs |= {"ids": torch.randint(config["vocab_size"], (batch, lengths["prompt"])), "answers": lengths["answer"]}
            how = ", activation checkpointing" if recompute else ""
            report(f"stage-2 step, {models['names']['decoder']}, bfloat16, batch {batch}{how}",
                   lambda: timed_step(model, inputs, cuda))
        del model
        if cuda:
            torch.cuda.empty_cache()


def hubert(models, report, cuda):
    import transformers

    config = transformers.HubertConfig(**{key: value for key, value in models["encoder"].items() if key != "model_type"})
    model = transformers.HubertModel(config).eval()
    samples = models["clips"]["samples"]
    for dtype in (torch.float32, torch.bfloat16):
        model = model.to(dtype)
        for batch in models["clips"]["batches"]:
            clips = torch.rand(batch, samples, dtype=dtype)

            def run():
                seconds = []
                with torch.inference_mode():
                    for _ in range(4):
                        started_at = time.perf_counter()
                        model(clips).last_hidden_state.float().cpu()
                        seconds.append(time.perf_counter() - started_at)
                wall = statistics.median(seconds[1:])
                return {"audioSecPerSec": batch * samples / 16_000 / wall, "transformers": transformers.__version__}

            seconds = f"{samples / 16_000:g} s"
            report(f"{models['names']['encoder']}, {str(dtype).split('.')[1]}, batch {batch} of {seconds}", run)


def main(options):
    cuda = options["device"] != "cpu"
    torch.set_default_device(options["device"])
    torch.set_float32_matmul_precision("high")  # TF32
    models = options["models"]
    fit_former(models)

    def report(what, work):
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 one that does not fit must not stop the others
            found = {"note": str(error).splitlines()[0]}
        print(json.dumps({"what": what, "torch": torch.__version__, **found}), flush=True)

    for each in (stage2, stage1, hubert):
        try:
            each(models, report, cuda)
        except Exception as error:  # noqa: BLE001
            print(json.dumps({"what": each.__name__, "note": str(error).splitlines()[0]}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
