"""Members of one group: what ties one reference entity to another, so that the right group may be the wrong entity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from em_core.retrieval.table import EntityTable
from em_core.text.compare import compare_names
from em_core.text.fold import over_distinct
from em_core.text.names import ParsedName


def group_ties(reference: EntityTable, entities: EntityTable, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) what the entity `second` is to `first` (positions, -1 = none), empty where nothing ties them.

    `its parent`, `its subsidiary`, `of the same parent` by `parent_id`; else names that differ in designators alone (holding, branch,
    number, fund, share class). `entities`: profiles of `reference`.
    """
    out = np.full(len(first), "", dtype=object)
    rows = np.flatnonzero((first >= 0) & (second >= 0))
    if not len(rows):
        return out
    one, other = first[rows], second[rows]
    left, right = (reference.take(side, ("entity_id", "parent_id")) for side in (one, other))
    parent, others_parent = left["parent_id"].to_numpy(), right["parent_id"].to_numpy()
    mine, others = pd.notna(parent), pd.notna(others_parent)
    by_register = np.select(
        [
            mine & (parent == right["entity_id"].to_numpy()),
            others & (others_parent == left["entity_id"].to_numpy()),
            mine & others & (parent == others_parent),
        ],
        ["its parent", "its subsidiary", "of the same parent"],
        "",
    )
    out[rows] = by_register
    rest = rows[by_register == ""]
    columns = (*ParsedName._fields, "compact")
    out[rest] = _by_name(entities.take(first[rest], columns), entities.take(second[rest], columns))
    return out


def _by_name(one: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """(m,) how the names of two entities, rows of two tables of profiles, say that they are of one group."""
    mine, others = (over_distinct(side["designators"], _telling, "") for side in (one, other))
    said = np.full(len(one), "", dtype=object)
    same_core = (one["compact"].to_numpy() == other["compact"].to_numpy()) & (one["compact"] != "").to_numpy()
    for row in np.flatnonzero(same_core & (mine != others)):
        said[row] = f"same name, another designator ({mine[row] or 'none'} / {others[row] or 'none'})"
    counted = [over_distinct(side["core"], _counted, False).astype(bool) for side in (one, other)]
    rest = np.flatnonzero(~same_core & ((mine != others) | counted[0] | counted[1]))
    relation = compare_names(one.iloc[rest], other.iloc[rest])["relation"].to_numpy()
    said[rest[relation == "group"]] = "another member of the group by its name"
    return said


def _telling(designators: str) -> str:
    """Without the condition: a firm in liquidation is the same firm."""
    return " ".join(code for code in designators.split() if code != "liquidation")


def _counted(core: str) -> bool:
    """A number or a single letter stands in the name: Wind Park 12, Leasing A."""
    return any(len(word) == 1 or any(c.isdigit() for c in word) for word in core.split())
