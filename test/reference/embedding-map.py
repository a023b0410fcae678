"""Writes test/fixtures/embedding-map.json: vectors of four classes on curved sheets, their principal components by
scikit-learn, and how true to them two maps in the plane are, by scikit-learn's trustworthiness: the two widest
components, and umap-learn's.

Made with Python 3, scikit-learn 1.9.1, umap-learn 0.5.12 and numpy 2.4.6:
    python test/reference/embedding-map.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
import umap
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

ROWS, WIDTH, CLASSES, NEIGHBOURS = 120, 16, 4, 10

random = np.random.default_rng(11)
label = np.arange(ROWS) % CLASSES
along = random.uniform(-1, 1, (ROWS, 2))
# A sheet bent through six dimensions, moved for each class, in a random frame of sixteen, with noise.
sheet = np.stack(
    [along[:, 0], along[:, 1], along[:, 0] ** 2, along[:, 0] * along[:, 1], np.sin(3 * along[:, 0]), np.cos(3 * along[:, 1])],
    axis=1,
)
centres = random.normal(0, 1.2, (CLASSES, 6))
frame = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0][:6]
vectors = (sheet + centres[label]) @ frame + random.normal(0, 0.05, (ROWS, WIDTH))
vectors = np.round(vectors, 4).astype(np.float32)

unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
pca = PCA(WIDTH, svd_solver="full").fit(vectors.astype(np.float64))
plane = PCA(2, svd_solver="full").fit_transform(unit.astype(np.float64))
mapped = umap.UMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=0).fit_transform(vectors)


def trust(points):
    return float(trustworthiness(unit, points, n_neighbors=NEIGHBOURS))


out = {
    "versions": {"scikit-learn": sklearn.__version__, "umap-learn": umap.__version__, "numpy": np.__version__},
    "rows": ROWS,
    "width": WIDTH,
    "labels": label.tolist(),
    "vectors": [float(f"{value:.4f}") for value in vectors.ravel()],
    "components": 5,
    "scores": np.round(pca.transform(vectors.astype(np.float64))[:, :5], 10).ravel().tolist(),
    "variance_shares": pca.explained_variance_ratio_[:5].tolist(),
    "neighbours": NEIGHBOURS,
    "plane": np.round(plane, 6).ravel().tolist(),
    "trustworthiness": {"plane": trust(np.round(plane, 6)), "umap_learn": trust(mapped)},
}
target = Path(__file__).parent.parent / "fixtures" / "embedding-map.json"
target.write_text(json.dumps(out) + "\n", encoding="utf-8")
print(out["versions"], out["trustworthiness"])
