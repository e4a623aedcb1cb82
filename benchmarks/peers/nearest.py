"""Character TF-IDF with scikit-learn: the candidates of the peers that bring no retrieval of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

_QUERIES = 512


class Nearest:
    """Reference names as character n-grams (2 to 4, within words), cosine similarity."""

    def __init__(self, names: pd.Series) -> None:
        self.vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32)
        self.matrix = self.vectorizer.fit_transform(names)

    def search(self, names: pd.Series, k: int) -> pd.DataFrame:
        """The k nearest names of each query: `query`, `entity` (positions), `cosine`, `rank` (from 0)."""
        encoded, parts = self.vectorizer.transform(names), []
        k = min(k, self.matrix.shape[0])
        for start in range(0, encoded.shape[0], _QUERIES):
            cosine = (encoded[start : start + _QUERIES] @ self.matrix.T).toarray()
            best = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
            values = np.take_along_axis(cosine, best, axis=1)
            order = np.lexsort((best, -values), axis=1)
            best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
            parts.append(
                pd.DataFrame(
                    {
                        "query": np.repeat(np.arange(start, start + len(best)), k),
                        "entity": best.ravel(),
                        "cosine": values.ravel(),
                        "rank": np.tile(np.arange(k), len(best)),
                    }
                )
            )
        found = pd.concat(parts, ignore_index=True)
        return found[found["cosine"] > 0].reset_index(drop=True)
