"""Writes test/fixtures/stage2.safetensors: small stage-2 models as PyTorch and transformers compute them.

The Former is that of stage1.py, the language models are the checkpoints in test/fixtures/qwen2, the LoRA that of
qwen2.py. Every utterance is computed alone and unpadded, in float64. The batches in the fixture are padded with tokens
that must not matter. Made with Python 3, torch 2.13.0, transformers 5.23.0 and safetensors 0.8.0:
    python test/reference/stage2.py
"""

import json
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
import transformers
from qwen2 import ALPHA, FIXTURES, NAMES, RANK, add_lora
from safetensors.torch import save_file
from stage1 import Former, packed, padded, ragged

FIXTURE = Path(__file__).parent.parent / "fixtures" / "stage2.safetensors"
LABEL_TOKENS, END_TOKEN, FILLER, WORD_WEIGHT = [11, 40, 7, 58], 60, 17, 5.0
PROMPT_LENGTHS, SLOTS, LABELS, WORD_LENGTHS = [6, 4, 7], [2, 0, 5], [1, 3, 0], [1, 1, 2]


def answer_of(label, word_length):
    """The word's tokens and the end of the turn, with their weights."""
    word = [LABEL_TOKENS[label], 33][:word_length]
    return word + [END_TOKEN], [WORD_WEIGHT] * word_length + [1.0]


def language_model(name, targets, seed):
    model = transformers.Qwen2ForCausalLM.from_pretrained(FIXTURES / name, dtype=torch.float64,
                                                          attn_implementation="eager").eval()
    model.requires_grad_(False)
    torch.manual_seed(seed)
    parameters = add_lora(model, targets)
    with torch.no_grad():
        for value in parameters.values():
            value.data = value.half().double()
    return model, parameters


def case(name, views, config, qwen, targets, seed):
    generator = torch.Generator().manual_seed(seed)
    former, projector = Former(config, generator), Former(config, generator)
    llm, lora = language_model(qwen, targets, seed)
    audio = ragged(generator, config["frames"], config["audio_width"])
    ids = [torch.randint(2, config["vocabulary"], (length,), generator=generator) for length in config["tokens"]]
    prompts = [torch.randint(0, llm.config.vocab_size, (length,), generator=generator) for length in PROMPT_LENGTHS]
    answers = [answer_of(*each) for each in zip(LABELS, WORD_LENGTHS)]
    width = llm.config.hidden_size

    loss, embeddings, probabilities = 0.0, [], []
    for row, (prompt, (tokens, weights)) in enumerate(zip(prompts, answers)):
        whole = torch.cat([prompt, torch.tensor(tokens)])
        words = llm.model.embed_tokens(whole)
        if views != "text":
            embedding = former.embed(audio[row], None if views == "audio" else ids[row])
            if config["projector_hidden"] == 0:
                soft = projector.dense("linear", embedding, width)
            else:
                inner = projector.dense("hidden", embedding, config["projector_hidden"])
                soft = projector.dense("out", F.gelu(inner), width)
            words = torch.cat([words[:SLOTS[row]], soft[None], words[SLOTS[row] + 1:]])
            embeddings.append(embedding)
        logits = llm(inputs_embeds=words[None]).logits[0]
        # Position p predicts the token at p + 1.
        log_p = logits[len(prompt) - 1:-1].log_softmax(-1)
        loss = loss - sum(weight * log_p[j, token] for j, (token, weight) in enumerate(zip(tokens, weights))) / len(prompts)
        probabilities.append(logits[len(prompt) - 1, LABEL_TOKENS].softmax(0))

    parameters = {f"former.{key}": value for key, value in former.parameters.items()}
    parameters |= {f"projector.{key}": value for key, value in projector.parameters.items()} | lora
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    sequences = [torch.cat([prompt, torch.tensor(tokens)]) for prompt, (tokens, _) in zip(prompts, answers)]
    prompt_ids, prompt_mask = padded(sequences, FILLER)
    bare_ids, bare_mask = padded(prompts, FILLER)
    length = prompt_ids.shape[1]
    positions = [row * length + len(prompt) - 1 + j
                 for row, (prompt, (tokens, _)) in enumerate(zip(prompts, answers)) for j in range(len(tokens))]
    features, frame_mask = padded(audio, 50.0)
    input_ids, attention_mask = padded(ids, 3)
    out = {"batch/prompt_ids": prompt_ids, "batch/prompt_mask": prompt_mask, "bare/prompt_ids": bare_ids,
           "bare/prompt_mask": bare_mask, "batch/answer_positions": torch.tensor(positions),
           "batch/answer_tokens": torch.tensor([token for tokens, _ in answers for token in tokens]),
           "batch/answer_weights": torch.tensor([weight for _, weights in answers for weight in weights]),
           "loss": loss, "probabilities": torch.stack(probabilities)}
    if views != "text":
        out |= {"batch/audio_features": features.half(), "batch/frame_mask": frame_mask, "batch/input_ids": input_ids,
                "batch/attention_mask": attention_mask, "batch/audio_position": torch.tensor(SLOTS),
                "embedding": torch.stack(embeddings)}
    out |= packed(parameters, gradients)
    print(f"{name}: {len(out['parameters'])} parameters, loss {loss.item():.4f}")
    shapes = [[key, list(value.shape)] for key, value in parameters.items()]
    return {f"{name}/{key}": value.detach().contiguous() for key, value in out.items()}, shapes


def main():
    config = {"cross_attention_every": 2, "vocabulary": 23, "positions": 12, "width": 8, "heads": 2, "layers": 2,
              "intermediate": 12, "queries": 3, "pooling_heads": 4, "audio_width": 6, "frames": [4, 6, 2],
              "tokens": [5, 2, 3]}
    attention = [name for name, block in NAMES.items() if block == "self_attn"]
    cases = {"both": (config | {"projector_hidden": 0}, "tied", attention),
             "audio": (config | {"projector_hidden": 5}, "untied", ["q_proj", "down_proj"]),
             "text": (config | {"projector_hidden": 0}, "tied", ["q_proj", "v_proj"])}
    out, shapes, configs = {}, {}, {}
    for seed, (name, (sizes, qwen, targets)) in enumerate(cases.items()):
        tensors, shapes[name] = case(name, name, sizes, qwen, targets, seed)
        configs[name] = sizes | {"qwen": qwen, "targets": targets, "rank": RANK, "alpha": ALPHA,
                                 "label_tokens": LABEL_TOKENS}
        out |= tensors
    save_file(out, FIXTURE, {"configs": json.dumps(configs), "shapes": json.dumps(shapes),
                             "torch": torch.__version__, "transformers": transformers.__version__,
                             "safetensors": safetensors.__version__})
    FIXTURE.chmod(0o644)


if __name__ == "__main__":
    main()
