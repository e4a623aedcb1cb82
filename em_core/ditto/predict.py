"""Scoring pairs of serialised records, the hot path of the product.

Each distinct text is tokenised once, each distinct pair is scored once, pairs of equal length share a batch that is
filled up to a token budget, and long inputs pass through in chunks of bounded memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from tqdm import tqdm

from em_core.ditto.folder import Manifest, load_folder
from em_core.ditto.model import PairClassifier, best_device
from em_core.ditto.prepare import Preparation
from em_core.ditto.tokens import EncodedPairs, PairTokeniser

CHUNK = 1 << 18  # pairs held as tokens at a time
TOKEN_BUDGET = {"cpu": 2048, "cuda": 65536}  # tokens of a batch, padding included


def score(classifier: PairClassifier, tokeniser: PairTokeniser, pairs: EncodedPairs, bar: Any = None) -> np.ndarray:
    """Logits of the pairs, shape (pairs,), float64. `bar.update` gets the number of pairs done."""
    device = next(classifier.parameters()).device
    budget = TOKEN_BUDGET.get(device.type, TOKEN_BUDGET["cpu"])
    lengths = tokeniser.lengths(pairs)
    order = np.argsort(-lengths, kind="stable")
    logits = np.empty(len(pairs), dtype=np.float64)
    classifier.eval()
    start = 0
    with torch.inference_mode():
        while start < len(order):
            rows = order[start : start + max(1, budget // int(lengths[order[start]]))]
            batch = tokeniser.batch(pairs, rows)
            logits[rows] = classifier(**{name: ids.to(device) for name, ids in batch.items()}).cpu().numpy()
            start += len(rows)
            if bar is not None:
                bar.update(len(rows))
    return logits


class DittoModel:
    """A trained pair classifier: probabilities for pairs of serialised records."""

    def __init__(
        self, classifier: PairClassifier, tokenizer: Any, manifest: Manifest, prepare: Preparation | None = None
    ) -> None:
        self.manifest = manifest
        self._prepare = prepare or Preparation.identity()
        self.classifier = classifier
        self._tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)

    @classmethod
    def load(cls, path: Path | str, device: str | None = None) -> DittoModel:
        """The model that `train_ditto` saved under `path`; needs no network.

        Raises `UserError` if the folder is missing, half-written or of another format.
        """
        classifier, tokenizer, manifest = load_folder(Path(path))
        return cls(classifier.to(device or best_device()), tokenizer, manifest, Preparation.load(Path(path)))

    @property
    def attributes(self) -> tuple[str, ...]:
        """What the training records carried, in order; serialise new records with these."""
        return self.manifest.attributes

    @property
    def threshold(self) -> float:
        """Probability from which a pair counts as a match: best F1 on the validation pairs."""
        return self.manifest.threshold

    def predict(
        self, left: Sequence[str], right: Sequence[str], *, symmetric: bool = False, progress: bool = False
    ) -> np.ndarray:
        """Calibrated probability that `left[i]` and `right[i]` are the same entity: shape (pairs,), float64, input order.

        A pair's score does not depend on the pairs beside it. `symmetric` averages the logits of both orders, at twice
        the cost. Raises ValueError if the two sides differ in length.
        """
        if len(left) != len(right):
            raise ValueError(f"{len(left)} left records but {len(right)} right records")
        logits = np.empty(len(left), dtype=np.float64)
        total = len(left) * (2 if symmetric else 1)
        with tqdm(total=total, desc="Ditto", unit="pair", disable=not progress, mininterval=1.0) as bar:
            for start in range(0, len(left), CHUNK):
                part = slice(start, min(start + CHUNK, len(left)))
                logits[part] = self._logits(left[part], right[part], symmetric, bar)
        return expit(logits / self.manifest.temperature)

    def _logits(self, left: Sequence[str], right: Sequence[str], symmetric: bool, bar: Any) -> np.ndarray:
        every = self._tokeniser.encode(self._prepare(left), self._prepare(right))
        pairs, back = every.distinct()
        orders = [pairs, pairs.swapped()] if symmetric else [pairs]
        logits = np.mean([score(self.classifier, self._tokeniser, order, bar) for order in orders], axis=0)
        bar.update(len(orders) * (len(every) - len(pairs)))  # repeated pairs cost nothing
        return logits[back]
