"""Writes test/fixtures/qwen2: two tiny random Qwen2 checkpoints with what PyTorch makes of them.

Each folder holds config.json, model.safetensors and expected.safetensors (inputs, hidden states, logits, and the loss
and gradients of a LoRA and of a soft prompt, the LoRA written here anew). Made with Python 3, torch 2.13.0,
transformers 5.23.0 and safetensors 0.8.0:
    python test/reference/qwen2.py
"""

import json
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

FIXTURES = Path(__file__).parent.parent / "fixtures" / "qwen2"
VOCABULARY, WIDTH, LENGTH, RANK, ALPHA = 61, 32, 9, 3, 5.0
NAMES = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
         "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}


def make_model(seed, layers, tied, theta, head_dim):
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=40, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-6,
        tie_word_embeddings=tied, head_dim=head_dim, rope_parameters={"rope_type": "default", "rope_theta": theta},
        attn_implementation="eager",
    )
    model = Qwen2ForCausalLM(config).eval()
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


def right_padded(lengths):
    return (torch.arange(LENGTH)[None, :] < torch.tensor(lengths)[:, None]).long()


def write(name, seed, layers, tied, theta, dtype, targets, head_dim):
    folder = FIXTURES / name
    folder.mkdir(parents=True, exist_ok=True)
    model = make_model(seed, layers, tied, theta, head_dim)
    state = {key: value.to(dtype).contiguous() for key, value in model.state_dict().items()
             if not (tied and key == "lm_head.weight")}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    model.load_state_dict({key: value.float() for key, value in load_file(folder / "model.safetensors").items()},
                          strict=not tied)
    model.tie_weights()
    config = model.config.to_dict() | {"architectures": ["Qwen2ForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n")

    ids = torch.randint(0, VOCABULARY, (3, LENGTH))
    right = right_padded([9, 6, 4])
    left = right.flip(1)
    out = {"input_ids": ids}
    with torch.no_grad():
        for side, mask in {"right": right, "left": left}.items():
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            hidden = model.model(input_ids=ids, attention_mask=mask, position_ids=positions).last_hidden_state
            out |= {f"{side}.mask": mask, f"{side}.hidden": hidden, f"{side}.logits": model.lm_head(hidden)}

    # Stage 2: the soft prompt at one position of each utterance (the second has none), answers of two tokens.
    parameters = add_lora(model, targets)
    model.requires_grad_(False)
    soft = torch.nn.Parameter(torch.randn(3, WIDTH))
    audio = torch.tensor([3, -1, 1])
    trained = parameters | {"soft_prompt": soft}
    for parameter in trained.values():
        parameter.requires_grad_(True)
    is_audio = torch.arange(LENGTH)[None, :] == audio[:, None]
    embeddings = torch.where(is_audio[:, :, None], soft[:, None, :], model.model.embed_tokens(ids))
    hidden = model.model(inputs_embeds=embeddings, attention_mask=right).last_hidden_state
    positions = torch.tensor([7, 8, LENGTH + 4, LENGTH + 5, 2 * LENGTH + 2, 0])
    tokens = torch.tensor([11, 12, 60, 12, 0, 0])
    weights = torch.tensor([5.0, 1.0, 5.0, 1.0, 5.0, 0.0])
    logits = model.lm_head(hidden.reshape(-1, WIDTH)[positions])
    losses = torch.nn.functional.cross_entropy(logits, tokens, reduction="none")
    loss = (weights * losses).sum() / 3
    gradients = torch.autograd.grad(loss, list(trained.values()))
    out |= {"audio_position": audio, "answer_positions": positions, "answer_tokens": tokens,
            "answer_weights": weights, "loss": loss, "lora.hidden": hidden, "soft_prompt": soft}
    out |= {f"parameter.{key}": value for key, value in parameters.items()}
    out |= {f"gradient.{key}": value for key, value in zip(trained, gradients)}
    reference = {"torch": torch.__version__, "transformers": transformers.__version__,
                 "safetensors": safetensors.__version__, "alpha": ALPHA, "rank": RANK, "targets": targets}
    save_file({key: value.detach().contiguous() for key, value in out.items()}, folder / "expected.safetensors",
              {"reference": json.dumps(reference)})  # one key: the library writes several in any order


if __name__ == "__main__":
    write("tied", 1, 2, True, 10_000.0, torch.float32, ["q_proj", "k_proj", "v_proj", "o_proj"], 8)
    write("untied", 2, 2, False, 1_000_000.0, torch.bfloat16, list(NAMES), 12)
