"""Data frames to Arrow tables and back, with one fixed type for each kind of column.

Text is `string` (also where every value is missing: a null type fits no table), lists are lists of text, numbers are
`int64` or `float64`, times are microseconds in UTC. Back in pandas, text is an object column with None for missing.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from em_core.errors import UserError

UTC_TIME = pa.timestamp("us", tz="UTC")
TEXT_LIST = pa.list_(pa.string())
_PANDAS_INDEX = "__index_level_"


def is_text(kind: pa.DataType) -> bool:
    """True for Arrow text of any layout."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_list(kind: pa.DataType) -> bool:
    """True for Arrow lists of any layout."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def storage_type(kind: pa.DataType) -> pa.DataType:
    """The type that a table stores for values that Arrow reads as `kind`."""
    if pa.types.is_null(kind) or is_text(kind) or pa.types.is_dictionary(kind):
        return pa.string()
    if is_list(kind):
        return pa.list_(storage_type(kind.value_type))
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return UTC_TIME
    return kind


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def to_arrow(frame: pd.DataFrame, schema: pa.Schema | None = None, origin: str = "table") -> pa.Table:
    """A frame as an Arrow table; the index is dropped.

    With `schema`, columns come in its order and types, and one that the frame lacks is all null; a column that the
    schema lacks raises `ValueError`. Without, types follow the module's rules. Times without a zone are taken as UTC.
    Raises `UserError` naming `origin` and the column whose values fit no one type.
    """
    if not frame.columns.is_unique:
        raise UserError(f"{origin}: column {str(frame.columns[frame.columns.duplicated()][0])!r} appears twice")
    by_name = {str(column): frame[column] for column in frame.columns}
    if schema is None:
        return pa.table({name: _column(values, None, f"{origin}, column {name!r}") for name, values in by_name.items()})
    unknown = [name for name in by_name if name not in schema.names]
    if unknown:
        raise ValueError(f"column {unknown[0]!r} is not in the schema")
    arrays = [
        _column(by_name[field.name], field.type, f"{origin}, column {field.name!r}")
        if field.name in by_name
        else pa.nulls(len(frame), type=field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: pd.Series, kind: pa.DataType | None, place: str) -> pa.Array:
    try:
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(object)
        array = pa.Array.from_pandas(values)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        wanted = storage_type(array.type) if kind is None else kind
        # Finer than a microsecond is cut off: no table keeps it.
        return array.cast(wanted, safe=not pa.types.is_timestamp(wanted))
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        UnicodeEncodeError,
        OverflowError,
    ) as error:
        target = "one type" if kind is None else str(kind)
        raise UserError(f"{place}: the values do not fit {target} ({str(error).splitlines()[0]})") from None


def from_arrow(table: pa.Table, origin: str = "table") -> pd.DataFrame:
    """An Arrow table as a frame: text and lists as object columns with None, whole numbers with gaps as `Int64`.

    Lists come as numpy arrays of objects. Raises `UserError` if a column name appears twice.
    """
    names = [name for name in table.column_names if not name.startswith(_PANDAS_INDEX)]
    if len(set(names)) != len(names):
        raise UserError(f"{origin}: column {next(n for n in names if names.count(n) > 1)!r} appears twice")
    return pd.DataFrame({name: _series(table[name]) for name in names}, index=pd.RangeIndex(table.num_rows))


def _series(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if is_text(kind) or pa.types.is_null(kind):
        return pd.Series(column.to_numpy(zero_copy_only=False), dtype=object)
    if is_list(kind):
        return pd.Series(_lists(column), dtype=object)
    if pa.types.is_integer(kind) and column.null_count:
        # Floats would round identifiers above 2**53.
        return pd.Series(column.cast(pa.int64()).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))
    return cast(pd.Series, column.to_pandas())


def _lists(column: pa.ChunkedArray) -> np.ndarray:
    """Object array whose cells are object arrays or None, also where all lists have the same length."""
    out = np.empty(len(column), dtype=object)
    start = 0
    for chunk in column.chunks:
        cells = chunk.to_pandas()
        out[start : start + len(chunk)] = cells.to_numpy()
        start += len(chunk)
    return out
