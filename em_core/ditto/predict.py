"""Scoring pairs of serialised records, the hot path of the product.

Each distinct text is tokenised once, each distinct pair is scored once, pairs of equal length share a batch that is
filled up to a token budget, and long inputs pass through in chunks of bounded memory. What multiplies the matrices is
chosen in `em_core.ditto.runtime`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from tqdm import tqdm

from em_core.ditto.folder import Manifest, load_folder
from em_core.ditto.model import PairClassifier, best_device
from em_core.ditto.remembered import RememberedScores, pair_keys
from em_core.ditto.runtime import Runtime, TorchRuntime, open_runtime
from em_core.ditto.tokens import EncodedPairs, PairTokeniser

CHUNK = 1 << 18  # pairs held as tokens at a time
GATHERED = 1 << 13  # pairs of a stream that are sorted by length together

TextPairs = tuple[Sequence[str], Sequence[str]]


def score(classifier: PairClassifier, tokeniser: PairTokeniser, pairs: EncodedPairs) -> np.ndarray:
    """Logits of the pairs by torch in single precision, shape (pairs,), float64."""
    return score_batches(TorchRuntime(classifier), tokeniser, pairs)


def score_batches(runtime: Runtime, tokeniser: PairTokeniser, pairs: EncodedPairs, bar: Any = None) -> np.ndarray:
    """Logits of the pairs, shape (pairs,), float64. `bar.update` gets the number of pairs done."""
    lengths = tokeniser.lengths(pairs)
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        batches.append(order[start : start + max(1, runtime.token_budget // int(lengths[order[start]]))])
        start += len(batches[-1])
    logits = np.empty(len(pairs), dtype=np.float64)
    made = runtime.logits(tokeniser.arrays(pairs, rows) for rows in batches)
    for rows, values in zip(batches, made, strict=True):
        logits[rows] = values
        if bar is not None:
            bar.update(len(rows))
    return logits


class DittoModel:
    """A trained pair classifier: probabilities for pairs of serialised records.

    `runtime` runs it, by default torch. `remember` pairs keep their scores for later calls, which pays for a service that
    meets the same pairs again; within one call a repeated pair costs nothing anyway.
    """

    def __init__(
        self,
        classifier: PairClassifier,
        tokenizer: Any,
        manifest: Manifest,
        runtime: Runtime | None = None,
        remember: int = 0,
    ) -> None:
        self.manifest = manifest
        self.classifier = classifier
        self.runtime = runtime or TorchRuntime(classifier)
        self._tokeniser = PairTokeniser(tokenizer, manifest.max_length, classifier.token_types)
        self._remembered = RememberedScores(remember) if remember else None

    @classmethod
    def load(cls, path: Path | str, device: str | None = None, remember: int = 0) -> DittoModel:
        """The model that `train_ditto` saved under `path`; needs no network.

        On a CPU the runtime that was fastest there scores, as `open_runtime` tells. Raises `UserError` if the folder is
        missing, half-written or of another format.
        """
        classifier, tokenizer, manifest = load_folder(Path(path))
        classifier.to(device or best_device())
        runtime = open_runtime(Path(path), manifest.digest, classifier)
        return cls(classifier, tokenizer, manifest, runtime, remember)

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

    def predict_stream(self, batches: Iterable[TextPairs], *, symmetric: bool = False) -> Iterator[np.ndarray]:
        """`predict` for each batch (left, right) in turn, for more pairs than memory holds.

        No more than `GATHERED` pairs, or one batch if that is larger, are held at a time; small batches are scored together.
        Raises ValueError if the two sides of a batch differ in length.
        """
        for held in _gathered(batches):
            left, right = ([text for batch in held for text in batch[side]] for side in (0, 1))
            ends = np.cumsum([len(batch[0]) for batch in held])
            yield from np.split(self.predict(left, right, symmetric=symmetric), ends[:-1])

    def _logits(self, left: Sequence[str], right: Sequence[str], symmetric: bool, bar: Any) -> np.ndarray:
        if self._remembered is None:
            return self._scored(left, right, symmetric, bar)
        keys = pair_keys(left, right, symmetric)
        logits = self._remembered.recall(keys)
        unmet = np.flatnonzero(np.isnan(logits))
        bar.update((len(logits) - len(unmet)) * (2 if symmetric else 1))
        if len(unmet):
            lefts, rights = np.array(left, dtype=object), np.array(right, dtype=object)
            logits[unmet] = self._scored(lefts[unmet], rights[unmet], symmetric, bar)
            self._remembered.keep([keys[i] for i in unmet], logits[unmet])
        return logits

    def _scored(self, left: Iterable[str], right: Iterable[str], symmetric: bool, bar: Any) -> np.ndarray:
        every = self._tokeniser.encode(left, right)
        pairs, back = every.distinct()
        orders = [pairs, pairs.swapped()] if symmetric else [pairs]
        logits = np.mean([score_batches(self.runtime, self._tokeniser, order, bar) for order in orders], axis=0)
        bar.update(len(orders) * (len(every) - len(pairs)))  # repeated pairs cost nothing
        return logits[back]


def _gathered(batches: Iterable[TextPairs]) -> Iterator[list[TextPairs]]:
    """Neighbouring batches, together up to `GATHERED` pairs, or one larger batch."""
    held: list[TextPairs] = []
    for left, right in batches:
        if len(left) != len(right):
            raise ValueError(f"{len(left)} left records but {len(right)} right records")
        if held and sum(len(batch[0]) for batch in held) + len(left) > GATHERED:
            yield held
            held = []
        held.append((left, right))
    if held:
        yield held
