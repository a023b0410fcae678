"""Writes test/fixtures/logistic-regression.json: scikit-learn's LogisticRegression on small sets of standardized rows.

Balanced class weights; probabilities of the training rows for several strengths of the penalty. One set is not
separable, one is, and one is imbalanced. Made with Python 3, numpy 2.4.6 and scikit-learn 1.9.1:
    python test/reference/logistic-regression.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

FIXTURE = Path(__file__).parent.parent / "fixtures" / "logistic-regression.json"


def main():
    random = np.random.default_rng(3)
    cases = []
    for name, count, width, classes, spread in [("overlapping", 30, 4, 3, 0.7), ("separable", 12, 20, 3, 3.0),
                                                ("imbalanced", 40, 3, 4, 1.0)]:
        labels = random.integers(0, classes, count)
        if name == "imbalanced":
            labels = np.where((labels == 1) & (np.arange(count) > 8), 0, labels)
        centres = random.normal(size=(classes, width)) * spread
        rows = np.round(centres[labels] + random.normal(size=(count, width)), 4)
        scaled = StandardScaler().fit_transform(rows)
        fits = []
        for c in (0.01, 1.0, 10.0):
            model = LogisticRegression(C=c, class_weight="balanced", max_iter=100_000, tol=1e-10).fit(scaled, labels)
            fits.append({"c": c, "probabilities": model.predict_proba(scaled).round(8).tolist()})
        cases.append({"name": name, "rows": rows.tolist(), "labels": labels.tolist(), "classes": classes, "fits": fits})
    FIXTURE.write_text(json.dumps({"scikit-learn": sklearn.__version__, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
