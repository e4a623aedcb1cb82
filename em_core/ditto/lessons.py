"""The training pairs as optimisation steps, altered and shuffled anew for each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from em_core.ditto.augment import augment
from em_core.ditto.parallel import Processes
from em_core.ditto.prepare import Preparation
from em_core.ditto.settings import TrainSettings
from em_core.ditto.tokens import EncodedPairs, PairTokeniser

SORTED_SPAN = 50  # batches whose pairs are sorted by length together


@dataclass(frozen=True)
class Reader:
    """From texts to tokens, the same way in training and in scoring."""

    prepare: Preparation
    tokeniser: PairTokeniser

    def encode(self, left: Sequence[str], right: Sequence[str]) -> EncodedPairs:
        """Token ids of the pairs of prepared texts."""
        return self.tokeniser.encode(self.prepare(left), self.prepare(right))


@dataclass(frozen=True)
class Step:
    """What one optimisation step learns from: this process's share of `pairs` pairs.

    Each of `batches` is the encoder's input and the labels, shape (rows,), float32. With `mix`, an input holds the rows
    and then their altered copies, and `mix` is the weight of the first.
    """

    batches: list[tuple[Mapping[str, Tensor], np.ndarray]]
    pairs: int
    mix: float | None


class Lessons:
    """The steps of every epoch; those of epoch n depend on the seed and on n alone, so that a run can go on at any epoch."""

    def __init__(self, pairs: pd.DataFrame, reader: Reader, settings: TrainSettings, group: Processes) -> None:
        self.reader = reader
        self.settings = settings
        self.group = group
        self.left, self.right = pairs["left_entity"].tolist(), pairs["right_entity"].tolist()
        self.labels = pairs["label"].to_numpy(dtype=np.float32)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        batches = -(-len(self.labels) // self.settings.batch_size)
        return -(-batches // self.settings.accumulate)

    def epoch(self, number: int) -> Iterator[Step]:
        """The steps of an epoch (1, 2, ...)."""
        chosen, rng = self.settings, np.random.default_rng([self.settings.seed, number])
        left, right = augment(self.left, self.right, chosen.augment, chosen.augment_operators, rng)
        count = len(self.labels)
        if chosen.mixda:
            pairs = self.reader.encode(self.left + left, self.right + right)
            lengths = self.reader.tokeniser.lengths(pairs).reshape(2, count).max(axis=0)
        else:
            pairs = self.reader.encode(left, right)
            lengths = self.reader.tokeniser.lengths(pairs)
        batches = shuffled_batches(lengths, chosen.batch_size, rng)
        for start in range(0, len(batches), chosen.accumulate):
            several = batches[start : start + chosen.accumulate]
            mix = mixing_weight(chosen.mixda_alpha, rng) if chosen.mixda else None
            shares = [share for share in map(self.group.share, several) if len(share)]
            yield Step([self._batch(pairs, rows) for rows in shares], sum(map(len, several)), mix)

    def _batch(self, pairs: EncodedPairs, rows: np.ndarray) -> tuple[Mapping[str, Tensor], np.ndarray]:
        both = np.concatenate([rows, rows + len(self.labels)]) if self.settings.mixda else rows
        return self.reader.tokeniser.batch(pairs, both), self.labels[rows]


def mixing_weight(alpha: float, rng: np.random.Generator) -> float:
    """Weight of the original beside its altered copy, at least one half (MixDA; Miao et al., WWW 2020)."""
    drawn = rng.beta(alpha, alpha)
    return float(max(drawn, 1 - drawn))


def shuffled_batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random batches of pairs of like length: shuffle, sort within long spans, shuffle the batches."""
    shuffled = rng.permutation(len(lengths))
    spans = np.split(shuffled, range(size * SORTED_SPAN, len(shuffled), size * SORTED_SPAN))
    batches = [
        span[start : start + size]
        for span in (part[np.argsort(lengths[part], kind="stable")] for part in spans)
        for start in range(0, len(span), size)
    ]
    return [batches[i] for i in rng.permutation(len(batches))]
