"""What prediction.mjs does, in batched PyTorch: the same run, clips and transcripts, float32 on the CPU.

    python test/bench/prediction.py FOLDER ROWS [THREADS]

FOLDER is what prediction.mjs has filled. HuBERT and Qwen2 are those of transformers, LoRA is merged, and rows go in
batches of 8 of like length. A first batch warms up and is not timed. Prints one line of JSON.
"""

import csv
import json
import resource
import sys
import time
import wave

FOLDER, ROWS, THREADS = sys.argv[1], int(sys.argv[2]), sys.argv[3:4]
sys.argv[1:] = ["fused", "base"]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402
from former_step import matrix_rate  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, HubertModel, Wav2Vec2FeatureExtractor  # noqa: E402

BATCH, EPSILON, HEADS, LAYERS = 8, 1e-5, 12, 12


class Pipeline:
    def __init__(self):
        with open(f"{FOLDER}/rows.json") as file:
            settings = json.load(file)
        self.rows, self.answers, self.labels = settings["rows"][:ROWS], settings["answers"], settings["labels"]
        self.former = settings["former"]
        self.extractor = Wav2Vec2FeatureExtractor.from_pretrained(f"{FOLDER}/encoder")
        self.encoder = HubertModel.from_pretrained(f"{FOLDER}/encoder", dtype=torch.float32).eval()
        self.llm = AutoModelForCausalLM.from_pretrained(f"{FOLDER}/llm", dtype=torch.float32).eval()
        self.weights = load_file(f"{FOLDER}/run/checkpoint.safetensors")
        self.words = load_file(f"{FOLDER}/former/model.safetensors")["embeddings.word_embeddings.weight"]
        self.merge(settings["lora"])
        with open(f"{FOLDER}/former/config.json") as file:
            self.pad = json.load(file)["pad_token_id"]

    def merge(self, lora):
        modules = dict(self.llm.named_modules())
        for key in [key for key in self.weights if key.endswith("lora_A.weight")]:
            path = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            a, b = self.weights.pop(key), self.weights.pop(key.replace("lora_A", "lora_B"))
            modules[path].weight.data += lora["alpha"] / lora["rank"] * (b @ a)

    def linear(self, name, x):
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], EPSILON)

    def attend(self, name, x, others, mask):
        split = lambda part, y: self.linear(f"{name}.self.{part}", y).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(split("query", x), split("key", others), split("value", others), mask)
        output = self.linear(f"{name}.output.dense", mixed.transpose(1, 2).flatten(2))
        return self.norm(f"{name}.output.LayerNorm", x + output)

    def feed(self, layer, suffix, x):
        inner = F.gelu(self.linear(f"{layer}.intermediate{suffix}.dense", x))
        output = self.linear(f"{layer}.output{suffix}.dense", inner)
        return self.norm(f"{layer}.output{suffix}.LayerNorm", x + output)

    def fuse(self, frames, ids):
        """Features [N, T, d] of equal length and token ids -> e'_q [N, d]."""
        queries = self.former["queries"]
        ids, mask = padded(ids, self.pad)
        table = "former.embeddings"
        places = torch.arange(ids.shape[1]) + self.pad + 1
        places = torch.where(mask.bool(), places, self.pad)
        words = F.embedding(ids, self.words) + self.weights[f"{table}.token_type_embeddings.weight"][0]
        words = words + self.weights[f"{table}.position_embeddings.weight"][places]
        words = self.norm(f"{table}.LayerNorm", words)
        x = self.norm(f"{table}.LayerNorm", self.weights["former.query_tokens"]).expand(len(ids), -1, -1)
        frames = self.linear("former.audio_projection", frames)
        joint = F.pad(mask, (queries, 0), value=1).bool()[:, None, None]
        for index in range(LAYERS):
            layer, last = f"former.encoder.layer.{index}", index == LAYERS - 1
            both = torch.cat([x, words], 1)
            attended = self.attend(f"{layer}.attention", x if last else both, both, joint)
            x = attended[:, :queries]
            if index % self.former["cross_attention_every"] == 0:
                x = self.attend(f"{layer}.crossattention", x, frames, None)
            x = self.feed(layer, "_query", x)
            words = None if last else self.feed(layer, "", attended[:, queries:])
        shares = self.linear("former.pooling.score", x).softmax(1)
        values = self.linear("former.pooling.value", x).unflatten(-1, (self.former["pooling_heads"], -1))
        pooled = torch.einsum("nqh,nqhd->nhd", shares, values).flatten(1)
        return F.normalize(self.linear("former.pooling.output", pooled), dim=1)

    def predict(self, rows):
        clips = [decode(f"{FOLDER}/{row['path']}") for row in rows]
        inputs = self.extractor(clips, sampling_rate=16_000, padding=True, return_tensors="pt")
        frames = self.encoder(inputs.input_values).last_hidden_state.half().float()  # emoq stores float16
        soft = self.linear("projector.linear", self.fuse(frames, [row["textIds"] for row in rows]))
        ids, mask = padded([row["promptIds"] for row in rows], 0)
        embeddings = self.llm.get_input_embeddings()(ids)
        at = torch.arange(len(rows))
        embeddings[at, torch.tensor([row["audioPosition"] for row in rows])] = soft
        hidden = self.llm.model(inputs_embeds=embeddings, attention_mask=mask, use_cache=False).last_hidden_state
        last = hidden[at, mask.sum(1) - 1]
        return (last @ self.llm.get_output_embeddings().weight[self.answers].T).softmax(-1)

    def run(self):
        order = sorted(range(len(self.rows)), key=lambda index: len(self.rows[index]["promptIds"]))
        probabilities = torch.empty(len(order), len(self.labels))
        for start in range(0, len(order), BATCH):
            indices = order[start:start + BATCH]
            probabilities[indices] = self.predict([self.rows[index] for index in indices])
        return probabilities


def padded(sequences, pad):
    length = max(map(len, sequences))
    ids = torch.full((len(sequences), length), pad)
    mask = torch.zeros(len(sequences), length, dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        ids[row, :len(sequence)] = torch.tensor(sequence)
        mask[row, :len(sequence)] = 1
    return ids, mask


def decode(path):
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768


def main():
    if THREADS:
        torch.set_num_threads(int(THREADS[0]))
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    pipeline = Pipeline()
    with torch.inference_mode():
        pipeline.predict(pipeline.rows[:BATCH])
        started_at, processor_at = time.perf_counter(), time.process_time()
        probabilities = pipeline.run()
        wall, processor = time.perf_counter() - started_at, time.process_time() - processor_at
    with open(f"{FOLDER}/predictions-{ROWS}.csv") as file:
        expected = [[float(row[f"prob_{label}"]) for label in pipeline.labels] for row in csv.DictReader(file)]
    print(json.dumps({
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "wallSec": wall / ROWS,
        "processorSec": processor / ROWS,
        "wholeProcessorSec": time.process_time(),
        "peakGiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "largestDifference": float((probabilities - torch.tensor(expected)).abs().max()),
        "matrixRate": matrix_rate(),
    }))


if __name__ == "__main__":
    main()
