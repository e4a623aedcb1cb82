"""Tables of entities that stay on disk: rows are asked for by position, and only those become Python objects.

One uncompressed Arrow file of one batch, mapped: every process of a machine shares its pages, however many rows it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from em_core.errors import UserError

# Columns that hold more than text: other names, and (relation, name) pairs of them.
_NAMES, _PAIRS = pa.large_list(pa.large_string()), pa.large_list(pa.list_(pa.large_string()))
_TYPES = {"aliases": _NAMES, "also": _PAIRS}


@dataclass(frozen=True)
class TextColumn:
    """A column that is asked by position, as an array is: `column[rows]` (m,) objects, None for a missing value or a row of -1."""

    values: pa.Array = field(repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64)
        nobody = rows < 0
        return _objects(self.values.take(pa.array(rows, mask=nobody if nobody.any() else None)))


@dataclass(frozen=True)
class EntityTable:
    """A table of text, and of lists of other names, by row position."""

    batch: pa.RecordBatch = field(repr=False)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> EntityTable:
        """A table in memory."""
        arrays = [
            pa.array(frame[column].to_numpy(dtype=object), _TYPES.get(column, pa.large_string()), from_pandas=True)
            for column in frame.columns
        ]
        return cls(pa.RecordBatch.from_arrays(arrays, names=[str(column) for column in frame.columns]))

    @classmethod
    def open(cls, path: Path) -> EntityTable:
        """Map what `save` wrote. Raises `UserError` for a file that is something else."""
        try:
            batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
            batch.validate()
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not readable ({str(error).splitlines()[0]}); build the folder again") from error
        return cls(batch)

    def save(self, path: Path) -> None:
        """Write one Arrow file."""
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, self.batch.schema) as writer:
            writer.write_batch(self.batch)

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def __getitem__(self, column: str) -> TextColumn:
        return TextColumn(self.batch.column(self.batch.schema.get_field_index(column)))

    def take(self, rows: np.ndarray | Sequence[int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Rows (m,) by position, of all columns or these, with a new index; each distinct row is read once."""
        distinct, place = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        wanted = self.batch.schema.names if columns is None else columns
        return pd.DataFrame({column: self[column][distinct][place] for column in wanted}, dtype=object)

    def where(self, column: str, value: str | None) -> np.ndarray:
        """Positions of the rows that hold this text in a column; none for None. Reads the column."""
        equal = pc.equal(
            self.batch.column(self.batch.schema.get_field_index(column)), pa.scalar(value, pa.large_string())
        )
        return np.flatnonzero(equal.fill_null(False).to_numpy(zero_copy_only=False))

    def frame(self) -> pd.DataFrame:
        """All rows as objects: for whoever changes the table, not for a look-up."""
        return pd.DataFrame({name: _objects(self.batch.column(name)) for name in self.batch.schema.names}, dtype=object)


def _objects(values: pa.Array) -> np.ndarray:
    """(m,) texts, lists of names, or tuples of pairs; None for a missing value."""
    if values.type not in (_NAMES, _PAIRS):
        return values.to_numpy(zero_copy_only=False)
    out = np.empty(len(values), dtype=object)
    listed = values.to_pylist()
    out[:] = [tuple(map(tuple, x)) if x else () for x in listed] if values.type == _PAIRS else listed
    return out
