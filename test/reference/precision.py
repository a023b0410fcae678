"""Writes test/fixtures/precision: small stage-2 models as PyTorch computes them in float64, and in 16 bits under autocast.

The language models are checkpoints in bfloat16 that transformers reads into float32, so that the residual stream, norms,
rotation, softmax and loss are float32. torch.autocast casts the operands of linear layers, scores and weighted values to
16 bits, and what these give is 16 bits, as are SiLU and the product of SwiGLU. LoRA's factors are float32, cast by
autocast. Former, projector and optimizer are outside autocast. A batch is one padded batch: a gradient that is summed
over several calls would be summed in 16 bits.

`autocast` is transformers as it is, with LoRA in the order of PEFT, in bfloat16. In `bfloat16` and `float16` values are
rounded at the same points as in emoq's graphs, which differ from transformers and PEFT in these:
- The rotation takes float32 and gives its gradient in it; in transformers it takes the 16 bits of the projection, and
  autograd rounds the gradients of its two terms one by one.
- Queries are scaled before they are rounded; in transformers the scores are rounded, scaled and rounded again.
- The query heads of a key head are rows of one product; in transformers keys and values are repeated, and the gradient
  of each repetition is rounded before they are summed.
- Norms of query and key heads (Qwen3) round their result; in transformers they round before they scale, too.
- The update of a LoRA is scaled before the product with A is rounded; in PEFT the update is rounded, scaled and rounded.

precision.safetensors has, for each case and type, the loss and the gradients of the first batch, the probabilities, and
losses and parameters of 20 steps of AdamW. Made with Python 3, torch 2.13.0, transformers 5.24.0 and safetensors 0.8.0,
on a processor with AVX-512 BF16:
    python test/reference/precision.py
"""

import json

import safetensors
import torch
import torch.nn.functional as F
import transformers
from adamw import take_steps
from decoders import FIXTURES, NAMES, STAGE2, make_model, plain
from safetensors.torch import save_file
from stage1 import Former, end_to_end, padded, stored
from stage1 import gradients_of as packed_gradients
from stage2 import FILLER, LABEL_TOKENS, draw_batch, project, stored_prompts
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3

FOLDER = FIXTURES / "precision"
MODELING = {"qwen2": modeling_qwen2, "qwen3": modeling_qwen3}
CLASSES = {"qwen2": transformers.Qwen2ForCausalLM, "qwen3": transformers.Qwen3ForCausalLM}
TYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16, "autocast": torch.bfloat16}


class PeftLinear(torch.nn.Module):
    """A linear layer with a LoRA, in the order of peft.tuners.lora.Linear.forward."""

    def __init__(self, base, a, b, scale):
        super().__init__()
        self.base, self.a, self.b, self.scale = base, a, b, scale

    def forward(self, x):
        result = self.base(x)
        update = F.linear(F.linear(x.to(self.a.dtype), self.a), self.b) * self.scale
        return (result + update).to(result.dtype)


class ScaledFirst(PeftLinear):
    """The same with A's product scaled before it is rounded."""

    def forward(self, x):
        result = self.base(x)
        with torch.autocast("cpu", enabled=False):
            wide = lambda y: y.to(result.dtype).to(self.a.dtype)
            narrow = (F.linear(wide(x), wide(self.a)) * self.scale).to(result.dtype)
        return result + F.linear(narrow, self.b)


class WideNorm(torch.nn.Module):
    """A norm in float32, whatever it gets."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.to(self.norm.weight.dtype))


def rotate_wide(rotate):
    return lambda q, k, cos, sin, **options: rotate(q.to(cos.dtype), k.to(cos.dtype), cos, sin, **options)


def grouped_attention(module, query, key, value, mask, scaling, dropout=0.0, **_):
    batch, heads, length, width = query.shape
    stacked = lambda x: x.reshape(batch, key.shape[1], -1, x.shape[-1])
    scores = (stacked(query * scaling) @ key.transpose(2, 3)).reshape(batch, heads, length, length)
    shares = (scores + mask).softmax(-1)
    mixed = (stacked(shares) @ value).reshape(batch, heads, length, width)
    return mixed.transpose(1, 2).contiguous(), None


ORIGINAL = {family: (modeling.apply_rotary_pos_emb, modeling.eager_attention_forward)
            for family, modeling in MODELING.items()}


def round_alike(model, family, alike=True):
    """Has a model without LoRA round where emoq rounds, or, after another, where transformers does."""
    rotate, attend = ORIGINAL[family]
    modeling = MODELING[family]
    modeling.apply_rotary_pos_emb = rotate_wide(rotate) if alike else rotate
    modeling.eager_attention_forward = grouped_attention if alike else attend
    for layer in model.model.layers if alike and family == "qwen3" else []:
        layer.self_attn.q_norm = WideNorm(layer.self_attn.q_norm)
        layer.self_attn.k_norm = WideNorm(layer.self_attn.k_norm)


def language_model(case, dtype, as_is):
    """The checkpoint in `dtype` with a LoRA of the same values in every type, and the LoRA's parameters."""
    model = CLASSES[case["family"]].from_pretrained(FOLDER / case["llm"], dtype=dtype, attn_implementation="eager").eval()
    model.requires_grad_(False)
    round_alike(model, case["family"], not as_is)
    adapted = PeftLinear if as_is else ScaledFirst
    generator, parameters = torch.Generator().manual_seed(case["seed"]), {}
    draw = lambda *shape: torch.randn(shape, generator=generator).half().to(dtype)
    for index, layer in enumerate(model.model.layers):
        for name, block in NAMES.items():
            base = getattr(getattr(layer, block), name)
            out, width = base.weight.shape
            a = torch.nn.Parameter(draw(case["rank"], width) * 0.125)
            b = torch.nn.Parameter(draw(out, case["rank"]) * 0.25)
            setattr(getattr(layer, block), name, adapted(base, a, b, case["alpha"] / case["rank"]))
            key = f"base_model.model.model.layers.{index}.{block}.{name}"
            parameters[f"{key}.lora_A.weight"], parameters[f"{key}.lora_B.weight"] = a, b
    return model, parameters


class Model:
    """One case in one type: parameters by key, and its results on a batch."""

    def __init__(self, case, name):
        self.case, self.type, self.reduced = case, TYPES[name], name != "float64"
        self.llm, lora = language_model(case, torch.float32 if self.reduced else torch.float64, name == "autocast")
        generator = torch.Generator().manual_seed(100 + case["seed"])
        self.former, self.projector = Former(case, generator), Former(case, generator)
        self.batches = [draw_batch(generator, case, index) for index in range(len(case["prompts"]))]
        with torch.no_grad():
            self.results(self.batches[0])  # makes Former and projector
        self.parameters = {f"former.{key}": value for key, value in self.former.parameters.items()}
        self.parameters |= {f"projector.{key}": value for key, value in self.projector.parameters.items()} | lora

    def results(self, batch):
        case, inputs = self.case, stored_prompts(batch)
        ids, mask = inputs["prompt_ids"], inputs["prompt_mask"]
        embeddings = self.llm.model.embed_tokens(ids)
        if case["views"] != "text":
            soft = torch.stack([project(self.projector, case, self.former.embed(*pair), embeddings.shape[2])
                                for pair in zip(batch["audio"], batch["ids"])])
            at_slot = torch.arange(ids.shape[1])[None, :] == torch.tensor(batch["slots"])[:, None]
            embeddings = torch.where(at_slot[:, :, None], soft.to(embeddings.dtype)[:, None, :], embeddings)
        last = torch.tensor([len(prompt) - 1 for prompt in batch["prompts"]]) + ids.shape[1] * torch.arange(len(ids))
        with torch.autocast("cpu", dtype=self.type if self.reduced else torch.bfloat16, enabled=self.reduced):
            hidden = self.llm.model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False).last_hidden_state
            rows = hidden.reshape(-1, hidden.shape[-1])
            answers, words = self.llm.lm_head(rows[inputs["answer_positions"]]), self.llm.lm_head(rows[last])
        assert (hidden.dtype, words.dtype) == (embeddings.dtype, self.type)
        losses = F.cross_entropy(answers.to(hidden.dtype), inputs["answer_tokens"], reduction="none")
        loss = (inputs["answer_weights"].to(hidden.dtype) * losses).sum() / len(ids)
        return {"loss": loss, "hidden": hidden[mask == 1],
                "probabilities": words[:, LABEL_TOKENS].to(hidden.dtype).softmax(-1)}


def results_of(case, name):
    """A case in one type: its model, start, keys that are not trained, and results."""
    model = Model(case, name)
    results = model.results(model.batches[0])
    out = results | {"gradients": packed_gradients(model.parameters, results["loss"])["gradients"]}
    start = end_to_end(model.parameters.values())
    frozen = [key for key in model.parameters if "word_embeddings" in key]
    for key in frozen:
        model.parameters[key].requires_grad_(False)
    trained = {key: value for key, value in model.parameters.items() if key not in frozen}
    series = take_steps(trained, lambda step: model.results(model.batches[step % len(model.batches)])["loss"],
                        case["optimizer"])
    out |= {"after": end_to_end(trained.values()), "steps/loss": series["loss"]}
    return model, start, frozen, {key: value.detach().float().contiguous() for key, value in out.items()}


def distance(a, b):
    """Root mean square of a - b, relative to that of b."""
    return ((a.double() - b.double()).square().mean() / b.double().square().mean()).sqrt().item()


def write_case(name, case, out):
    """Adds a case to the fixture; gives the shapes of its parameters, and the keys of those that are not trained."""
    results = {}
    for type_name in TYPES:
        model, start, frozen, results[type_name] = results_of(case, type_name)
    for index, batch in enumerate(model.batches):
        inputs = stored_prompts(batch)
        if case["views"] != "text":
            inputs |= stored(batch) | {"audio_position": torch.tensor(batch["slots"])}
        out |= {f"{name}/batch/{index}/{key}": value for key, value in inputs.items()}
    out[f"{name}/parameters"] = start.half()
    out[f"{name}/bare/prompt_ids"], out[f"{name}/bare/prompt_mask"] = padded(model.batches[0]["prompts"], FILLER)
    for key, exact in results["float64"].items():
        distances = [f"{each} {distance(results[each][key], exact):.1e}" for each in TYPES if each != "float64"]
        print(f"{name}, {key}, relative to float64: {', '.join(distances)}")
        if key != "hidden":
            out |= {f"{name}/{each}/{key}": value[key] for each, value in results.items()}
    return [[key, list(value.shape)] for key, value in model.parameters.items()], frozen


def write_checkpoint(family, seed, sizes):
    make_model(family, seed, plain(10_000.0), sizes).to(torch.bfloat16).save_pretrained(FOLDER / family)
    (FOLDER / family / "generation_config.json").unlink()
    for file in (FOLDER / family).iterdir():
        file.chmod(0o644)


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    transformers.utils.logging.disable_progress_bar()
    FOLDER.mkdir(exist_ok=True)
    write_checkpoint("qwen2", 21, STAGE2 | dict(head_dim=12, tie_word_embeddings=False))
    write_checkpoint("qwen3", 22, STAGE2 | dict(head_dim=16, num_attention_heads=2, num_key_value_heads=1,
                                                tie_word_embeddings=True))
    # Steps as small as those of a real LoRA, in which what is rounded alike stays alike.
    optimizer = {"steps": 20, "total_steps": 20, "warmup_steps": 4, "rate": 5e-4, "beta1": 0.9, "beta2": 0.98,
                 "epsilon": 1e-2, "weight_decay": 0.1}
    shared = {"cross_attention_every": 2, "vocabulary": 23, "positions": 12, "width": 8, "heads": 2, "layers": 1,
              "intermediate": 8, "queries": 2, "pooling_heads": 2, "audio_width": 6, "projector_hidden": 0,
              "frames": [[4, 6, 2], [3, 7], [5], [2, 4, 6, 1]], "tokens": [[5, 2, 3], [4, 6], [8], [1, 3, 2, 7]],
              "prompts": [[6, 4, 7], [5, 8], [3], [4, 7, 5, 6]], "slots": [[2, 0, 5], [4, 6], [1], [0, 3, 2, 5]],
              "labels": [[1, 3, 0], [2, 2], [1], [0, 3, 1, 2]],
              "word_lengths": [[1, 1, 2], [1, 2], [2], [1, 1, 2, 1]], "label_tokens": LABEL_TOKENS,
              "targets": list(NAMES)}
    cases = {"qwen2": {"family": "qwen2", "llm": "qwen2", "views": "both", "seed": 1, "rank": 3, "alpha": 5.0,
                       "optimizer": optimizer | {"clip_norm": 40.0}},
             "qwen3": {"family": "qwen3", "llm": "qwen3", "views": "text", "seed": 2, "rank": 2, "alpha": 4.0,
                       "optimizer": optimizer | {"clip_norm": 200.0}}}
    out, shapes, configs = {}, {}, {}
    for name, own in cases.items():
        case = shared | own
        shapes[name], frozen = write_case(name, case, out)
        configs[name] = case | {"frozen": frozen}
    reference = {"configs": configs, "shapes": shapes, "torch": torch.__version__,
                 "transformers": transformers.__version__, "safetensors": safetensors.__version__}
    save_file(out, FOLDER / "precision.safetensors", {"reference": json.dumps(reference)})
    (FOLDER / "precision.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
