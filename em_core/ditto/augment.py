"""Data augmentation that cannot change a label (section 4.3 of the Ditto paper).

The first attribute, the name, tells two records apart: it is never removed and keeps every one of its words, in both
records. So a pair stays what it was called, and data with one attribute only can be augmented too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from em_core.ditto.serialise import join_record, split_record

Record = list[tuple[str, str]]
MAX_SPAN = 4  # words


def span_delete(record: Record, rng: np.random.Generator) -> Record:
    """Drop up to four neighbouring words of one attribute other than the name, but not all of its words."""
    wordy = [i for i, (_, value) in enumerate(record) if i > 0 and len(value.split()) > 1]
    if not wordy:
        return record
    i = int(rng.choice(wordy))
    words = record[i][1].split()
    size = int(rng.integers(1, min(MAX_SPAN, len(words) - 1) + 1))
    start = int(rng.integers(0, len(words) - size + 1))
    return [*record[:i], (record[i][0], " ".join(words[:start] + words[start + size :])), *record[i + 1 :]]


def span_shuffle(record: Record, rng: np.random.Generator) -> Record:
    """Reorder up to four neighbouring words of one attribute."""
    wordy = [i for i, (_, value) in enumerate(record) if len(value.split()) > 1]
    if not wordy:
        return record
    i = int(rng.choice(wordy))
    words = record[i][1].split()
    size = min(MAX_SPAN, len(words))
    start = int(rng.integers(0, len(words) - size + 1))
    span = [words[start + k] for k in rng.permutation(size)]
    return [*record[:i], (record[i][0], " ".join(words[:start] + span + words[start + size :])), *record[i + 1 :]]


def attribute_delete(record: Record, rng: np.random.Generator) -> Record:
    """Drop one attribute other than the name."""
    if len(record) < 2:
        return record
    i = int(rng.integers(1, len(record)))
    return record[:i] + record[i + 1 :]


def attribute_shuffle(record: Record, rng: np.random.Generator) -> Record:
    """Reorder the attributes; the name stays first, where truncation cannot reach it."""
    return record[:1] + [record[1 + k] for k in rng.permutation(len(record) - 1)]


OPERATORS: tuple[Callable[[Record, np.random.Generator], Record], ...] = (
    span_delete,
    span_shuffle,
    attribute_delete,
    attribute_shuffle,
)


def augment(
    left: Sequence[str], right: Sequence[str], rate: float, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """New texts for the pairs (same order and labels): each pair is altered with probability `rate`.

    An altered pair gets one operator, drawn evenly from the four above (applied to either record) and the swap of sides.
    """
    lefts, rights = list(left), list(right)
    for i in np.flatnonzero(rng.random(len(lefts)) < rate):
        drawn = int(rng.integers(len(OPERATORS) + 1))
        if drawn == len(OPERATORS):
            lefts[i], rights[i] = rights[i], lefts[i]
        else:
            side = lefts if rng.random() < 0.5 else rights
            side[i] = join_record(OPERATORS[drawn](split_record(side[i]), rng))
    return lefts, rights
