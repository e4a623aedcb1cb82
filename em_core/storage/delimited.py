"""Delimited text as spreadsheets and exports write it: any usual delimiter, byte order marks, old code pages, quotes.

Every cell is text, as written: `NAN`, `TRUE` and `007` stay what they are and an empty cell is "". What cannot be
read without guessing is refused with one sentence that names file and line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import logging
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv

from em_core.errors import UserError
from em_core.storage.arrow import from_arrow
from em_core.storage.atomic import atomic_file, os_reason

DELIMITERS = (",", ";", "\t", "|")
LIST_SEPARATOR = "|"

_log = logging.getLogger(__name__)
_SNIFF_ROWS = 100
_HEAD = 1 << 20  # bytes to find the delimiter in
_BLOCK = 1 << 26  # bytes; no record may be longer
# UTF-32 before UTF-16: the little-endian marks begin alike.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = (
    (b"PK\x03\x04", "it is an Excel workbook or a zip archive; save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "it is an old Excel workbook; save the sheet as CSV"),
    (b"\x1f\x8b", "it is gzip-compressed; name it .csv.gz"),
    (b"PAR1", "it is a Parquet file; name it .parquet"),
)
# Excel's own first line that names the delimiter.
_HINT = re.compile(rb"sep=([,;\t|])(?=[\r\n])")


@dataclass(frozen=True)
class _Text:
    """A file's content, ready to parse: UTF-8 without mark, `skip` lines before the header."""

    path: Path
    data: bytes
    delimiter: str
    skip: int

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Exact but slow: the line (from 1, as an editor counts) at which each record starts, and its cells.

        Raises `UserError` at a quote that is never closed or that is followed by more text.
        """
        # Line ends stay untouched: they may stand inside quotes. A sample may end inside a character.
        lines = io.TextIOWrapper(io.BytesIO(self.data), encoding="utf-8", errors="ignore", newline="")
        for _ in range(self.skip):
            lines.readline()
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            line = reader.line_num + 1 + self.skip
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"the quotes do not match or a cell is too long ({error})"
                raise UserError(f"{self.path}, line {line}: {problem}") from None
            # A line of nothing but blanks is no record, except in a table of one column.
            if len(row) > 1 or (row and (row[0].strip() or row[0] == "")):
                yield line, row


def read_delimited(path: Path) -> pd.DataFrame:
    """A delimited file, plain or `.gz`, as a frame of text columns in file order.

    The first line that is not blank is the header; blank lines are skipped. Encoding: by byte order mark, else UTF-8,
    else cp1252 or latin-1 with a warning in the log. Delimiter: the one of `, ; tab |` under which most rows have as
    many fields as the header. Raises `UserError` on anything else.
    """
    try:
        raw = _read_bytes(path)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise UserError(f"{path}: the gzip file is damaged") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {os_reason(error)}") from None
    text = _sniff(path, _decoded(path, raw))
    table = _parse(text)
    if table is None:
        table = _parse_exactly(text)
    header = [str(name).strip() for name in table.slice(0, 1).to_pylist()[0].values()]
    names = [name or f"column_{position}" for position, name in enumerate(header, start=1)]
    return from_arrow(table.slice(1).rename_columns(names), f"{path}, header")


def write_delimited(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as UTF-8 text, tab-separated for `.tsv`, else with commas; compressed for `.gz`.

    Missing is empty, lists are joined by `|`, times are ISO 8601 in UTC. Raises `UserError` if the place cannot be
    written or a text is not valid Unicode; the old file stays then.
    """
    plain = pd.DataFrame({str(name): _as_text(values) for name, values in frame.items()}, index=frame.index)
    compressed = path.suffix.lower() == ".gz"
    delimiter = "\t" if Path(path.stem if compressed else path.name).suffix.lower() == ".tsv" else ","
    quoting: Literal[0, 1] = csv.QUOTE_ALL if _needs_quotes(plain) else csv.QUOTE_MINIMAL
    with atomic_file(path) as temporary:
        try:
            with ExitStack() as stack:
                raw: Any = stack.enter_context(temporary.open("wb"))
                if compressed:
                    # No name and no time inside: equal content makes an equal file.
                    raw = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0))
                handle = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
                plain.to_csv(handle, sep=delimiter, index=False, lineterminator="\n", quoting=quoting)
        except UnicodeEncodeError as error:
            raise UserError(f"cannot write {path}: {error.object[:40]!r} is not valid Unicode text") from None
        except OSError as error:
            raise UserError(f"cannot write {path}: {os_reason(error)}") from None


def _needs_quotes(plain: pd.DataFrame) -> bool:
    """True where pandas' fewest quotes would be read back as something else."""
    # A header that holds a delimiter; a lone column, whose blank cell would be a blank line; a carriage return.
    return (
        plain.shape[1] == 1
        or any(sign in name for name in plain.columns for sign in (*DELIMITERS, "\r"))
        or any(
            isinstance(value, str) and "\r" in value
            for _, values in plain.items()
            if not pd.api.types.is_numeric_dtype(values.dtype)
            for value in values.to_numpy(dtype=object)
        )
    )


def _as_text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        utc = values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
        return utc.map(lambda v: v.isoformat(), na_action="ignore").astype(object)
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
        return values.map(_cell)
    return values


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return LIST_SEPARATOR.join(str(part) for part in value if part is not None)
    return value


def _read_bytes(path: Path) -> bytes:
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as handle:
            return handle.read()
    return path.read_bytes()


def _decoded(path: Path, raw: bytes) -> bytes:
    """The bytes as UTF-8 without byte order mark. Raises `UserError` if they are no text."""
    if not raw:
        raise UserError(f"{path}: the file is empty")
    for magic, hint in _FOREIGN:
        if raw.startswith(magic):
            raise UserError(f"{path} is not a text table: {hint}")
    marked = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    for name in (marked,) if marked else ("utf-8", "cp1252", "latin-1"):
        try:
            data = raw.decode(name).encode("utf-8")
        except UnicodeDecodeError:
            continue
        if b"\0" in data:
            raise UserError(f"{path}: it holds NUL characters, so it is a binary file and not a text table")
        if not marked and name != "utf-8":
            _log.warning("%s is not UTF-8; it is read as %s, so check its accented letters", path, name)
        return data
    raise UserError(f"{path}: the byte order mark says {marked}, but the text is damaged")


def _sniff(path: Path, data: bytes) -> _Text:
    """Find the delimiter: Excel's hint line, else the one under which the first rows agree best with the header."""
    named = _HINT.match(data)
    if named:
        return _Text(path, data, named.group(1).decode(), 1)
    best, best_score = DELIMITERS[0], (-1.0, 0)
    for delimiter in DELIMITERS:
        widths: list[int] = []
        try:
            widths.extend(len(row) for _, row in islice(_Text(path, data[:_HEAD], delimiter, 0).rows(), _SNIFF_ROWS))
        except UserError:
            widths.append(0)
        if widths and widths[0] > 1:
            # A wider header breaks a tie.
            score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
            best, best_score = max((best, best_score), (delimiter, score), key=lambda pair: pair[1])
    return _Text(path, data, best, 0)


def _parse(text: _Text) -> pa.Table | None:
    """Header and records as text columns `f0`, `f1`, ...; None if the file is not plainly in order."""
    first = next(text.rows(), None)
    if first is None:
        raise UserError(f"{text.path}: the file has no header line")
    width = len(first[1])
    # Arrow takes a quote that is never closed for one long cell. It would swallow this last record too, and be seen.
    end = text.delimiter.join("x" * width).encode()
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(text.data + b"\n" + end),
            arrow_csv.ReadOptions(autogenerate_column_names=True, skip_rows=text.skip, block_size=_BLOCK),
            arrow_csv.ParseOptions(delimiter=text.delimiter, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types={f"f{i}": pa.string() for i in range(width)},
                strings_can_be_null=False,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    last = table.slice(table.num_rows - 1).to_pylist()[0]
    return table.slice(0, table.num_rows - 1) if set(last.values()) == {"x"} else None


def _parse_exactly(text: _Text) -> pa.Table:
    """The same by the exact way, or a `UserError` with the first line that breaks the table."""
    columns: list[list[str]] = []
    header_line = 0
    for line, row in text.rows():
        if not columns:
            columns, header_line = [[] for _ in row], line
        if len(row) != len(columns):
            wanted = f"the header (line {header_line}) has {len(columns)}"
            raise UserError(f"{text.path}, line {line}: {len(row)} cell(s) where {wanted}")
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)
    return pa.table({f"f{i}": pa.array(column, pa.string()) for i, column in enumerate(columns)})
