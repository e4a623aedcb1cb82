"""Data augmentation that cannot change a label (section 4.3 of the Ditto paper, and its public implementation).

The first attribute, the name, tells two records apart, so it stays in both records. The paper's operators leave it every
word; the public implementation's word droppers (`del`, `drop_token`, `drop_len`, `drop_same`) may thin it, but to no
less than half of its words. Nothing fails on records with one attribute, or with none: what cannot be altered stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from em_core.ditto.serialise import Record, join_record, split_record
from em_core.ditto.settings import Operator

Alter = Callable[[Record, np.random.Generator], Record]
AlterPair = Callable[[Record, Record, np.random.Generator], tuple[Record, Record]]

MAX_SPAN = 4  # words
DROP_RATE = 0.125  # of `drop_token`
SYMBOL_RATE = 0.2  # of `drop_sym`
SYMBOLS = "-*.,#&"
ALL_STEPS = 3  # operators in a row of `all`


def span_delete(record: Record, rng: np.random.Generator) -> Record:
    """Drop up to four neighbouring words of one attribute other than the name, but not all of its words."""
    wordy = [i for i, (_, value) in enumerate(record) if i > 0 and len(value.split()) > 1]
    if not wordy:
        return record
    i = int(rng.choice(wordy))
    words = record[i][1].split()
    size = int(rng.integers(1, min(MAX_SPAN, len(words) - 1) + 1))
    start = int(rng.integers(0, len(words) - size + 1))
    return _with_value(record, i, words[:start] + words[start + size :])


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
    return _with_value(record, i, words[:start] + span + words[start + size :])


def attribute_delete(record: Record, rng: np.random.Generator) -> Record:
    """Drop one attribute other than the name."""
    if len(record) < 2:
        return record
    i = int(rng.integers(1, len(record)))
    return record[:i] + record[i + 1 :]


def attribute_shuffle(record: Record, rng: np.random.Generator) -> Record:
    """Reorder the attributes; the name stays first, where truncation cannot reach it."""
    return record[:1] + [record[1 + k] for k in rng.permutation(len(record) - 1)]


def append_column(record: Record, rng: np.random.Generator) -> Record:
    """Move the value of one attribute behind that of another; neither is the name."""
    if len(record) < 3:
        return record
    source, target = (1 + int(k) for k in rng.choice(len(record) - 1, 2, replace=False))
    moved = _with_value(record, target, [record[target][1], record[source][1]])
    return moved[:source] + moved[source + 1 :]


def delete(record: Record, rng: np.random.Generator) -> Record:
    """Drop up to four neighbouring words of one attribute, the name too."""
    wordy = [i for i, (_, value) in enumerate(record) if value.split()]
    if not wordy:
        return record
    i = int(rng.choice(wordy))
    count = len(record[i][1].split())
    size = int(rng.integers(1, min(MAX_SPAN, count) + 1))
    start = int(rng.integers(0, count - size + 1))
    return _drop(record, lambda at, k, _: at == i and start <= k < start + size)


def drop_token(record: Record, rng: np.random.Generator) -> Record:
    """Drop each word with probability 1/8."""
    return _drop(record, lambda *_: rng.random() < DROP_RATE)


def drop_length(record: Record, rng: np.random.Generator) -> Record:
    """Drop the words of one length."""
    lengths = [len(word) for _, value in record for word in value.split()]
    if not lengths:
        return record
    length = int(rng.choice(lengths))
    return _drop(record, lambda _, __, word: len(word) == length)


def drop_symbols(record: Record, rng: np.random.Generator) -> Record:
    """Turn what is neither letter nor digit into blanks, in one word of five; a word of symbols alone stays."""

    def plain(word: str) -> str:
        letters = "".join(c if c.isalnum() else " " for c in word)
        return letters if letters.strip() and rng.random() < SYMBOL_RATE else word

    return [(name, " ".join(" ".join(map(plain, value.split())).split())) for name, value in record]


def insert_symbol(record: Record, rng: np.random.Generator) -> Record:
    """Insert a symbol as a word of its own."""
    if not record:
        return record
    i = int(rng.integers(len(record)))
    words = record[i][1].split()
    place = int(rng.integers(len(words) + 1))
    return _with_value(record, i, [*words[:place], SYMBOLS[int(rng.integers(len(SYMBOLS)))], *words[place:]])


def several(record: Record, rng: np.random.Generator) -> Record:
    """Three operators in a row (RandAugment, Cubuk et al., 2020)."""
    for _ in range(ALL_STEPS):
        record = _ROW[int(rng.integers(len(_ROW)))](record, rng)
    return record


def drop_same(left: Record, right: Record, rng: np.random.Generator) -> tuple[Record, Record]:
    """Drop one word that both records have, from both."""
    words = [{word.lower() for _, value in record for word in value.split()} for record in (left, right)]
    shared = sorted(words[0] & words[1])
    if not shared:
        return left, right
    drawn = shared[int(rng.integers(len(shared)))]
    return _drop(left, lambda _, __, w: w.lower() == drawn), _drop(right, lambda _, __, w: w.lower() == drawn)


def entry_swap(left: Record, right: Record, rng: np.random.Generator) -> tuple[Record, Record]:
    """Exchange the sides."""
    return right, left


def _either(alter: Alter) -> AlterPair:
    """`alter` on one of the two records."""

    def altered(left: Record, right: Record, rng: np.random.Generator) -> tuple[Record, Record]:
        return (alter(left, rng), right) if rng.random() < 0.5 else (left, alter(right, rng))

    return altered


_ROW: tuple[Alter, ...] = (span_delete, span_shuffle, attribute_delete, append_column)
OPERATORS: dict[Operator, AlterPair] = {
    "span_del": _either(span_delete),
    "span_shuffle": _either(span_shuffle),
    "attr_del": _either(attribute_delete),
    "attr_shuffle": _either(attribute_shuffle),
    "entry_swap": entry_swap,
    "del": _either(delete),
    "append_col": _either(append_column),
    "drop_token": _either(drop_token),
    "drop_len": _either(drop_length),
    "drop_sym": _either(drop_symbols),
    "drop_same": drop_same,
    "ins": _either(insert_symbol),
    "all": _either(several),
}


def augment(
    left: Sequence[str], right: Sequence[str], rate: float, operators: Sequence[Operator], rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """New texts for the pairs (same order and labels): each pair is altered with probability `rate`.

    An altered pair gets one of `operators`, drawn evenly; those that alter a record alter either of the two.
    """
    lefts, rights = list(left), list(right)
    for i in np.flatnonzero(rng.random(len(lefts)) < rate):
        alter = OPERATORS[operators[int(rng.integers(len(operators)))]]
        pair = alter(split_record(lefts[i]), split_record(rights[i]), rng)
        lefts[i], rights[i] = map(join_record, pair)
    return lefts, rights


def _with_value(record: Record, i: int, words: Sequence[str]) -> Record:
    return [*record[:i], (record[i][0], " ".join(words)), *record[i + 1 :]]


def _drop(record: Record, falls: Callable[[int, int, str], bool]) -> Record:
    """`record` without the words for which `falls(attribute position, word position, word)`.

    An attribute that loses its last word goes. The name stays as it was if more than half of its words would fall.
    """
    out: Record = []
    for i, (name, value) in enumerate(record):
        words = value.split()
        kept = [word for k, word in enumerate(words) if not falls(i, k, word)]
        if i == 0 and 2 * len(kept) < len(words):
            kept = words
        if i == 0 or kept:
            out.append((name, " ".join(kept)))
    return out
