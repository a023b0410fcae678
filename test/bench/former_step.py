"""The stage-1 step of former-step.mjs in batched PyTorch: same sizes, same parameters, same losses, float32 on the CPU.

    python test/bench/former_step.py fused|foreach base|minilm [threads]

The first argument chooses the implementation of AdamW. Prints one line of JSON.
"""

import json
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = {"base": (8, 160, 768, 12, 12, 3072), "minilm": (16, 229, 384, 6, 12, 1536)}
SIZE = sys.argv[2] if len(sys.argv) > 2 and sys.argv[2] in SIZES else "base"
BATCH, FRAMES, WIDTH, LAYERS, HEADS, INNER = SIZES[SIZE]
TOKENS = 30
VOCABULARY, POSITIONS, PAD = 50265, 514, 1
AUDIO_WIDTH, QUERIES, CROSS_EVERY, POOLING_HEADS = 1024, 32, 2, 8
CLASSES, DROPOUT, EPSILON = 7, 0.1, 1e-5
TEMPERATURE, GAMMA = 0.07, 2
WARMUP_STEPS, TIMED_STEPS = 3, 7


class Attention(nn.Module):
    """Multi-head attention, then projection, dropout, residual and layer norm."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.output = nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x, others, mask):
        split = lambda y: y.unflatten(-1, (HEADS, -1)).transpose(1, 2)  # [N, h, L, d_k]
        context = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(others)), split(self.value(others)), mask,
            dropout_p=DROPOUT if self.training else 0.0)
        return self.norm(x + self.dropout(self.output(context.transpose(1, 2).flatten(2))))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.intermediate, self.output = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.norm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x):
        return self.norm(x + self.dropout(self.output(F.gelu(self.intermediate(x)))))


class Layer(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.last = index == LAYERS - 1
        self.attention = Attention()
        self.crossattention = Attention() if index % CROSS_EVERY == 0 else None
        self.ffn_query = FeedForward()
        self.ffn = None if self.last else FeedForward()

    def forward(self, queries, words, frames, joint_mask, frame_mask):
        joint = torch.cat([queries, words], 1)
        # Behind the last layer only the queries are read.
        attended = self.attention(queries if self.last else joint, joint, joint_mask)
        queries = attended[:, :QUERIES]
        if self.crossattention is not None:
            queries = self.crossattention(queries, frames, frame_mask)
        return self.ffn_query(queries), None if self.last else self.ffn(attended[:, QUERIES:])


class Former(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH).requires_grad_(False)
        self.positions, self.types = nn.Embedding(POSITIONS, WIDTH), nn.Embedding(1, WIDTH)
        self.queries = nn.Parameter(torch.zeros(1, QUERIES, WIDTH))
        self.norm, self.dropout = nn.LayerNorm(WIDTH, EPSILON), nn.Dropout(DROPOUT)
        self.audio_projection = nn.Linear(AUDIO_WIDTH, WIDTH)
        self.layers = nn.ModuleList(Layer(index) for index in range(LAYERS))
        self.score = nn.Linear(WIDTH, POOLING_HEADS, bias=False)
        self.value, self.output = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, features, frame_mask, input_ids, attention_mask):
        places = torch.arange(input_ids.shape[1]) + PAD + 1
        words = self.words(input_ids) + self.positions(places) + self.types(torch.zeros_like(places))
        words = self.dropout(self.norm(words))
        queries = self.dropout(self.norm(self.queries).expand(len(input_ids), -1, -1))
        frames = self.audio_projection(features.float())
        joint_mask = F.pad(attention_mask, (QUERIES, 0), value=1).bool()[:, None, None]
        frame_mask = frame_mask.bool()[:, None, None]
        for layer in self.layers:
            queries, words = layer(queries, words, frames, joint_mask, frame_mask)
        shares = self.score(queries).softmax(1)  # [N, N_q, H]
        values = self.value(queries).unflatten(-1, (POOLING_HEADS, -1))  # [N, N_q, H, d/H]
        pooled = torch.einsum("nqh,nqhd->nhd", shares, values).flatten(1)
        return F.normalize(self.output(pooled), dim=1)


class Stage1(nn.Module):
    def __init__(self):
        super().__init__()
        self.former = Former()
        self.head = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, CLASSES))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.uniform_(parameter, -0.02, 0.02)

    def forward(self, labels, **batch):
        embeddings = self.former(**batch)
        return contrastive_loss(embeddings, labels) + focal_loss(self.head(embeddings), labels)


def contrastive_loss(embeddings, labels):
    itself = torch.eye(len(labels), dtype=torch.bool)
    similarities = (embeddings @ embeddings.T / TEMPERATURE).masked_fill(itself, -1e9)
    positives = (labels[:, None] == labels[None]) & ~itself
    per_anchor = (similarities.log_softmax(1) * positives).sum(1) / positives.sum(1).clamp(min=1)
    return -per_anchor.mean()


def focal_loss(logits, labels):
    log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
    return -((1 - log_p.exp()) ** GAMMA * log_p).mean()


def matrix_rate():
    """GFLOP/s of the products of gemm-rate.mjs."""
    rows, products, runs = BATCH * (QUERIES + TOKENS), 20, 8
    x, weights = torch.rand(rows, WIDTH), [torch.rand(INNER, WIDTH) for _ in range(products)]
    product = torch.empty(rows, INNER)
    seconds = []
    for _ in range(runs):
        started_at = time.perf_counter()
        for weight in weights:
            torch.mm(x, weight.t(), out=product)
        seconds.append(time.perf_counter() - started_at)
    return 2 * rows * WIDTH * INNER * products / 1e9 / statistics.median(seconds[1:])


def measured(model, trained, optimizer, batch):
    """Seconds of a step, wall and processor, and what else the other side prints too."""
    wall, processor = [], []
    for _ in range(WARMUP_STEPS + TIMED_STEPS):
        started_at, processor_at = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = model(**batch)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        loss.item()
        wall.append(time.perf_counter() - started_at)
        processor.append(time.process_time() - processor_at)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "stepSec": statistics.median(wall[WARMUP_STEPS:]),
        "processorSec": statistics.median(processor[WARMUP_STEPS:]),
        "parameters": sum(parameter.numel() for parameter in trained),
        "peakGiB": kibibytes / 2**20,
        "matrixRate": matrix_rate(),
    }


def main(adamw):
    torch.manual_seed(1)
    model = Stage1().train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    kept = {id(p) for module in model.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    kept |= {id(p) for name, p in model.named_parameters() if name.endswith(".bias")}
    groups = [{"params": [p for p in trained if id(p) not in kept], "weight_decay": 0.01},
              {"params": [p for p in trained if id(p) in kept], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-5, **{adamw: True})
    batch = {
        "features": torch.rand(BATCH, FRAMES, AUDIO_WIDTH).mul(0.5).add(0.5).half(),
        "frame_mask": torch.ones(BATCH, FRAMES, dtype=torch.int64),
        "input_ids": torch.randint(VOCABULARY, (BATCH, TOKENS)),
        "attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.int64),
        "labels": torch.randint(CLASSES, (BATCH,)),
    }
    print(json.dumps({"adamw": adamw, **measured(model, trained, optimizer, batch)}))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        torch.set_num_threads(int(sys.argv[3]))
    main(sys.argv[1])
