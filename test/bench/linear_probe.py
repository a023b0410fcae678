"""The peer of stage 1 on small corpora: multinomial logistic regression on features averaged over time.

Reads labels, examples and splits as JSON from the standard input; see linear-probe.mjs. Features are standardised on
the training set. The strength of the L2 penalty is the one with the best mean recall on the dev set (the strongest of
equal ones), so that it sees what stage 1 sees and no more. Needs scikit-learn.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

STRENGTHS = [10.0**power for power in range(-4, 4)]

given = json.load(sys.stdin)
labels, examples = given["labels"], given["examples"]
out = Path(sys.argv[1])


def of(ids):
    return np.array([examples[i]["mean"] for i in ids]), np.array([examples[i]["label"] for i in ids])


def fitted(c, ids):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, class_weight="balanced", max_iter=5000))
    return model.fit(*of(ids))


rows = {}
for split in given["splits"]:
    dev, truth = of(split["dev"])
    models = [fitted(c, split["train"]) for c in STRENGTHS]
    scores = [balanced_accuracy_score(truth, model.predict(dev)) for model in models]
    best = models[int(np.argmax(scores))]
    test, references = of(split["test"])
    for identity, reference, probabilities in zip(split["test"], references, best.predict_proba(test)):
        full = np.zeros(len(labels))
        full[best.classes_] = probabilities
        rows.setdefault(split["seed"], []).append(
            [identity, split["fold"], labels[reference], labels[int(np.argmax(full))], *full]
        )

for seed, lines in rows.items():
    with open(out / f"seed-{seed}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "fold", "reference", "label", *[f"prob_{label}" for label in labels]])
        writer.writerows(lines)
