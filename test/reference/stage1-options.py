"""Writes test/fixtures/stage1-options.safetensors: what recipes may change in stage 1, as PyTorch computes it.

- The Former with the mean of the frames added to its pooled queries (former.residual), with gradients and 20 steps.
- The contrastive loss of two views of each utterance, over features [N, 2, d] as Khosla et al. (2020) define it.
- The contrastive loss with a queue of earlier embeddings (Wang et al., 2020), whole and partly filled, and 20 steps in
  which each step leaves its embeddings to the next: with whole batches, and in micro-batches of two utterances, each of
  which leaves its embeddings to the one after it.

Gradients of the losses are also compared with finite differences, by torch.autograd.gradcheck. Model and losses are
those of stage1.py. Made with Python 3, torch 2.14.1 and safetensors 0.8.0:
    python test/reference/stage1-options.py
"""

import json
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from stage1 import Former, contrastive_loss, draw_batch, end_to_end, focal_loss, gradients_of, stored, trajectory

FIXTURE = Path(__file__).parent.parent / "fixtures" / "stage1-options.safetensors"


class ResidualFormer(Former):
    def embed(self, audio, ids):
        self.audio = audio
        return super().embed(audio, ids)

    def pool(self, queries):
        width = self.audio.shape[1]
        standardized = self("residual.norm.weight", width) * self.audio.mean(0) + self("residual.norm.bias", width)
        return super().pool(queries) + self.dense("residual", standardized, queries.shape[1])


def queued_loss(embeddings, labels, temperature, queue, queue_labels):
    """Eq. 4 with the queue's embeddings among the others of every anchor."""
    total = 0.0 * embeddings.sum()
    for i, label in enumerate(labels):
        others = [(embeddings[k], labels[k]) for k in range(len(labels)) if k != i]
        others += [(e, y) for e, y in zip(queue, queue_labels)]
        similarities = [embeddings[i] @ e / temperature for e, _ in others]
        positives = [s for s, (_, y) in zip(similarities, others) if y == label]
        if positives:
            total = total - sum(positives) / len(positives) + torch.logsumexp(torch.stack(similarities), 0)
    return total / len(labels)


def two_view_loss(features, labels, temperature):
    """Features [N, 2, d]: anchors and contrasts are all views of all utterances."""
    count, views, _ = features.shape
    rows = torch.cat(torch.unbind(features, 1))  # view by view
    same = (labels[:, None] == labels[None]).double().repeat(views, views)
    others = 1 - torch.eye(count * views).double()
    scores = rows @ rows.T / temperature
    log_probabilities = scores - (scores.exp() * others).sum(1, keepdim=True).log()
    positives = same * others
    return -((positives * log_probabilities).sum(1) / positives.sum(1)).mean()


def unit_rows(generator, *shape):
    return F.normalize(torch.randn(shape, generator=generator), dim=-1).half().double()


def views_alone(name, labels, seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    first = unit_rows(generator, len(labels), 5)
    features = torch.stack([first, F.normalize(first + 0.4 * unit_rows(generator, len(labels), 5), dim=-1)], 1)
    features = features.half().double().requires_grad_(True)
    of = lambda x: two_view_loss(x, torch.tensor(labels), temperature)
    assert torch.autograd.gradcheck(of, features)
    loss = of(features)
    gradient = torch.autograd.grad(loss, features)[0]
    out = {"features": features, "labels": torch.tensor(labels), "contrastive": loss, "gradient": gradient,
           "temperature": torch.tensor(temperature, dtype=torch.float64)}
    return {f"views/{name}/{key}": value.detach().contiguous() for key, value in out.items()}


def queue_alone(name, labels, filled, size, seed, temperature):
    """A queue of `size` rows of which the first ones hold the labels `filled`."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = unit_rows(generator, len(labels), 5).requires_grad_(True)
    queue = unit_rows(generator, len(filled), 5)
    of = lambda x: queued_loss(x, labels, temperature, queue, filled)
    assert torch.autograd.gradcheck(of, embeddings)
    loss = of(embeddings)
    held, held_labels = torch.zeros(size, 5), torch.zeros(size)
    held[:len(filled)], held_labels[:len(filled)] = queue, torch.tensor(filled) + 1
    after = torch.cat([embeddings, held])[:size]
    after_labels = torch.cat([torch.tensor(labels) + 1, held_labels])[:size]
    out = {"embeddings": embeddings, "labels": torch.tensor(labels), "queue": held, "queue_labels": held_labels,
           "contrastive": loss, "gradient": torch.autograd.grad(loss, embeddings)[0], "after": after.float(),
           "after_labels": after_labels.float(), "temperature": torch.tensor(temperature, dtype=torch.float64)}
    return {f"queue/{name}/{key}": value.detach().float().contiguous() if value.is_floating_point()
            else value for key, value in out.items()}


def logits_of(former, head, config, batch):
    embedding = torch.stack([former.embed(a, t) for a, t in zip(batch["audio"], batch["ids"])])
    return embedding, head.dense("out_proj", F.gelu(head.dense("dense", embedding, config["head_hidden"])), config["classes"])


def whole_model(name, former_type, config, seed, queue_size=0, micro=None):
    generator = torch.Generator().manual_seed(seed)
    former, head = former_type(config, generator), Former(config, generator)
    batches = [draw_batch(generator, config, index) for index in range(len(config["frames"]))]
    queue, queue_labels = [], []

    def loss_of(batch, remembers=True):
        embedding, logits = logits_of(former, head, config, batch)
        labels = batch["labels"]
        contrastive = (queued_loss(embedding, labels, config["temperature"], queue, queue_labels) if queue_size
                       else contrastive_loss(embedding, labels, config["temperature"]))
        focal = focal_loss(logits, labels, config["alpha"], config["gamma"])
        if remembers:
            queue[:] = ([*embedding.detach()] + queue)[:queue_size]
            queue_labels[:] = (list(labels) + queue_labels)[:queue_size]
        return {"embedding": embedding, "logits": logits, "contrastive": contrastive, "focal": focal,
                "loss": contrastive + config["focal_weight"] * focal}

    def step_loss(step):
        batch = batches[step % len(batches)]
        size = micro or len(batch["labels"])
        parts = [{key: values[start:start + size] for key, values in batch.items()}
                 for start in range(0, len(batch["labels"]), size)]
        return sum(loss_of(part)["loss"] * len(part["labels"]) for part in parts) / len(batch["labels"])

    out = {f"batch/{index}/{key}": value for index, batch in enumerate(batches)
           for key, value in (stored(batch) | {"labels": torch.tensor(batch["labels"])}).items()}
    results = loss_of(batches[0], remembers=False)
    parameters = {f"former.{key}": value for key, value in former.parameters.items()}
    parameters |= {f"head.{key}": value for key, value in head.parameters.items()}
    out |= results | gradients_of(parameters, results["loss"])
    out |= trajectory(name, parameters, config["optimizer"], step_loss)
    if queue_size:
        out |= {"queue": torch.stack(queue).float(), "queue_labels": torch.tensor(queue_labels) + 1.0}
    shapes = [[key, list(value.shape)] for key, value in parameters.items()]
    return {f"{name}/{key}": value.detach().contiguous() for key, value in out.items()}, shapes


def main():
    torch.set_num_threads(1)  # the same sums on any number of cores
    optimizer = {"steps": 20, "total_steps": 20, "warmup_steps": 4, "rate": 0.01, "beta1": 0.9, "beta2": 0.98,
                 "epsilon": 1e-4, "weight_decay": 0.1, "clip_norm": 2.0}
    config = {"cross_attention_every": 2, "temperature": 0.2, "gamma": 2.0, "focal_weight": 0.8, "classes": 4,
              "vocabulary": 23, "positions": 12, "alpha": [0.25, 1.0, 0.5, 0.75], "optimizer": optimizer,
              "width": 8, "heads": 2, "layers": 2, "intermediate": 12, "queries": 3, "pooling_heads": 4,
              "audio_width": 6, "head_hidden": 8, "queue": 7,
              "frames": [[4, 6, 2], [3, 5, 1, 7], [6, 2], [5]], "tokens": [[5, 2, 3], [4, 6, 1, 3], [2, 7], [8]],
              "labels": [[1, 1, 3], [0, 2, 0, 2], [3, 3], [1]]}
    # More negatives make smaller gradients; some should be clipped all the same.
    gentle = config | {"optimizer": optimizer | {"clip_norm": 0.6}}
    cases = {"residual": (ResidualFormer, config, {}), "queued": (Former, gentle, {"queue_size": 7}),
             "queued micro": (Former, gentle, {"queue_size": 7, "micro": 2})}
    out, shapes = {}, {}
    for seed, (name, (former_type, own, options)) in enumerate(cases.items()):
        tensors, shapes[name] = whole_model(name, former_type, own, 40 + seed, **options)
        out |= tensors
    views = {"every class": [0, 1, 2, 2, 1, 0], "no other of a class": [0, 1, 2], "an utterance alone": [1]}
    queues = {"whole": dict(labels=[0, 1, 2, 2], filled=[1, 0, 2, 1, 1, 0], size=6),
              "partly filled": dict(labels=[0, 1, 2, 2], filled=[1, 1], size=6),
              "empty": dict(labels=[0, 1, 2, 2], filled=[], size=6),
              "smaller than the batch": dict(labels=[0, 1, 2, 2], filled=[2], size=2),
              "a batch of one": dict(labels=[1], filled=[1, 0], size=3)}
    for seed, (name, labels) in enumerate(views.items()):
        out |= views_alone(name, labels, 60 + seed, temperature=0.3)
    for seed, (name, case) in enumerate(queues.items()):
        out |= queue_alone(name, seed=80 + seed, temperature=0.3, **case)
    reference = {"configs": {name: own for name, (_, own, _) in cases.items()}, "shapes": shapes, "views": list(views),
                 "queues": list(queues), "torch": torch.__version__, "safetensors": safetensors.__version__}
    save_file(out, FIXTURE, {"reference": json.dumps(reference)})  # one key: the library writes several in any order
    FIXTURE.chmod(0o644)


if __name__ == "__main__":
    main()
