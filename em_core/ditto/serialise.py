"""A record as text: `COL name VAL Acme Ltd COL country VAL DE` (section 3.1 of the Ditto paper).

The one serialiser of training, scoring and serving. A value that is missing leaves its attribute out, so that "unknown"
never reads like a value that differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from em_core.errors import UserError
from em_core.schema import missing_to_none

Record = list[tuple[str, str]]  # (attribute, value) in order

# The first attribute is the name: truncation cuts from the end and augmentation never touches its words.
ATTRIBUTES = ("name", "country", "city", "industry")

_MARKER = re.compile(r"(?:^|\s)COL (\S+) VAL(?=\s|$)")


def serialise(frame: pd.DataFrame, attributes: Sequence[str] = ATTRIBUTES) -> list[str]:
    """One text for each row of `frame`, attributes in the given order, runs of whitespace as one blank.

    Attributes that `frame` does not have count as missing everywhere, except the first one.
    A row without any value gives the empty text. Raises `UserError` if the first attribute is no column.
    """
    if not attributes or attributes[0] not in frame.columns:
        raise UserError(f"nothing to serialise: the table has no column {attributes[0] if attributes else 'at all'!r}")
    texts = np.full(len(frame), "", dtype=object)
    for attribute in attributes:
        if attribute in frame.columns:
            values = missing_to_none(frame[attribute])
            present = values.notna().to_numpy()
            marker = f" COL {'_'.join(attribute.split())} VAL "
            texts[present] += np.array([marker + " ".join(v.split()) for v in values[present]], dtype=object)
    return [text[1:] for text in texts]


def split_record(text: str) -> Record:
    """A serialised record as (attribute, value) in order; text without a marker is one attribute named ""."""
    found = list(_MARKER.finditer(text))
    if not found or found[0].start() > 0:
        return [("", text.strip())]
    ends = [marker.start() for marker in found[1:]] + [len(text)]
    return [(m.group(1), text[m.end() : end].strip()) for m, end in zip(found, ends, strict=True)]


def join_record(fields: Iterable[tuple[str, str]]) -> str:
    """The inverse of `split_record`."""
    return " ".join(f"COL {attribute} VAL {value}" if attribute else value for attribute, value in fields)


def attributes_in(texts: Iterable[str]) -> tuple[str, ...]:
    """Every attribute that the texts mention, in the order of the fullest record; () for text without markers."""
    mentioned = sorted({tuple(_MARKER.findall(text)) for text in texts}, key=lambda names: (-len(names), names))
    return tuple(dict.fromkeys(name for names in mentioned for name in names))
