"""Writes test/fixtures/roberta: tiny random RoBERTa checkpoints with what transformers' RobertaModel makes of them.

Each folder holds a checkpoint as save_pretrained writes it, and expected.safetensors: token ids padded on the right and
on the left, masks, and hidden states in float32. Made with Python 3, torch 2.13.0, transformers 5.23.0 and safetensors
0.8.0:
    python test/reference/roberta.py

bare       a RobertaModel: keys without a prefix, pooler included; one token type, padding id 1
masked-lm  a RobertaForMaskedLM, as the published checkpoints are: every key below "roberta."; two token types, padding
           id 3, head width 5, float16 on disk
"""

import json
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import save_file
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaModel

FIXTURES = Path(__file__).parent.parent / "fixtures" / "roberta"


def random_model(kind, seed, config):
    torch.manual_seed(seed)
    model = kind(RobertaConfig(**config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Large enough that attention is far from uniform and every weight matters.
            if name.endswith("LayerNorm.weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith(".bias"):
                parameter.normal_(0, 0.3)
            elif "embeddings" in name:
                parameter.normal_(0, 1)  # the padding id's rows too, which transformers starts at zero
            else:
                parameter.normal_(0, 1.5 * parameter.shape[-1] ** -0.5)
    return model


def write(name, kind, seed, config, dtype, lengths):
    folder = FIXTURES / name
    random_model(kind, seed, config).to(dtype).save_pretrained(folder)
    model = RobertaModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                         add_pooling_layer=False).eval()
    torch.manual_seed(100 + seed)
    pad, length, width = config["pad_token_id"], max(lengths), config["hidden_size"]
    words = [id for id in range(config["vocab_size"]) if id != pad]
    sequences = [torch.tensor(words)[torch.randint(0, len(words), (own,))] for own in lengths]
    filler = [torch.full((length - own,), pad) for own in lengths]
    out = {}
    with torch.no_grad():
        for side, parts in {"right": zip(sequences, filler), "left": zip(filler, sequences)}.items():
            ids = torch.stack([torch.cat(pair) for pair in parts])
            mask = (ids != pad).long()
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
            out |= {f"{side}.input_ids": ids, f"{side}.mask": mask, f"{side}.hidden": hidden}
    reference = {"torch": torch.__version__, "transformers": transformers.__version__,
                 "safetensors": safetensors.__version__}
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "expected.safetensors",
              {"reference": json.dumps(reference)})  # one key: the library writes several in any order
    for file in folder.iterdir():
        file.chmod(0o644)


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # pooler and language head are not loaded
    write("bare", RobertaModel, 1,
          dict(vocab_size=41, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37,
               max_position_embeddings=16, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5),
          torch.float32, [14, 9, 1, 6])
    write("masked-lm", RobertaForMaskedLM, 2,
          dict(vocab_size=29, hidden_size=15, num_hidden_layers=3, num_attention_heads=3, intermediate_size=22,
               max_position_embeddings=31, type_vocab_size=2, pad_token_id=3, layer_norm_eps=0.02),
          torch.float16, [5, 27])


if __name__ == "__main__":
    main()
