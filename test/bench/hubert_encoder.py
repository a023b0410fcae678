"""The clips of hubert-encoder.mjs through transformers' HubertModel, from the same checkpoint, float32 on the CPU.

    python test/bench/hubert_encoder.py FOLDER CLIPS

FOLDER is what hubert-encoder.mjs has filled. Prints one line of JSON.
"""

import json
import resource
import statistics
import sys
import time

import numpy as np
import torch
import transformers
from transformers import HubertModel, Wav2Vec2FeatureExtractor

WARMUP_RUNS, TIMED_RUNS = 1, 3


def main(folder, clip_count):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    clips = np.fromfile(f"{folder}/clips.f32", np.float32).reshape(clip_count, -1)
    expected = np.fromfile(f"{folder}/features.f32", np.float32)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    model = HubertModel.from_pretrained(folder, dtype=torch.float32).eval()
    wall, processor = [], []
    for _ in range(WARMUP_RUNS + TIMED_RUNS):
        started_at, processor_at = time.perf_counter(), time.process_time()
        inputs = extractor(list(clips), sampling_rate=16_000, padding=True, return_tensors="pt")
        with torch.inference_mode():
            features = model(**inputs).last_hidden_state.numpy()
        wall.append(time.perf_counter() - started_at)
        processor.append(time.process_time() - processor_at)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "wallSec": statistics.median(wall[WARMUP_RUNS:]),
        "processorSec": statistics.median(processor[WARMUP_RUNS:]),
        "peakGiB": kibibytes / 2**20,
        "largestDifference": float(np.abs(features.ravel() - expected).max()),
    }))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
