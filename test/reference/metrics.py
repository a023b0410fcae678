"""Writes test/fixtures/metrics.json: classification metrics by scikit-learn for the cases that go wrong.

Made with Python 3, scikit-learn 1.9.1 and numpy 2.4.6:
    python test/reference/metrics.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

warnings.simplefilter("ignore")
random = np.random.default_rng(20)


def scores(references, predictions, classes):
    labels = list(range(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        references, predictions, labels=labels, zero_division=0
    )
    # An utterance without an answer is -1: to scikit-learn one more predicted class that is never right.
    occurring = sorted((set(references) | set(predictions)) - {-1})
    return {
        "wa": accuracy_score(references, predictions),
        "ua": balanced_accuracy_score(references, predictions),
        "wf1": f1_score(references, predictions, labels=labels, average="weighted", zero_division=0),
        "macro_f1": f1_score(references, predictions, labels=occurring, average="macro", zero_division=0),
        "kappa": cohen_kappa_score(references, predictions, replace_undefined_by=1.0),
        "confusion": confusion_matrix(references, predictions, labels=labels).tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
    }


def case(name, references, predictions, classes, **more):
    references = [int(v) for v in references]
    predictions = [int(v) for v in predictions]
    return {
        "name": name,
        "classes": classes,
        "references": references,
        "predictions": predictions,
        **more,
        "expected": scores(references, predictions, classes),
    }


def noisy(references, classes, share):
    wrong = random.random(len(references)) < share
    return np.where(wrong, random.integers(0, classes, len(references)), references)


def main():
    cases = []
    four = random.integers(0, 4, 97)
    cases.append(case("four balanced classes", four, noisy(four, 4, 0.4), 4))

    # The class shares of the MELD test set.
    seven = random.choice(7, 301, p=np.array([1256, 402, 281, 345, 208, 68, 50]) / 2610)
    cases.append(case("seven imbalanced classes", seven, noisy(seven, 7, 0.45), 7))
    cases.append(case("everything predicted as the majority", seven, np.zeros_like(seven), 7))

    no_references = random.choice([0, 1, 3], 60)
    cases.append(case("a class without references that is predicted", no_references, noisy(no_references, 4, 0.6), 4))

    predictions = noisy(four, 4, 0.5)
    cases.append(case("a class that is never predicted", four, np.where(predictions == 2, 0, predictions), 4))

    three = random.choice([0, 1, 3], 45)
    flipped = np.where(random.random(45) < 0.5, three, 0)
    cases.append(case("a class in neither references nor predictions", three, flipped, 4))

    cases.append(case("one class, all right", [1] * 9, [1] * 9, 4))
    cases.append(case("all wrong", [0, 1, 2, 3] * 4, [1, 2, 3, 0] * 4, 4))
    cases.append(case("one utterance", [2], [1], 4))

    silent = noisy(four, 4, 0.3)
    silent[random.random(len(silent)) < 0.2] = -1
    cases.append(case("utterances without an answer", four, silent, 4))

    # Probabilities on a coarse grid, so that many rows have two or more equal maxima.
    grid = random.integers(0, 3, (50, 4))
    grid[grid.sum(axis=1) == 0] = 1
    probabilities = grid / grid.sum(axis=1, keepdims=True)
    ties = int((probabilities == probabilities.max(axis=1, keepdims=True)).sum(axis=1).__gt__(1).sum())
    assert ties > 10
    references = random.integers(0, 4, 50)
    cases.append(
        case(
            "probabilities with ties",
            references,
            probabilities.argmax(axis=1),
            4,
            probabilities=probabilities.tolist(),
        )
    )

    folds = []
    for size in (31, 47, 12, 29, 38):
        references = random.integers(0, 4, size)
        predictions = noisy(references, 4, 0.35)
        folds.append(case(f"fold {len(folds) + 1}", references, predictions, 4))
    pooled = scores(
        sum((fold["references"] for fold in folds), []), sum((fold["predictions"] for fold in folds), []), 4
    )
    summary = {}
    for metric in ("wa", "ua", "wf1", "macro_f1", "kappa"):
        values = [fold["expected"][metric] for fold in folds]
        summary[metric] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}

    path = Path(__file__).parent.parent / "fixtures" / "metrics.json"
    content = {
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "cases": cases,
        "folds": {"parts": folds, "pooled": pooled, "summary": summary},
    }
    path.write_text(json.dumps(content) + "\n")
    print(f"{path}: {len(cases)} cases, {ties} rows with ties")


if __name__ == "__main__":
    main()
