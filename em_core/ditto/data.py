"""Labelled pairs: reading them from a file, and splitting them so that no record is both trained and judged on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from em_core.errors import UserError
from em_core.text.distinct import factorize

log = logging.getLogger(__name__)

REQUIRED = ("left_entity", "right_entity", "label")
KEYS = ("left_key", "right_key")
SPLITS = ("train", "valid", "test")
MIN_PAIRS = 20
VALID_SHARE = 0.15


@dataclass(frozen=True)
class Splits:
    """Pairs to fit, to choose by and (optionally) to judge by; each with `left_entity`, `right_entity`, `label` (0 or 1)."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame | None
    method: str  # given | entity_disjoint | left_disjoint

    def shared_records(self) -> int:
        """How many records (keys, else texts) of validation and test are also trained on; 0 for entity-disjoint splits."""
        held_out = [self.valid] if self.test is None else [self.valid, self.test]
        columns = _record_columns(self.train, *held_out)
        trained = set(self.train[columns].to_numpy().ravel())
        return len(trained & {record for part in held_out for record in part[columns].to_numpy().ravel()})

    def folds(self, count: int, seed: int) -> np.ndarray:
        """Fold of each training and then each validation pair, 0 to `count` - 1, drawn at random.

        A fold is to the others what validation is to training. Where most validation pairs have a left record that is trained on, each
        pair is drawn for itself; else pairs that share a record stay together, or those that share their left one, where all hang together.
        """
        left, right = _record_columns(self.train, self.valid)
        group = np.arange(len(self.train) + len(self.valid))
        if self.valid[left].isin(self.train[left]).mean() <= 0.5:
            for _, group in _groups(pd.concat([self.train, self.valid], ignore_index=True), left, right):
                if np.bincount(group).max() <= 2 * len(group) / count:
                    break
        return np.random.default_rng(seed).permutation(int(group.max()) + 1)[group] % count


def read_pairs(path: Path) -> pd.DataFrame:
    """Pairs out of CSV, Parquet (columns `left_entity`, `right_entity`, `label`) or Ditto's own tab-separated text.

    Keeps the optional columns `split`, `left_key` and `right_key`. Raises `UserError` with file, row (1 = first record)
    and column for anything that is not a table of at least 20 such pairs with both classes.
    """
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".txt": _read_text,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise UserError(f"{path}: unknown suffix {suffix!r}; training data is one of {', '.join(readers)}")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        frame = readers[suffix](path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    return _check(frame, str(path))


def load_splits(training: Path, validation: Path | None, test: Path | None, seed: int) -> Splits:
    """The three sets from files, from a `split` column, or else by an own split; a file wins over the column."""
    pairs = read_pairs(training)
    parts = {name: pairs[pairs["split"] == name] for name in SPLITS} if "split" in pairs else {"train": pairs}
    parts |= {name: read_pairs(path) for name, path in (("valid", validation), ("test", test)) if path is not None}
    method = "given"
    if len(parts.get("valid", ())) == 0:
        parts["train"], parts["valid"], method = split_pairs(parts["train"], VALID_SHARE, seed, str(training))
    for name, part in parts.items():
        if part["label"].nunique() < 2 and (len(part) or name == "train"):
            raise UserError(f"{training}: the {name} pairs need both labels, 0 and 1; all {len(part)} are of one kind")
    tested = parts.get("test")
    return Splits(
        parts["train"].reset_index(drop=True),
        parts["valid"].reset_index(drop=True),
        tested.reset_index(drop=True) if tested is not None and len(tested) else None,
        method,
    )


def split_pairs(pairs: pd.DataFrame, share: float, seed: int, origin: str) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """(train, valid, method), about `share` of the pairs in valid.

    `entity_disjoint`: pairs that share a record, directly or through others, stay together. Where the pairs hang together
    too much for that, `left_disjoint` keeps only the left records apart and the log says so. Records are told apart by
    the key columns, else by their text. Raises `UserError` if neither way leaves both classes on both sides.
    """
    for method, group in _groups(pairs, *_record_columns(pairs)):
        valid = _take_groups(group, share, seed)
        enough = share * len(pairs) / 2 <= valid.sum()
        if enough and pairs["label"][valid].nunique() == 2 == pairs["label"][~valid].nunique():
            return pairs[~valid], pairs[valid], method
        if method == "entity_disjoint":
            log.warning(
                "%s: the pairs hang together too much to keep all records apart; split by left record only", origin
            )
    raise UserError(
        f"{origin}: too few separate records for a validation split; give --validation-data or a column 'split'"
    )


def fingerprint(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _groups(pairs: pd.DataFrame, left: str, right: str) -> Iterator[tuple[str, np.ndarray]]:
    """(method, group of each pair): by the records that hang together, and by the left record alone."""
    codes, records = factorize(pd.concat([pairs[left], pairs[right]], ignore_index=True))
    left_codes, right_codes = np.split(codes, 2)
    links = coo_array((np.ones(len(pairs)), (left_codes, right_codes)), shape=(len(records), len(records)))
    yield "entity_disjoint", connected_components(links, directed=False)[1][left_codes]
    yield "left_disjoint", left_codes


def _take_groups(group: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mask of whole groups, drawn at random, that together hold at most `share` of the rows."""
    sizes = np.bincount(group)
    room = share * len(group)
    drawn = np.random.default_rng(seed).permutation(len(sizes))
    drawn = drawn[sizes[drawn] <= room]
    return np.isin(group, drawn[np.cumsum(sizes[drawn]) <= room])


def _record_columns(*parts: pd.DataFrame) -> list[str]:
    """The two columns that tell records apart in all parts: keys where every part has them, else the texts."""
    return list(KEYS if all(set(KEYS) <= set(part.columns) for part in parts) else REQUIRED[:2])


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path}: the file is empty") from error
    except pd.errors.ParserError as error:
        raise UserError(f"{path}: not a comma-separated table ({' '.join(str(error).split())})") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import ArrowInvalid

    try:
        return pd.read_parquet(path)
    except ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file") from error


def _read_text(path: Path) -> pd.DataFrame:
    lines = [line.rstrip("\r").split("\t") for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    wrong = next((row for row, fields in enumerate(lines, 1) if len(fields) != 3), None)
    if wrong is not None:
        raise UserError(f"{path}, row {wrong}: wants left TAB right TAB label, has {len(lines[wrong - 1])} fields")
    return pd.DataFrame(lines, columns=list(REQUIRED), dtype=object)


def _check(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    absent = [column for column in REQUIRED if column not in frame]
    if absent:
        has = ", ".join(map(str, frame.columns))
        raise UserError(f"{origin}: column {absent[0]!r} is missing; it has: {has}")
    if len(frame) < MIN_PAIRS:
        raise UserError(f"{origin}: {len(frame)} pairs are too few to learn from; at least {MIN_PAIRS} are needed")
    labels = pd.to_numeric(
        frame["label"].map(lambda v: str(v).strip()).replace({"True": "1", "False": "0"}), errors="coerce"
    )
    _refuse(origin, "label", ~labels.isin([0, 1]), "is not 0 or 1")
    columns: dict[str, pd.Series] = {"label": labels.astype(np.int8)}
    for column in (*REQUIRED[:2], *(c for c in ("split", *KEYS) if c in frame)):
        texts = frame[column].where(frame[column].notna(), "").map(lambda v: str(v).strip())
        _refuse(origin, column, texts == "", "is empty")
        columns[column] = texts
    if "split" in columns:
        _refuse(origin, "split", ~columns["split"].isin(SPLITS), f"is not one of {', '.join(SPLITS)}")
    if columns["label"].nunique() < 2:
        raise UserError(f"{origin}, column 'label': every pair is {columns['label'].iloc[0]}; both 0 and 1 are needed")
    return pd.DataFrame(columns).reset_index(drop=True)


def _refuse(origin: str, column: str, wrong: pd.Series, why: str) -> None:
    """Raise a `UserError` that names the first row where `wrong` holds."""
    rows = np.flatnonzero(wrong.to_numpy())
    if rows.size:
        raise UserError(f"{origin}, row {rows[0] + 1}, column {column!r}: value {why} ({rows.size} such rows)")
