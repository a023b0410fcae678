"""Writes test/fixtures/stage2.safetensors: small stage-2 models as PyTorch and transformers compute them.

The Former is that of stage1.py, the language models are the checkpoints in test/fixtures/qwen2, the LoRA that of
decoders.py. Every utterance is computed alone and unpadded, in float64. The batches in the fixture are padded with
tokens that must not matter. In one model there is no Former: frames go into the prompt, a slot for each. Each model
comes with its gradients on the first batch and with its parameters after 20 steps of AdamW (adamw.py) over all batches
in turn. The answer loss (eq. 7) is there alone too. Made with Python 3, torch 2.13.0,
transformers 5.23.0 and safetensors 0.8.0:
    python test/reference/stage2.py
"""

import json
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
import transformers
from decoders import ALPHA, FIXTURES, NAMES, RANK, VOCABULARY, add_lora
from safetensors.torch import save_file
from stage1 import Former, gradients_of, padded, ragged, stored, trajectory

FIXTURE = Path(__file__).parent.parent / "fixtures" / "stage2.safetensors"
LABEL_TOKENS, END_TOKEN, FILLER, WORD_WEIGHT = [11, 40, 7, 58], 60, 17, 5.0


def answer_of(label, word_length):
    """The word's tokens and the end of the turn, with their weights."""
    word = [LABEL_TOKENS[label], 33][:word_length]
    return word + [END_TOKEN], [WORD_WEIGHT] * word_length + [1.0]


def language_model(name, targets, seed):
    model = transformers.Qwen2ForCausalLM.from_pretrained(FIXTURES / "qwen2" / name, dtype=torch.float64,
                                                          attn_implementation="eager").eval()
    model.requires_grad_(False)
    torch.manual_seed(seed)
    parameters = add_lora(model, targets)
    with torch.no_grad():
        for value in parameters.values():
            value.data = value.half().double()
    return model, parameters


def draw_batch(generator, config, index):
    """Clips, token ids, prompts with the place of their slot, and answers of one batch."""
    sizes = {key: config[key][index] for key in ("frames", "tokens", "prompts", "slots", "labels", "word_lengths")}
    draw = lambda vocabulary, lowest, lengths: [torch.randint(lowest, vocabulary, (length,), generator=generator)
                                                for length in lengths]
    return {"audio": ragged(generator, sizes["frames"], config["audio_width"]),
            "ids": draw(config["vocabulary"], 2, sizes["tokens"]),
            "prompts": draw(VOCABULARY, 0, sizes["prompts"]), "slots": sizes["slots"],
            "answers": [answer_of(*each) for each in zip(sizes["labels"], sizes["word_lengths"])]}


def stored_prompts(batch):
    """The prompts with their answers as emoq reads them: padded, answers flat over utterances."""
    sequences = [torch.cat([prompt, torch.tensor(tokens)]) for prompt, (tokens, _) in zip(batch["prompts"], batch["answers"])]
    prompt_ids, prompt_mask = padded(sequences, FILLER)
    length = prompt_ids.shape[1]
    positions = [row * length + len(prompt) - 1 + j
                 for row, (prompt, (tokens, _)) in enumerate(zip(batch["prompts"], batch["answers"]))
                 for j in range(len(tokens))]
    return {"prompt_ids": prompt_ids, "prompt_mask": prompt_mask, "answer_positions": torch.tensor(positions),
            "answer_tokens": torch.tensor([token for tokens, _ in batch["answers"] for token in tokens]),
            "answer_weights": torch.tensor([weight for _, weights in batch["answers"] for weight in weights])}


def project(projector, config, embedding, width):
    if config["projector_hidden"] == 0:
        return projector.dense("linear", embedding, width)
    return projector.dense("out", F.gelu(projector.dense("hidden", embedding, config["projector_hidden"])), width)


def forward(former, projector, llm, views, config, batch):
    """Views are both, audio or text through the Former, or frames: audio straight into the prompt, a slot for each frame."""
    loss, embeddings, probabilities = 0.0, [], []
    for row, (prompt, (tokens, weights)) in enumerate(zip(batch["prompts"], batch["answers"])):
        words = llm.model.embed_tokens(torch.cat([prompt, torch.tensor(tokens)]))
        if views == "frames":
            slot, frames = batch["slots"][row], batch["audio"][row]
            soft = project(projector, config, frames, words.shape[1])
            words = torch.cat([words[:slot], soft, words[slot + len(frames):]])
        elif views != "text":
            embedding = former.embed(batch["audio"][row], None if views == "audio" else batch["ids"][row])
            soft, slot = project(projector, config, embedding, words.shape[1]), batch["slots"][row]
            words = torch.cat([words[:slot], soft[None], words[slot + 1:]])
            embeddings.append(embedding)
        logits = llm(inputs_embeds=words[None]).logits[0]
        # Position p predicts the token at p + 1.
        log_p = logits[len(prompt) - 1:-1].log_softmax(-1)
        loss = loss - sum(weight * log_p[j, token] for j, (token, weight) in enumerate(zip(tokens, weights)))
        probabilities.append(logits[len(prompt) - 1, LABEL_TOKENS].softmax(0))
    out = {"loss": loss / len(batch["prompts"]), "probabilities": torch.stack(probabilities)}
    return out | ({"embedding": torch.stack(embeddings)} if embeddings else {})


def case(name, views, config, qwen, targets, seed):
    generator = torch.Generator().manual_seed(seed)
    former, projector = Former(config, generator), Former(config, generator)
    llm, lora = language_model(qwen, targets, seed)
    batches = [draw_batch(generator, config, index) for index in range(len(config["prompts"]))]
    out = {}
    for index, batch in enumerate(batches):
        inputs = stored_prompts(batch)
        if views != "text":
            inputs |= stored(batch) | {"audio_position": torch.tensor(batch["slots"])}
        out |= {f"batch/{index}/{key}": value for key, value in inputs.items()}
    out["bare/prompt_ids"], out["bare/prompt_mask"] = padded(batches[0]["prompts"], FILLER)
    results = forward(former, projector, llm, views, config, batches[0])
    parameters = {f"former.{key}": value for key, value in former.parameters.items()}
    parameters |= {f"projector.{key}": value for key, value in projector.parameters.items()} | lora
    out |= results | gradients_of(parameters, results["loss"])
    frozen = [key for key in parameters if "word_embeddings" in key]
    for key in frozen:
        parameters[key].requires_grad_(False)
    trained = {key: value for key, value in parameters.items() if key not in frozen}
    out |= trajectory(name, trained, config["optimizer"],
                      lambda step: forward(former, projector, llm, views, config, batches[step % len(batches)])["loss"])
    shapes = [[key, list(value.shape)] for key, value in parameters.items()]
    return {f"{name}/{key}": value.detach().contiguous() for key, value in out.items()}, shapes, frozen


def answer_loss(name, utterances, positions, tokens, weights, seed, scale=1.0):
    """Eq. 7 over hidden states [N, L, d] and an output matrix [V, d]."""
    generator = torch.Generator().manual_seed(seed)
    hidden = (scale * torch.randn(utterances, 4, 3, generator=generator)).double().requires_grad_(True)
    matrix = torch.randn(7, 3, generator=generator).double().requires_grad_(True)
    logits = hidden.reshape(-1, 3)[positions] @ matrix.T
    losses = F.cross_entropy(logits, torch.tensor(tokens), reduction="none")
    loss = (torch.tensor(weights).double() * losses).sum() / utterances
    gradients = torch.autograd.grad(loss, [hidden, matrix])
    out = {"hidden": hidden.float(), "matrix": matrix.float(), "positions": torch.tensor(positions),
           "tokens": torch.tensor(tokens), "weights": torch.tensor(weights), "loss": loss,
           "gradient/hidden": gradients[0], "gradient/matrix": gradients[1]}
    return {f"answers/{name}/{key}": value.detach().contiguous() for key, value in out.items()}


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    transformers.utils.logging.disable_progress_bar()
    # Epsilon lies above the rounding of gradients: else what has none in exact arithmetic would step with its rounding.
    optimizer = {"steps": 20, "total_steps": 20, "warmup_steps": 4, "rate": 0.01, "beta1": 0.9, "beta2": 0.98,
                 "epsilon": 1e-2, "weight_decay": 0.1}
    config = {"cross_attention_every": 2, "vocabulary": 23, "positions": 12, "width": 8, "heads": 2, "layers": 2,
              "intermediate": 12, "queries": 3, "pooling_heads": 4, "audio_width": 6,
              "frames": [[4, 6, 2], [3, 7], [5], [2, 4, 6, 1]], "tokens": [[5, 2, 3], [4, 6], [8], [1, 3, 2, 7]],
              "prompts": [[6, 4, 7], [5, 8], [3], [4, 7, 5, 6]], "slots": [[2, 0, 5], [4, 6], [1], [0, 3, 2, 5]],
              "labels": [[1, 3, 0], [2, 2], [1], [0, 3, 1, 2]],
              "word_lengths": [[1, 1, 2], [1, 2], [2], [1, 1, 2, 1]]}
    attention = [name for name, block in NAMES.items() if block == "self_attn"]
    sizes = lambda projector_hidden, clip_norm: config | {
        "projector_hidden": projector_hidden, "optimizer": optimizer | {"clip_norm": clip_norm}}
    cases = {"both": (sizes(0, 200.0), "tied", attention),
             "audio": (sizes(5, 20.0), "untied", ["q_proj", "down_proj"]),
             "text": (sizes(0, 150.0), "tied", ["q_proj", "v_proj"]),
             "frames": (sizes(5, 300.0) | {"prompts": [[8, 9, 6], [6, 10], [7], [5, 8, 9, 4]],
                                           "slots": [[2, 1, 3], [0, 2], [1], [1, 3, 2, 0]]}, "tied", attention)}
    out, shapes, configs = {}, {}, {}
    for seed, (name, (case_config, qwen, targets)) in enumerate(cases.items()):
        tensors, shapes[name], frozen = case(name, name, case_config, qwen, targets, seed)
        configs[name] = case_config | {"qwen": qwen, "targets": targets, "rank": RANK, "alpha": ALPHA, "frozen": frozen,
                                 "label_tokens": LABEL_TOKENS}
        out |= tensors
    answers = {
        "word and end of two utterances": dict(utterances=2, positions=[1, 2, 6, 7], tokens=[3, 6, 0, 6],
                                               weights=[5.0, 1.0, 5.0, 1.0]),
        "padding, which weighs nothing": dict(utterances=2, positions=[1, 2, 6, 0], tokens=[3, 6, 0, 0],
                                              weights=[5.0, 1.0, 5.0, 0.0]),
        "a batch of one, one token": dict(utterances=1, positions=[3], tokens=[2], weights=[5.0]),
        "every utterance the same word": dict(utterances=3, positions=[1, 6, 11], tokens=[4, 4, 4],
                                              weights=[5.0, 5.0, 5.0]),
        "an utterance without an answer": dict(utterances=3, positions=[0, 9], tokens=[1, 5], weights=[5.0, 5.0]),
        "two answers at one position": dict(utterances=2, positions=[1, 1], tokens=[3, 4], weights=[1.0, 2.0]),
        "hidden states of 1000": dict(utterances=2, positions=[1, 2, 6, 7], tokens=[3, 6, 0, 6],
                                      weights=[5.0, 1.0, 5.0, 1.0], scale=1000.0),
    }
    for seed, (name, sizes) in enumerate(answers.items()):
        out |= answer_loss(name, seed=100 + seed, **sizes)
    reference = {"configs": configs, "shapes": shapes, "answers": list(answers), "torch": torch.__version__,
                 "transformers": transformers.__version__, "safetensors": safetensors.__version__}
    save_file(out, FIXTURE, {"reference": json.dumps(reference)})  # one key: the library writes several in any order
    FIXTURE.chmod(0o644)


if __name__ == "__main__":
    main()
