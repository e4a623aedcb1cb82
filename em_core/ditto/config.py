"""`config.yaml`: the options of a run in a file, to write by hand and to repeat a run by."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from em_core.errors import UserError

CONFIG = "config.yaml"


def read_config(path: Path, options: Collection[str]) -> dict[str, Any]:
    """The file's values by option (`batch_size`, `training_data` ...); an empty value counts as not given.

    Raises `UserError` if the file cannot be read or names something that is no option.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        raise UserError(f"{path}{where}: not YAML ({getattr(error, 'problem', None) or error})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: wants lines `option: value`, such as `epochs: 20`")
    for name in map(str, values):
        if name not in options:
            alike = difflib.get_close_matches(name.replace("-", "_"), options, 1)
            raise UserError(f"{path}: {name!r} is no option" + (f"; {alike[0]!r} is one" if alike else ""))
    return {name: value for name, value in values.items() if value is not None}


def write_config(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `config.yaml` into `folder`; options without a value are left out."""
    plain = {name: value for name, value in values.items() if value is not None}
    # Escaped, because some characters that YAML counts as line ends (U+0085) do not survive as they are.
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=False)
    (folder / CONFIG).write_text(f"# train_ditto --config {CONFIG}\n{text}", encoding="utf-8")
