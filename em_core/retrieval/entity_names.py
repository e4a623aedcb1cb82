"""Every name of every reference entity: its own, its aliases, and those inside its text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from em_core.text.name_table import name_table
from em_core.text.names import ParsedName

#: What is kept of a parsed name.
NAME_COLUMNS = ("written", *ParsedName._fields, "compact", "search", "name_key", "core_key")


def entity_names(entities: pd.DataFrame, aliases: pd.Series) -> pd.DataFrame:
    """Names of reference profiles: `entity` (position), `alias` (bool), `written`, and the parsed columns, search text and keys.

    The entities' own names come first, in their order. `aliases`: lists of other names, same length. Other names whose key is that of the
    entity's own name are left out.
    """
    main = entities[list(NAME_COLUMNS)].assign(entity=np.arange(len(entities)), alias=False)
    given = [(row, str(other)) for row, others in enumerate(aliases) for other in others]
    rows, texts = other_names(entities)
    if not len(rows) and not given:
        return main.reset_index(drop=True)
    texts = np.array([*(text for _, text in given), *texts], dtype=object)
    owner = np.array([*(row for row, _ in given), *rows], dtype=np.int64)
    more = name_table(texts)[list(NAME_COLUMNS)].assign(entity=owner, alias=True)
    more = more[more["name_key"].to_numpy() != main["name_key"].to_numpy()[owner]]
    return pd.concat([main, more], ignore_index=True)


def other_names(profiles: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Former and trade names inside the text of n profiles: (position, name as written)."""
    inside = [(row, other) for row, also in enumerate(profiles["also"]) for kind, other in also if kind != "care_of"]
    rows = np.array([row for row, _ in inside], dtype=np.int64)
    return rows, np.array([text for _, text in inside], dtype=object)
