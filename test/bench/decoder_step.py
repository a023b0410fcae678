"""The stage-2 step of decoder-step.mjs in batched PyTorch: same sizes, same parameters, same loss, float32 on the CPU.

    python test/bench/decoder_step.py [threads]

Prints one line of JSON.
"""

import json
import sys

THREADS = sys.argv[1:2]
sys.argv[1:] = ["fused", "minilm"]  # the size of the Former

import former_step  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from former_step import AUDIO_WIDTH, TOKENS, VOCABULARY, Former, measured  # noqa: E402
from torch import nn  # noqa: E402

BATCH, FRAMES, PROMPT, ANSWER, SLOT = 8, 160, 110, 2, 50
WORDS, WIDTH, LAYERS, HEADS, KEY_HEADS, INNER, EPSILON, THETA = 49152, 576, 30, 9, 3, 1536, 1e-5, 100000
HEAD = WIDTH // HEADS
RANK, ALPHA, DROPOUT = 16, 32, 0.1


class Adapted(nn.Module):
    """A frozen linear layer without bias, with LoRA."""

    def __init__(self, width, out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, width), requires_grad=False)
        self.a, self.b = nn.Parameter(torch.empty(RANK, width)), nn.Parameter(torch.empty(out, RANK))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):
        return F.linear(x, self.weight) + ALPHA / RANK * F.linear(F.linear(self.dropout(x), self.a), self.b)


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        frozen = lambda *shape: nn.Parameter(torch.empty(*shape), requires_grad=False)
        self.q, self.o = Adapted(WIDTH, HEADS * HEAD), Adapted(HEADS * HEAD, WIDTH)
        self.k, self.v = Adapted(WIDTH, KEY_HEADS * HEAD), Adapted(WIDTH, KEY_HEADS * HEAD)
        self.gate, self.up, self.down = frozen(INNER, WIDTH), frozen(INNER, WIDTH), frozen(WIDTH, INNER)
        self.before, self.between = frozen(WIDTH), frozen(WIDTH)

    def forward(self, x, cosine, sine):
        split = lambda y: y.unflatten(-1, (-1, HEAD)).transpose(1, 2)
        rotate = lambda y: y * cosine + torch.cat([-y[..., HEAD // 2:], y[..., :HEAD // 2]], -1) * sine
        normed = F.rms_norm(x, (WIDTH,), self.before, EPSILON)
        context = F.scaled_dot_product_attention(rotate(split(self.q(normed))), rotate(split(self.k(normed))),
                                                 split(self.v(normed)), is_causal=True, enable_gqa=True)
        x = x + self.o(context.transpose(1, 2).flatten(2))
        normed = F.rms_norm(x, (WIDTH,), self.between, EPSILON)
        return x + F.linear(F.silu(F.linear(normed, self.gate)) * F.linear(normed, self.up), self.down)


class Stage2(nn.Module):
    def __init__(self):
        super().__init__()
        self.former, self.projector = Former(), nn.Linear(former_step.WIDTH, WIDTH)
        self.words = nn.Embedding(WORDS, WIDTH).requires_grad_(False)
        self.layers = nn.ModuleList(DecoderLayer() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(WIDTH), requires_grad=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.uniform_(parameter, -0.02, 0.02)

    def forward(self, prompt_ids, answers, **batch):
        soft = self.projector(self.former(**batch))
        x = self.words(prompt_ids)
        x = torch.cat([x[:, :SLOT], soft[:, None], x[:, SLOT + 1:]], 1)
        angles = torch.arange(PROMPT)[:, None] * THETA ** (-torch.arange(0, HEAD, 2) / HEAD)
        cosine, sine = (torch.cat([table, table], -1) for table in (angles.cos(), angles.sin()))
        for layer in self.layers:
            x = layer(x, cosine, sine)
        x = F.rms_norm(x, (WIDTH,), self.norm, EPSILON)
        logits = F.linear(x[:, PROMPT - ANSWER - 1:PROMPT - 1].flatten(0, 1), self.words.weight)
        return F.cross_entropy(logits, answers.flatten(), reduction="sum") / BATCH


def main():
    if THREADS:
        torch.set_num_threads(int(THREADS[0]))
    torch.manual_seed(1)
    model = Stage2().train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if parameter.dim() > 1]
    kept = [parameter for parameter in trained if parameter.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": kept, "weight_decay": 0.0}],
                                  lr=1e-5, fused=True)
    batch = {
        "features": torch.rand(BATCH, FRAMES, AUDIO_WIDTH).mul(0.5).add(0.5).half(),
        "frame_mask": torch.ones(BATCH, FRAMES, dtype=torch.int64),
        "input_ids": torch.randint(VOCABULARY, (BATCH, TOKENS)),
        "attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.int64),
        "prompt_ids": torch.randint(WORDS, (BATCH, PROMPT)),
        "answers": torch.randint(WORDS, (BATCH, ANSWER)),
    }
    print(json.dumps(measured(model, trained, optimizer, batch)))


if __name__ == "__main__":
    main()
