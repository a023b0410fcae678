"""Writes test/fixtures/ctc/beam.json: random logits, and the labellings that the beam search of pyctcdecode finds in them,
without a language model and with a beam that is wide enough for nearly all prefixes.

Made with pyctcdecode 0.5.0 and numpy 1.26.4:

    python test/reference/ctc-beam.py

Without a space in the alphabet, pyctcdecode merges exactly the paths of one labelling.
"""

import json
import pathlib

import numpy as np
from pyctcdecode import build_ctcdecoder

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "ctc" / "beam.json"


def main():
    generator = np.random.default_rng(3)
    cases = []
    for frames, letters, spread in [(4, 3, 1.0), (8, 2, 1.0), (12, 4, 2.0), (10, 3, 0.7), (40, 8, 4.0), (60, 5, 4.0)]:
        alphabet = ["", *"abcdefgh"[:letters]]
        logits = generator.normal(0, spread, (frames, letters + 1)).astype(np.float32).round(4)
        decoder = build_ctcdecoder(alphabet)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        beams = decoder.decode_beams(logs, beam_width=1000, beam_prune_logp=-1e9, token_min_logp=-1e9)
        cases.append(dict(size=letters + 1, logits=[float(value) for value in logits.flatten().tolist()],
                          text=beams[0][0], log_probability=float(beams[0][-1])))
    OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
