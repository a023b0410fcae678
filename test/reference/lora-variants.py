"""Writes test/fixtures/lora-variants.safetensors: PEFT's rank-stabilised LoRA and PiSSA on two checkpoints of decoders.py.

For each: what PEFT starts A and B from, A and B after a change, the hidden states and the gradients with these, and one
merged weight. Under PiSSA, PEFT changes the weights themselves; the hidden states and the merged weight do not show it.
Made with Python 3, torch 2.14.1, transformers 5.24.0, peft 0.21.2 and safetensors 0.8.0:
    python test/reference/lora-variants.py
"""

import json
from pathlib import Path

import peft
import safetensors
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Qwen2ForCausalLM

FIXTURES = Path(__file__).parent.parent / "fixtures"
RANK, ALPHA = 4, 6.0
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]
MERGED = "model.layers.1.self_attn.q_proj"
CASES = {"rslora": dict(use_rslora=True), "pissa": dict(init_lora_weights="pissa"),
         "pissa rslora": dict(init_lora_weights="pissa", use_rslora=True)}


def case(checkpoint, options, seed):
    model = Qwen2ForCausalLM.from_pretrained(FIXTURES / "qwen2" / checkpoint, dtype=torch.float32,
                                             attn_implementation="eager").eval()
    given = load_file(FIXTURES / "qwen2" / checkpoint / "expected.safetensors")
    ids, mask = given["input_ids"], given["right.mask"]
    before = model.model(input_ids=ids, attention_mask=mask).last_hidden_state.detach()
    torch.manual_seed(seed)
    adapted = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS,
                                               task_type="CAUSAL_LM", **options))
    pairs = {name.replace(".default", ""): value for name, value in adapted.named_parameters() if "lora_" in name}
    out = {"before": before}
    out |= {f"start.{name}": value.detach().clone() for name, value in pairs.items()}
    with torch.no_grad():
        for value in pairs.values():
            value += 0.1 * torch.randn_like(value)
    hidden = adapted.base_model.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
    probe = torch.randn_like(hidden) * mask[:, :, None]
    gradients = torch.autograd.grad((hidden * probe).sum(), list(pairs.values()))
    out |= {"hidden": hidden, "probe": probe}
    out |= {f"parameter.{name}": value.detach().clone() for name, value in pairs.items()}
    out |= {f"gradient.{name}": value for name, value in zip(pairs, gradients)}
    out["merged"] = adapted.merge_and_unload().get_submodule(MERGED).weight
    return {key: value.detach().contiguous() for key, value in out.items()}


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    transformers.utils.logging.disable_progress_bar()
    out = {}
    for seed, (checkpoint, name) in enumerate([("tied", "rslora"), ("tied", "pissa"), ("untied", "pissa rslora")]):
        out |= {f"{checkpoint} {name}/{key}": value for key, value in case(checkpoint, CASES[name], seed).items()}
    reference = {"rank": RANK, "alpha": ALPHA, "targets": TARGETS, "merged": MERGED, "torch": torch.__version__,
                 "transformers": transformers.__version__, "peft": peft.__version__,
                 "safetensors": safetensors.__version__}
    save_file(out, FIXTURES / "lora-variants.safetensors", {"reference": json.dumps(reference)})
    (FIXTURES / "lora-variants.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
