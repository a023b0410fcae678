"""Writes test/fixtures/qwen2: tiny random Qwen2 checkpoints with what transformers makes of them in float32.

Each folder holds a checkpoint as save_pretrained writes it, and expected.safetensors: inputs, hidden states and logits
of a batch padded on either side, and hidden states at far positions. Those that stage 2 is tried on also have the loss and gradients of a LoRA and of a
soft prompt, the LoRA written here anew. Made with Python 3, torch 2.13.0, transformers 5.23.0 and safetensors 0.8.0:
    python test/reference/qwen2.py
"""

import json
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

FIXTURES = Path(__file__).parent.parent / "fixtures" / "qwen2"
RANK, ALPHA = 3, 5.0
# A position where the last place of a rotary frequency shows.
FAR = 20_000
# Sizes of the two models that stage 2 is tried on.
VOCABULARY = 61
STAGE2 = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, rms_norm_eps=1e-6)
NAMES = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
         "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


def make_model(seed, theta, sizes):
    torch.manual_seed(seed)
    config = Qwen2Config(max_position_embeddings=64, attn_implementation="eager",
                         rope_parameters={"rope_type": "default", "rope_theta": theta}, **sizes)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Large enough that attention is far from uniform and every weight matters.
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith(".bias"):
                parameter.normal_(0, 0.5)
            elif "embed_tokens" in name:
                parameter.normal_(0, 1)
            else:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
    return model


class LoraLinear(torch.nn.Module):
    """y = x W' + b + (alpha / r) (x A') B'."""

    def __init__(self, base, a, b):
        super().__init__()
        self.base, self.a, self.b = base, a, b

    def forward(self, x):
        return self.base(x) + (ALPHA / RANK) * ((x @ self.a.T) @ self.b.T)


def add_lora(model, targets):
    parameters = {}
    for index, layer in enumerate(model.model.layers):
        for name in targets:
            block = getattr(layer, NAMES[name])
            base = getattr(block, name)
            out, width = base.weight.shape
            a = torch.nn.Parameter(torch.randn(RANK, width) * width**-0.5)
            b = torch.nn.Parameter(torch.randn(out, RANK) * 0.5)
            setattr(block, name, LoraLinear(base, a, b))
            key = f"base_model.model.model.layers.{index}.{NAMES[name]}.{name}"
            parameters[f"{key}.lora_A.weight"], parameters[f"{key}.lora_B.weight"] = a, b
    return parameters


def write(name, seed, sizes, theta, dtype, lengths, targets=None):
    folder = FIXTURES / name
    make_model(seed, theta, sizes).to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    torch.manual_seed(100 + seed)
    length = max(lengths)
    ids = torch.randint(0, sizes["vocab_size"], (len(lengths), length))
    right = (torch.arange(length)[None, :] < torch.tensor(lengths)[:, None]).long()
    out = {"input_ids": ids}
    with torch.no_grad():
        for side, mask in {"right": right, "left": right.flip(1)}.items():
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            hidden = model.model(input_ids=ids, attention_mask=mask, position_ids=positions).last_hidden_state
            out |= {f"{side}.mask": mask, f"{side}.hidden": hidden, f"{side}.logits": model.lm_head(hidden)}
        far = FAR + torch.arange(length).expand(len(lengths), length)
        out["far.positions"] = far
        out["far.hidden"] = model.model(input_ids=ids, attention_mask=right, position_ids=far).last_hidden_state
    reference = {"torch": torch.__version__, "transformers": transformers.__version__,
                 "safetensors": safetensors.__version__}
    if targets is not None:
        out |= adapted(model, ids, right, targets)
        reference |= {"alpha": ALPHA, "rank": RANK, "targets": targets}
    save_file({key: value.detach().contiguous() for key, value in out.items()}, folder / "expected.safetensors",
              {"reference": json.dumps(reference)})  # one key: the library writes several in any order
    for file in folder.iterdir():
        file.chmod(0o644)


def adapted(model, ids, mask, targets):
    """Stage 2: the soft prompt at one position of each utterance (the second has none), answers of two tokens."""
    count, length = ids.shape
    width = model.config.hidden_size
    parameters = add_lora(model, targets)
    model.requires_grad_(False)
    soft = torch.nn.Parameter(torch.randn(count, width))
    audio = torch.tensor([3, -1, 1])
    trained = parameters | {"soft_prompt": soft}
    for parameter in trained.values():
        parameter.requires_grad_(True)
    is_audio = torch.arange(length)[None, :] == audio[:, None]
    embeddings = torch.where(is_audio[:, :, None], soft[:, None, :], model.model.embed_tokens(ids))
    hidden = model.model(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
    positions = torch.tensor([7, 8, length + 4, length + 5, 2 * length + 2, 0])
    tokens = torch.tensor([11, 12, 60, 12, 0, 0])
    weights = torch.tensor([5.0, 1.0, 5.0, 1.0, 5.0, 0.0])
    logits = model.lm_head(hidden.reshape(-1, width)[positions])
    losses = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
    loss = (weights * losses).sum() / count
    gradients = torch.autograd.grad(loss, list(trained.values()))
    out = {"audio_position": audio, "answer_positions": positions, "answer_tokens": tokens, "answer_weights": weights,
           "loss": loss, "lora.hidden": hidden, "soft_prompt": soft}
    out |= {f"parameter.{key}": value for key, value in parameters.items()}
    return out | {f"gradient.{key}": value for key, value in zip(trained, gradients)}


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    transformers.utils.logging.disable_progress_bar()
    attention = [name for name, block in NAMES.items() if block == "self_attn"]
    write("tied", 1, STAGE2 | dict(tie_word_embeddings=True, head_dim=8), 10_000.0, torch.float32, [9, 6, 4], attention)
    write("untied", 2, STAGE2 | dict(tie_word_embeddings=False, head_dim=12), 1_000_000.0, torch.bfloat16, [9, 6, 4],
          list(NAMES))
    write("one-key-head", 3,
          dict(vocab_size=53, hidden_size=21, intermediate_size=29, num_hidden_layers=3, num_attention_heads=3,
               num_key_value_heads=1, head_dim=10, rms_norm_eps=1e-5, tie_word_embeddings=False),
          500_000.0, torch.float16, [41, 17, 1])
    write("all-key-heads", 4,
          dict(vocab_size=37, hidden_size=30, intermediate_size=17, num_hidden_layers=1, num_attention_heads=5,
               num_key_value_heads=5, rms_norm_eps=0.05, tie_word_embeddings=True),
          100_000.0, torch.bfloat16, [7, 23])


if __name__ == "__main__":
    main()
