"""Writes test/fixtures/event-file.json: some scalars, and the bytes that TensorBoard's own writer makes of them.

Made with Python 3 and tensorboard 2.21.0:
    python test/reference/event-files.py
With a folder it prints what TensorBoard's EventAccumulator finds in it instead, {tag: [[wall time, step, value], ...]}:
    python test/reference/event-files.py runs/toy4/stage1/tensorboard
"""

import base64
import io
import json
import sys
from pathlib import Path

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

EVENTS = [
    {"step": 0, "wallTimeSec": 0, "scalars": {"train/loss": 0}},
    {"step": 1, "wallTimeSec": 1, "scalars": {"train/loss": 1.5, "train/learning_rate_used": 9.999999747378752e-06}},
    {"step": 127, "wallTimeSec": 0.1, "scalars": {"train/loss": -2.25}},
    {"step": 128, "wallTimeSec": 128, "scalars": {"validation/größe": 0.6431}},
    {"step": 5_000_000_000, "wallTimeSec": 1.7e9, "scalars": {f"train/part_{i}": i / 3 for i in range(12)}},
]


def write():
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    for event in EVENTS:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in event["scalars"].items()]
        message = Event(wall_time=event["wallTimeSec"], step=event["step"], summary=Summary(value=values))
        writer.write(message.SerializeToString())
    made = {
        "tensorboard": tensorboard.__version__,
        "events": EVENTS,
        "base64": base64.b64encode(buffer.getvalue()).decode(),
    }
    path = Path(__file__).parent.parent / "fixtures" / "event-file.json"
    path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder):
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    print(json.dumps({tag: [[e.wall_time, e.step, e.value] for e in accumulator.Scalars(tag)] for tag in tags}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        read(sys.argv[1])
    else:
        write()
