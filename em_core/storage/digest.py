"""Content digests: equal for equal content, whatever the order of rows and columns and the way pandas stores it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from em_core.text.digests import text_digests

_BYTES = 8
_CHUNK = 1 << 20
_STEP = np.uint64(0x9E3779B97F4A7C15)
# One constant for each kind of value, so that 1, "1", true and ["1"] differ; missing has no other content.
_KINDS = {
    kind: np.uint64(int.from_bytes(hashlib.blake2b(kind.encode(), digest_size=8).digest(), "little"))
    for kind in ("missing", "text", "list", "number", "truth", "time", "other")
}


def fingerprint(frame: pd.DataFrame) -> str:
    """16 hexadecimal digits for a table's column names and rows (as a multiset).

    Order of rows and columns does not count: a table read back from storage has no order. None, NaN and NaT are the
    same missing value, "" is a text. Whole numbers are the same as int and as float.
    """
    columns = sorted(map(str, frame.columns))
    digest = hashlib.blake2b(json.dumps([columns, len(frame)]).encode(), digest_size=_BYTES)
    digest.update(np.sort(hash_rows(frame, columns)).astype("<u8").tobytes())
    return digest.hexdigest()


def fingerprint_rows(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """One digest of 16 hexadecimal digits for each row's values in `columns`, in that order; shape (rows,), text."""
    return hex_digits(hash_rows(frame, columns))


def hex_digits(hashes: np.ndarray) -> np.ndarray:
    """(n,) 64-bit hashes as texts of 16 hexadecimal digits."""
    digits = hashes.astype(">u8").tobytes().hex()
    return np.array([digits[i : i + 2 * _BYTES] for i in range(0, len(digits), 2 * _BYTES)], dtype=f"<U{2 * _BYTES}")


def combine_hashes(hashes: np.ndarray, owner: np.ndarray, place: np.ndarray, owners: int) -> np.ndarray:
    """(owners,) one 64-bit hash for each owner's items, each counted with its place (from 0).

    hashes, owner, place: (items,), sorted by owner; an owner without items has the same hash as any other.
    """
    placed = _mix(hashes + (place.astype(np.uint64) + np.uint64(1)) * _STEP)
    counts = np.bincount(owner, minlength=owners)
    sums, filled = np.zeros(owners, dtype=np.uint64), counts > 0
    if filled.any():
        starts = np.cumsum(counts) - counts
        sums[filled] = np.add.reduceat(placed, starts[filled])
    return _mix(sums + counts.astype(np.uint64))


def hash_rows(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """64-bit hash of each row's values in `columns`, in that order; shape (rows,), uint64. Equal on every machine."""
    by_name = {str(column): position for position, column in enumerate(frame.columns)}
    out = np.zeros(len(frame), dtype=np.uint64)
    for column in columns:
        out = _mix(out + _STEP) ^ _cell_hashes(frame.iloc[:, by_name[column]])
    return _mix(out)


def fingerprint_texts(texts: Sequence[str]) -> str:
    """16 hexadecimal digits for some texts in their order."""
    return hashlib.blake2b(json.dumps(list(texts)).encode(), digest_size=_BYTES).hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """16 hexadecimal digits for the relative names and the bytes of all files below `folder`."""
    digest = hashlib.blake2b(digest_size=_BYTES)
    for name, path in sorted((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file()):
        digest.update(json.dumps([name, path.stat().st_size]).encode())
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _mix(values: np.ndarray) -> np.ndarray:
    """Spread every bit over the word: the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _cell_hashes(values: pd.Series) -> np.ndarray:
    """64-bit hash of each value and of its kind."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    missing = values.isna().to_numpy(dtype=bool)
    out = np.full(len(values), _KINDS["missing"], dtype=np.uint64)
    present = values[~missing]
    if not len(present):
        return out
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        kind = "truth" if pd.api.types.is_bool_dtype(values.dtype) else "number"
        hashes = _numbers(present.to_numpy(dtype=bool if kind == "truth" else None)) ^ _KINDS[kind]
    elif pd.api.types.is_datetime64_any_dtype(values.dtype):
        hashes = pd.util.hash_array(_microseconds(present)) ^ _KINDS["time"]
    else:
        hashes = _objects(present.to_numpy(dtype=object))
    out[~missing] = hashes
    return out


def _microseconds(values: pd.Series) -> np.ndarray:
    utc = values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
    return utc.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Whole values hash as int64, so that a column hashes alike before and after a gap made it float."""
    if values.dtype == object:
        values = values.astype(np.float64)
    if values.dtype.kind in "biu":
        return pd.util.hash_array(values.astype(np.int64))
    floats = values.astype(np.float64)
    whole = np.isfinite(floats) & (np.abs(floats) < 2.0**63)
    whole[whole] = np.floor(floats[whole]) == floats[whole]
    hashes = pd.util.hash_array(floats.view(np.uint64))
    hashes[whole] = pd.util.hash_array(floats[whole].astype(np.int64))
    return hashes


def _objects(values: np.ndarray) -> np.ndarray:
    """Hashes of an object array without missing values."""
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return text_digests(values) ^ _KINDS["text"]
    hashes = np.empty(len(values), dtype=np.uint64)
    texts = np.array([isinstance(v, str) for v in values], dtype=bool)
    lists = np.array([isinstance(v, list | tuple | np.ndarray) for v in values], dtype=bool)
    others = ~texts & ~lists
    if texts.any():
        hashes[texts] = text_digests(values[texts]) ^ _KINDS["text"]
    if lists.any():
        hashes[lists] = _lists(values[lists]) ^ _KINDS["list"]
    if others.any():
        encoded = np.array([_encode(v) for v in values[others]], dtype=object)
        hashes[others] = pd.util.hash_array(encoded) ^ _KINDS["other"]
    return hashes


def _lists(values: np.ndarray) -> np.ndarray:
    """Hash of each list from the hashes of its items and their places in it, all items at once."""
    lengths = np.fromiter((len(v) for v in values), dtype=np.int64, count=len(values))
    items = np.fromiter(chain.from_iterable(values), dtype=object, count=int(lengths.sum()))
    starts = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(len(values)), lengths)
    places = np.arange(len(items)) - np.repeat(starts, lengths)
    return combine_hashes(_cell_hashes(pd.Series(items, dtype=object)), owner, places, len(values))


def _encode(value: Any) -> str:
    """JSON text of a scalar in a mixed column, or of an object of its own kind."""
    return json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
