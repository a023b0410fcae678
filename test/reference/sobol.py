"""Writes test/fixtures/sobol.json: the first points of Sobol' sequences as scipy.stats.qmc makes them, unscrambled, as
integers of 30 bits.

Made with Python 3, scipy 1.17.1 and numpy 2.4.6:
    python test/reference/sobol.py
"""

import json
from pathlib import Path

from scipy.stats import qmc

BITS = 30


def main() -> None:
    cases = []
    for dimensions, points in [(1, 64), (5, 64), (32, 40)]:
        found = qmc.Sobol(dimensions, scramble=False, bits=BITS).random(points)
        cases.append({"dimensions": dimensions, "points": (found * 2**BITS).astype(int).tolist()})
    path = Path(__file__).parents[1] / "fixtures" / "sobol.json"
    path.write_text(json.dumps({"bits": BITS, "cases": cases}) + "\n")


main()
