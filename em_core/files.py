"""Tables in the user's own files: CSV, Parquet and Delta by suffix, written aside and then renamed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet
import yaml

from em_core.errors import UserError
from em_core.storage import delta
from em_core.storage.arrow import from_arrow, to_arrow
from em_core.storage.atomic import atomic_file, atomic_folder, os_reason
from em_core.storage.delimited import read_delimited, write_delimited
from em_core.storage.digest import fingerprint, fingerprint_folder, fingerprint_rows, fingerprint_texts

__all__ = [
    "atomic_file",
    "atomic_folder",
    "fingerprint",
    "fingerprint_folder",
    "fingerprint_rows",
    "fingerprint_texts",
    "read_mapping",
    "read_table",
    "write_table",
]

#: `<name>.mapping.yaml` beside a landed file `<name>.csv` maps its headers.
MAPPING_SUFFIX = ".mapping.yaml"
# Beside feeds in a drop folder: mappings, and files that are still being written.
_NOT_FEEDS = (MAPPING_SUFFIX, ".tmp", ".part", ".crdownload", ".filepart")
_DELIMITED = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_PARQUET = (".parquet", ".pq")
_KNOWN = ".csv, .tsv, .csv.gz, .parquet, or a Delta folder"
_WORKBOOK = re.compile(r"\.(xlsx?|xlsm|xlsb|ods)$")


def read_table(path: Path | str) -> pd.DataFrame:
    """A table from `.csv`, `.tsv` (also `.gz`), `.parquet`, a Delta folder or a folder of Parquet files.

    Delimited text comes as text in every cell (see `em_core.storage.delimited`), Parquet and Delta with their types.
    Raises `UserError`, one sentence that names the file, on anything that cannot be read as a table.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return delta.read_delta(delta.open_delta(path)) if delta.is_delta(path) else _read_parquet_folder(path)
        if not path.exists():
            raise UserError(f"{path} does not exist")
    except OSError as error:
        raise UserError(f"cannot read {path}: {os_reason(error)}") from None
    kind = _suffix(path)
    if kind in _DELIMITED:
        return read_delimited(path)
    if kind in _PARQUET:
        return _read_parquet(path)
    raise _unknown(path)


def write_table(frame: pd.DataFrame, path: Path | str, schema: pa.Schema | None = None) -> None:
    """Write a table to `.csv`, `.tsv` (also `.gz`), `.parquet`, or else a Delta folder (no suffix, or `.delta`).

    The old content stays until the new one is complete. Parent folders are made. With `schema`, Parquet and Delta take
    its columns and types; CSV takes its columns. Raises `UserError` if the place cannot be written.
    """
    path = Path(path)
    kind = _suffix(path)
    if kind in ("", ".delta") or delta.is_delta(path):
        delta.overwrite_delta(path, to_arrow(frame, schema, str(path)))
    elif kind in _DELIMITED:
        write_delimited(frame if schema is None else from_arrow(to_arrow(frame, schema, str(path))), path)
    elif kind in _PARQUET:
        rows = to_arrow(frame, schema, str(path))
        with atomic_file(path) as temporary:
            try:
                parquet.write_table(rows, temporary)
            except OSError as error:
                raise UserError(f"cannot write {path}: {os_reason(error)}") from None
    else:
        raise _unknown(path)


def read_mapping(path: Path | str) -> dict[str, str]:
    """Contract column -> the user's header, from a YAML or JSON file: either at its top or below a key `columns`.

    Every name is text as written, so that `no: NO` is not a truth value. Raises `UserError` naming file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: the mapping file is not UTF-8 text") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {os_reason(error)}") from None
    pairs = _json_pairs(path, text) if path.suffix.lower() == ".json" else _yaml_pairs(path, text)
    mapping: dict[str, str] = {}
    for place, column, header in pairs:
        if column in mapping:
            raise UserError(f"{place}: the mapping names {column!r} twice")
        if not column or not header:
            raise UserError(f"{place}: the mapping gives no header for {column!r}")
        mapping[column] = header
    if not mapping:
        raise UserError(f"{path}: the mapping is empty; it needs lines such as `name: Company Name`")
    return mapping


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((kind for kind in (*_DELIMITED, *_PARQUET) if name.endswith(kind)), path.suffix.lower())


def _unknown(path: Path) -> UserError:
    if _WORKBOOK.search(path.name.lower()):
        return UserError(f"{path} is a workbook; save the sheet as CSV (Excel: Save As, CSV UTF-8) and use that file")
    return UserError(f"{path}: unknown kind of table {path.suffix!r}; known are {_KNOWN}")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        with parquet.ParquetFile(path) as file:
            return from_arrow(file.read(), str(path))
    except pa.ArrowException as error:
        raise UserError(f"{path} is not a readable Parquet file: {_first_line(error)}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {_first_line(error)}") from None


def _read_parquet_folder(path: Path) -> pd.DataFrame:
    """All Parquet files below a folder, columns united by name; names that start with `.` or `_` are skipped."""
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and file.suffix.lower() in _PARQUET
        and not any(part[0] in "._" for part in file.relative_to(path).parts)
    ]
    if not files:
        raise UserError(f"{path} is a folder without a Delta log and without Parquet files")
    try:
        schemas = [parquet.read_schema(file) for file in files]
        united = pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")
        return from_arrow(
            dataset.dataset([str(file) for file in files], schema=united, format="parquet").to_table(), str(path)
        )
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable folder of Parquet files: {_first_line(error)}") from None


def _json_pairs(path: Path, text: str) -> list[tuple[str, str, str]]:
    def unique(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return pairs  # a list keeps repeated names, which a dict would swallow

    try:
        top = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None
    if isinstance(top, list) and len(top) == 1 and top[0][0] == "columns" and isinstance(top[0][1], list):
        top = top[0][1]
    if not isinstance(top, list) or not all(isinstance(pair, tuple) for pair in top):
        raise UserError(f"{path}: the mapping must be an object of column names and headers")
    for column, header in top:
        if not isinstance(header, str):
            raise UserError(f"{path}: the header for {column!r} must be text")
    return [(str(path), column, header) for column, header in top]


def _yaml_pairs(path: Path, text: str) -> list[tuple[str, str, str]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}, line {line}: not valid YAML ({error.problem})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({_first_line(error)})") from None
    if node is None:
        return []
    if isinstance(node, yaml.MappingNode) and len(node.value) == 1:
        key, value = node.value[0]
        if isinstance(value, yaml.MappingNode) and key.value == "columns":
            node = value
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}: the mapping must be lines of `column: header`")
    pairs = []
    for key, value in node.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
            raise UserError(f"{place}: the mapping must be lines of `column: header`")
        is_null = value.tag == "tag:yaml.org,2002:null" and value.style is None
        pairs.append((place, str(key.value), "" if is_null else str(value.value)))
    return pairs


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def is_feed(name: str) -> bool:
    return not name.startswith((".", "~")) and not name.endswith(_NOT_FEEDS)
