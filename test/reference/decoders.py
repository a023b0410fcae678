"""Writes test/fixtures/qwen2, llama, qwen3 and mistral: tiny random checkpoints of each family of decoders, with what
transformers makes of them in float32.

Each folder holds a checkpoint as save_pretrained writes it, and expected.safetensors: inputs, hidden states and logits
of a batch padded on either side, and hidden states at far positions. Those that stage 2 is tried on also have the loss and gradients of a LoRA and of a
soft prompt, the LoRA written here anew. Made with Python 3, torch 2.13.0, transformers 5.23.0 and safetensors 0.8.0:
    python test/reference/decoders.py
"""

import json
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

FIXTURES = Path(__file__).parent.parent / "fixtures"
FAMILIES = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM),
            "qwen3": (Qwen3Config, Qwen3ForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}
RANK, ALPHA = 3, 5.0
# A position where the last place of a rotary frequency shows.
FAR = 20_000
# Sizes of the models that stage 2 is tried on.
VOCABULARY = 61
STAGE2 = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, rms_norm_eps=1e-6)
NAMES = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
         "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


def make_model(family, seed, rope, sizes):
    torch.manual_seed(seed)
    config_of, model_of = FAMILIES[family]
    model = model_of(config_of(max_position_embeddings=64, attn_implementation="eager", rope_parameters=rope, **sizes))
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


def write(family, name, seed, sizes, rope, dtype, lengths, targets=None):
    folder = FIXTURES / family / name
    make_model(family, seed, rope, sizes).to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    model = FAMILIES[family][1].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

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


def write_frequencies():
    """What Llama 3.1 and 3.2 turn positions by: float32, in the shortest decimals that give them."""
    cases = []
    for head_dim, factor in [(128, 8.0), (64, 32.0)]:
        scaling = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": factor, "low_freq_factor": 1.0,
                   "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
        config = LlamaConfig(hidden_size=head_dim, num_attention_heads=1, head_dim=head_dim, rope_parameters=scaling,
                             max_position_embeddings=131_072)
        values = LlamaRotaryEmbedding(config).inv_freq.numpy()
        cases.append({"head_dim": head_dim, **scaling, "frequencies": [float(str(value)) for value in values]})
    (FIXTURES / "llama" / "frequencies.json").write_text(json.dumps(cases) + "\n")


def plain(theta):
    return {"rope_type": "default", "rope_theta": theta}


# Of a head of 12, frequencies of all three kinds: as they are, mixed, stretched whole.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 128}


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    transformers.utils.logging.disable_progress_bar()
    attention = [name for name, block in NAMES.items() if block == "self_attn"]
    write("qwen2", "tied", 1, STAGE2 | dict(tie_word_embeddings=True, head_dim=8), plain(10_000.0), torch.float32,
          [9, 6, 4], attention)
    write("qwen2", "untied", 2, STAGE2 | dict(tie_word_embeddings=False, head_dim=12), plain(1_000_000.0),
          torch.bfloat16, [9, 6, 4], list(NAMES))
    one_key_head = dict(vocab_size=53, hidden_size=21, intermediate_size=29, num_hidden_layers=3, num_attention_heads=3,
                        num_key_value_heads=1, head_dim=10, rms_norm_eps=1e-5, tie_word_embeddings=False)
    write("qwen2", "one-key-head", 3, one_key_head, plain(500_000.0), torch.float16, [41, 17, 1])
    all_key_heads = dict(vocab_size=37, hidden_size=30, intermediate_size=17, num_hidden_layers=1, num_attention_heads=5,
                         num_key_value_heads=5, rms_norm_eps=0.05, tie_word_embeddings=True)
    write("qwen2", "all-key-heads", 4, all_key_heads, plain(100_000.0), torch.bfloat16, [7, 23])

    write("llama", "stretched", 5, STAGE2 | dict(tie_word_embeddings=True, head_dim=12), LLAMA3, torch.bfloat16,
          [9, 6, 4], list(NAMES))
    write("llama", "biased", 6, one_key_head | dict(attention_bias=True, mlp_bias=True), plain(10_000.0), torch.float16,
          [41, 17, 1])
    write("llama", "all-key-heads", 7, all_key_heads, LLAMA3, torch.bfloat16, [7, 23])

    write_frequencies()

    write("qwen3", "tied", 8, STAGE2 | dict(tie_word_embeddings=True, head_dim=12), plain(1_000_000.0), torch.float32,
          [9, 6, 4], list(NAMES))
    write("qwen3", "biased", 9, one_key_head | dict(attention_bias=True), plain(10_000.0), torch.float16, [41, 17, 1])
    write("qwen3", "all-key-heads", 10, all_key_heads | dict(head_dim=14), plain(100_000.0), torch.bfloat16, [7, 23])

    write("mistral", "wide-heads", 11, STAGE2 | dict(sliding_window=None, head_dim=12), plain(1_000_000.0),
          torch.bfloat16, [9, 6, 4], list(NAMES))
    # A text as long as the window.
    write("mistral", "windowed", 12, one_key_head | dict(sliding_window=64), plain(10_000.0), torch.float16,
          [64, 17, 1])
    write("mistral", "all-key-heads", 13, all_key_heads | dict(sliding_window=None), plain(100_000.0), torch.bfloat16,
          [7, 23])


if __name__ == "__main__":
    main()
