"""Writes test/fixtures/folds.json: how evenly scikit-learn's StratifiedGroupKFold divides speakers into folds, for
corpora given as utterances by speaker and label.

Made with Python 3, scikit-learn 1.9.1 and numpy 2.4.6:
    python test/reference/folds.py
"""

import json
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

LABELS = 4


def corpus(seed: int, speakers: int) -> np.ndarray:
    """Utterances [speakers, labels]: some speakers say much, and each has labels of their own preference."""
    random = np.random.default_rng(seed)
    sizes = random.integers(5, 80, speakers)
    preferences = random.dirichlet(np.full(LABELS, 2.0), speakers)
    return np.stack([random.multinomial(size, chances) for size, chances in zip(sizes, preferences)])


def spread(shares: np.ndarray) -> float:
    """Largest distance of a fold's share from an equal one, relative to it; shares are [folds, ...]."""
    return float(np.abs(shares * len(shares) - 1).max())


def main() -> None:
    cases = []
    for seed, (speakers, folds) in enumerate([(10, 5), (12, 4), (20, 5), (24, 6), (40, 10), (91, 5), (91, 10)]):
        counts = corpus(seed, speakers)
        labels = np.concatenate([np.repeat(np.arange(LABELS), row) for row in counts])
        names = np.repeat(np.arange(speakers), counts.sum(1))
        per_fold = np.zeros((folds, LABELS))
        for fold, (_, test) in enumerate(StratifiedGroupKFold(folds).split(labels, labels, names)):
            per_fold[fold] = np.bincount(labels[test], minlength=LABELS)
        cases.append(
            {
                "folds": folds,
                "counts": counts.tolist(),
                "size_spread": spread(per_fold.sum(1) / per_fold.sum()),
                "label_spread": spread(per_fold / per_fold.sum(0)),
            }
        )
    path = Path(__file__).parents[1] / "fixtures" / "folds.json"
    path.write_text(json.dumps({"cases": cases}) + "\n")


main()
