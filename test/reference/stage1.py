"""Writes test/fixtures/stage1.safetensors: small EmoQ-Formers with head and losses as PyTorch computes them.

The model is written from the paper's equations 1-6 and computes every utterance alone, without padding and without
masks, in float64; only the losses see the batch. The batches in the fixture are padded with values that must not matter.
Each model comes with its gradients on the first batch and with its parameters after 20 steps of AdamW (adamw.py) over
all batches in turn. Made with Python 3, torch 2.13.0 and safetensors 0.8.0:
    python test/reference/stage1.py
"""

import json
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
from adamw import take_steps
from safetensors.torch import save_file

FIXTURE = Path(__file__).parent.parent / "fixtures" / "stage1.safetensors"
EPSILON = 1e-5
PAD = 1
# Of the losses alone: class weights, and the balance of the two losses.
ALPHA, FOCAL_WEIGHT = [0.1, 1.0, 0.4], 0.7


class Former:
    """Parameters by key, made as they are first asked for, and the model that they belong to."""

    def __init__(self, config, generator):
        self.config, self.generator, self.parameters = config, generator, {}

    def __call__(self, key, *shape):
        if key not in self.parameters:
            value = torch.randn(shape, generator=self.generator)
            if key.endswith("LayerNorm.weight"):
                value = 1 + 0.3 * value
            elif key.endswith(".bias"):
                value = 0.3 * value
            elif "embedding" not in key and "query_tokens" not in key:
                value = value * shape[-1] ** -0.5
            # Stored in half precision, so that both sides begin from the same numbers.
            self.parameters[key] = value.half().double().requires_grad_(True)
        return self.parameters[key]

    def dense(self, key, x, out):
        return x @ self(f"{key}.weight", out, x.shape[-1]).T + self(f"{key}.bias", out)

    def norm(self, key, x):
        width = x.shape[-1]
        return F.layer_norm(x, (width,), self(f"{key}.weight", width), self(f"{key}.bias", width), EPSILON)

    def attend(self, key, x, others):
        """x [L_x, d] attends to others [L, d]: eq. 2 and 3 with heads, then projection, residual and norm."""
        width, heads = self.config["width"], self.config["heads"]
        split = lambda y: y.reshape(len(y), heads, width // heads).transpose(0, 1)
        q, k, v = (split(self.dense(f"{key}.self.{name}", source, width))
                   for name, source in (("query", x), ("key", others), ("value", others)))
        context = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(x), width)
        return self.norm(f"{key}.output.LayerNorm", x + self.dense(f"{key}.output.dense", context, width))

    def feed_forward(self, key, suffix, x):
        inner = F.gelu(self.dense(f"{key}.intermediate{suffix}.dense", x, self.config["intermediate"]))
        output = self.dense(f"{key}.output{suffix}.dense", inner, x.shape[-1])
        return self.norm(f"{key}.output{suffix}.LayerNorm", x + output)

    def text_embeddings(self, ids):
        width = self.config["width"]
        words = self("embeddings.word_embeddings.weight", self.config["vocabulary"], width)[ids]
        places = torch.arange(len(ids)) + PAD + 1
        positions = self("embeddings.position_embeddings.weight", self.config["positions"], width)[places]
        kind = self("embeddings.token_type_embeddings.weight", 1, width)[0]
        return self.norm("embeddings.LayerNorm", words + positions + kind)

    def embed(self, audio, ids):
        """One utterance: audio [L_a, d_a] or None, ids [L_t] or None -> e'_q [d]."""
        config = self.config
        width, count = config["width"], config["queries"]
        queries = self.norm("embeddings.LayerNorm", self("query_tokens", 1, count, width)[0])
        words = None if ids is None else self.text_embeddings(ids)
        frames = None if audio is None else self.dense("audio_projection", audio, width)
        for layer in range(config["layers"]):
            key = f"encoder.layer.{layer}"
            joint = queries if words is None else torch.cat([queries, words])
            attended = self.attend(f"{key}.attention", joint, joint)
            queries, text = attended[:count], attended[count:]
            if frames is not None and layer % config["cross_attention_every"] == 0:
                queries = self.attend(f"{key}.crossattention", queries, frames)
            queries = self.feed_forward(key, "_query", queries)
            # What becomes of the text in the last layer is read by nobody.
            if words is not None and layer < config["layers"] - 1:
                words = self.feed_forward(key, "", text)
        return F.normalize(self.pool(queries), dim=0)

    def pool(self, queries):
        width, heads = self.config["width"], self.config["pooling_heads"]
        scores = self("pooling.score.weight", heads, width)
        values = self.dense("pooling.value", queries, width).chunk(heads, dim=1)
        pooled = [torch.softmax(queries @ scores[head], 0) @ values[head] for head in range(heads)]
        return self.dense("pooling.output", torch.cat(pooled), width)


def contrastive_loss(embeddings, labels, temperature):
    """Eq. 4, anchor by anchor."""
    total = 0.0 * embeddings.sum()
    for i in range(len(labels)):
        others = [k for k in range(len(labels)) if k != i]
        positives = [j for j in others if labels[j] == labels[i]]
        if not positives:
            continue
        similarity = {k: embeddings[i] @ embeddings[k] / temperature for k in others}
        denominator = torch.logsumexp(torch.stack(list(similarity.values())), 0)
        total = total - sum(similarity[j] - denominator for j in positives) / len(positives)
    return total / len(labels)


def focal_loss(logits, labels, alpha, gamma):
    """Eq. 5, utterance by utterance."""
    total = 0.0 * logits.sum()
    for z, y in zip(logits, labels):
        log_p = F.log_softmax(z, 0)
        rest = torch.cat([log_p[:y], log_p[y + 1:]]).exp().sum()  # 1 - p_y, without cancellation
        total = total - alpha[y] * rest**gamma * log_p[y]
    return total / len(labels)


def ragged(generator, lengths, width):
    return [torch.randn(length, width, generator=generator).half().double() for length in lengths]


def padded(sequences, filler):
    """[N, L, ...] with the filler behind each sequence, and the mask [N, L]."""
    length = max(len(sequence) for sequence in sequences)
    rows = [torch.cat([sequence, torch.full((length - len(sequence), *sequence.shape[1:]), filler, dtype=sequence.dtype)])
            for sequence in sequences]
    mask = [[1] * len(sequence) + [0] * (length - len(sequence)) for sequence in sequences]
    return torch.stack(rows), torch.tensor(mask)


def draw_batch(generator, config, index):
    """Clips, token ids and labels of one batch."""
    audio = ragged(generator, config["frames"][index], config["audio_width"])
    ids = [torch.randint(2, config["vocabulary"], (length,), generator=generator) for length in config["tokens"][index]]
    return {"audio": audio, "ids": ids, "labels": config["labels"][index]}


def stored(batch):
    """The Former's inputs as emoq reads them: padded."""
    features, frame_mask = padded(batch["audio"], 50.0)
    input_ids, attention_mask = padded(batch["ids"], 3)
    return {"audio_features": features.half(), "frame_mask": frame_mask, "input_ids": input_ids,
            "attention_mask": attention_mask}


def forward(former, head, views, config, batch):
    embedding = torch.stack([former.embed(None if views == "text" else a, None if views == "audio" else t)
                             for a, t in zip(batch["audio"], batch["ids"])])
    logits = head.dense("out_proj", F.gelu(head.dense("dense", embedding, config["head_hidden"])), config["classes"])
    contrastive = contrastive_loss(embedding, batch["labels"], config["temperature"])
    focal = focal_loss(logits, batch["labels"], config["alpha"], config["gamma"])
    return {"embedding": embedding, "logits": logits, "contrastive": contrastive, "focal": focal,
            "loss": contrastive + config["focal_weight"] * focal}


def whole_model(name, views, config, seed):
    generator = torch.Generator().manual_seed(seed)
    former, head = Former(config, generator), Former(config, generator)
    batches = [draw_batch(generator, config, index) for index in range(len(config["frames"]))]
    out = {f"batch/{index}/{key}": value for index, batch in enumerate(batches)
           for key, value in (stored(batch) | {"labels": torch.tensor(batch["labels"])}).items()}
    results = forward(former, head, views, config, batches[0])
    parameters = {f"former.{key}": value for key, value in former.parameters.items()}
    parameters |= {f"head.{key}": value for key, value in head.parameters.items()}
    out |= results | gradients_of(parameters, results["loss"])
    out |= trajectory(name, parameters, config["optimizer"],
                      lambda step: forward(former, head, views, config, batches[step % len(batches)])["loss"])
    shapes = [[key, list(value.shape)] for key, value in parameters.items()]
    return {f"{name}/{key}": value.detach().contiguous() for key, value in out.items()}, shapes


def end_to_end(values):
    """All values in the order of the keys: a header entry for each would outweigh them."""
    return torch.cat([value.detach().flatten() for value in values])


def gradients_of(parameters, loss):
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    return {"parameters": end_to_end(parameters.values()).half(), "gradients": end_to_end(gradients).float()}


def trajectory(name, parameters, settings, loss_at):
    """What becomes of the parameters in 20 steps, with the loss, gradient norm and rate of each."""
    start = {key: value.detach().clone() for key, value in parameters.items()}
    series = take_steps(parameters, loss_at, settings)
    moved = [((parameters[key] - value).norm() / value.norm()).item() for key, value in start.items()]
    norms, losses = series["gradient_norm"], series["loss"]
    print(f"{name}: {sum(value.numel() for value in start.values())} parameters, which move by {min(moved):.2g} to "
          f"{max(moved):.2g} of their norm; losses {losses[0]:.4f} to {losses[-1]:.4f}, "
          f"gradient norms {norms.min():.2f} to {norms.max():.2f}")
    return {"after": end_to_end(parameters.values()).float()} | {f"steps/{key}": value for key, value in series.items()}


def losses_alone(name, labels, gamma, seed, temperature=0.07, confidence=0.0):
    """The losses of a batch of embeddings and logits, and their weighted sum with logits that see the embeddings."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator)
    embeddings = F.normalize(draw(len(labels), 5), dim=1).double().requires_grad_(True)
    logits = draw(len(labels), 3)
    logits[torch.arange(len(labels)), torch.tensor(labels)] += confidence
    logits, head = logits.double().requires_grad_(True), draw(3, 5).double()
    contrastive = contrastive_loss(embeddings, labels, temperature)
    focal = focal_loss(logits, labels, ALPHA, gamma)
    affective = contrastive + FOCAL_WEIGHT * focal_loss(logits + embeddings @ head.T, labels, ALPHA, gamma)
    out = {"embeddings": embeddings.float(), "logits": logits.float(), "head": head.float(),
           "labels": torch.tensor(labels), "gamma": torch.tensor(float(gamma)),
           "temperature": torch.tensor(temperature, dtype=torch.float64), "contrastive": contrastive, "focal": focal,
           "affective": affective,
           "gradient/contrastive/embeddings": torch.autograd.grad(contrastive, embeddings, retain_graph=True)[0],
           "gradient/focal/logits": torch.autograd.grad(focal, logits, retain_graph=True)[0],
           "gradient/affective/embeddings": torch.autograd.grad(affective, embeddings)[0]}
    return {f"losses/{name}/{key}": value.detach().contiguous() for key, value in out.items()}


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    # Epsilon lies above the rounding of gradients: else what has none in exact arithmetic would step with its rounding.
    optimizer = {"steps": 20, "total_steps": 20, "warmup_steps": 4, "rate": 0.01, "beta1": 0.9, "beta2": 0.98,
                 "epsilon": 1e-4, "weight_decay": 0.1, "clip_norm": 2.0}
    shared = {"cross_attention_every": 2, "temperature": 0.07, "gamma": 2.0, "focal_weight": 0.8, "classes": 4,
              "vocabulary": 23, "positions": 12, "alpha": [0.25, 1.0, 0.5, 0.75], "optimizer": optimizer}
    large = shared | {"width": 12, "heads": 3, "layers": 3, "intermediate": 16, "queries": 4, "pooling_heads": 2,
                      "audio_width": 8, "head_hidden": 10,
                      "frames": [[7, 3, 1, 5, 4], [2, 8], [5, 5, 6, 1], [3, 9, 4]],
                      "tokens": [[2, 6, 3, 5, 4], [4, 3], [9, 2, 5, 5], [3, 1, 7]],
                      "labels": [[0, 2, 0, 2, 3], [1, 1], [3, 0, 3, 2], [1, 2, 2]]}
    small = shared | {"width": 8, "heads": 2, "layers": 2, "intermediate": 12, "queries": 3, "pooling_heads": 4,
                      "audio_width": 6, "head_hidden": 8,
                      "frames": [[4, 6, 2], [3, 5, 1, 7], [6, 2], [5]], "tokens": [[5, 2, 3], [4, 6, 1, 3], [2, 7], [8]],
                      "labels": [[1, 1, 3], [0, 2, 0, 2], [3, 3], [1]]}
    # On audio alone gradients are small; some should be clipped all the same.
    configs = {"both": large, "audio": small | {"optimizer": optimizer | {"clip_norm": 0.7}}, "text": small}
    out, shapes = {}, {}
    for seed, (name, config) in enumerate(configs.items()):
        tensors, shapes[name] = whole_model(name, name, config, seed)
        out |= tensors
    batches = {
        "every class": dict(labels=[0, 1, 2, 2, 1, 0]),
        "a class missing": dict(labels=[0, 2, 2, 0, 0, 2]),
        "a single positive, the others alone": dict(labels=[0, 1, 2, 2], temperature=0.5),
        "no positives at all": dict(labels=[0, 1, 2]),
        "one class only": dict(labels=[1, 1, 1, 1], temperature=0.1),
        "a batch of one": dict(labels=[1]),
        "sure and right": dict(labels=[0, 1, 2, 2], confidence=12),
        "logits of 10000, right": dict(labels=[0, 1, 2, 2], confidence=1e4),
        "logits of 10000, wrong": dict(labels=[0, 1, 2, 2], confidence=-1e4),
    }
    gammas = [(name, gamma) for name in batches for gamma in (0, 2)] + [("every class", 0.5), ("every class", 5)]
    cases = []
    for seed, (name, gamma) in enumerate(gammas):
        cases.append(f"{name}; gamma {gamma}")
        out |= losses_alone(cases[-1], gamma=gamma, seed=100 + seed, **batches[name])
    reference = {"configs": configs, "shapes": shapes, "losses": cases, "alpha": ALPHA, "focal_weight": FOCAL_WEIGHT,
                 "torch": torch.__version__, "safetensors": safetensors.__version__}
    save_file(out, FIXTURE, {"reference": json.dumps(reference)})  # one key: the library writes several in any order
    FIXTURE.chmod(0o644)


if __name__ == "__main__":
    main()
