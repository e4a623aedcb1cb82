"""Members of one group: what ties one reference entity to another, so that the right group may be the wrong entity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from em_core.text.compare import compare_names
from em_core.text.fold import over_distinct


def group_ties(reference: pd.DataFrame, entities: pd.DataFrame, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) what the entity `second` is to `first` (positions, -1 = none), empty where nothing ties them.

    `its parent`, `its subsidiary`, `of the same parent` by `parent_id`; else names that differ in designators alone (holding, branch,
    number, fund, share class). `entities`: profiles of `reference`.
    """
    out = np.full(len(first), "", dtype=object)
    rows = np.flatnonzero((first >= 0) & (second >= 0))
    if not len(rows):
        return out
    one, other = first[rows], second[rows]
    ids, parents = reference["entity_id"].to_numpy(dtype=object), reference["parent_id"].to_numpy(dtype=object)
    mine, others = pd.notna(parents[one]), pd.notna(parents[other])
    same_parent = mine & others & (parents[one] == parents[other])
    by_register = np.select(
        [mine & (parents[one] == ids[other]), others & (parents[other] == ids[one]), same_parent],
        ["its parent", "its subsidiary", "of the same parent"],
        "",
    )
    out[rows] = by_register
    left = rows[by_register == ""]
    out[left] = _by_name(entities, first[left], second[left])
    return out


def _by_name(entities: pd.DataFrame, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) how the names of two entities say that they are of one group."""
    core, compact = (entities[column].to_numpy(dtype=object) for column in ("core", "compact"))
    designators = entities["designators"].to_numpy(dtype=object)
    mine, others = over_distinct(designators[one], _telling, ""), over_distinct(designators[other], _telling, "")
    said = np.full(len(one), "", dtype=object)
    same_core = (compact[one] == compact[other]) & (compact[one] != "")
    for row in np.flatnonzero(same_core & (mine != others)):
        said[row] = f"same name, another designator ({mine[row] or 'none'} / {others[row] or 'none'})"
    counted = over_distinct(core[one], _counted, False).astype(bool) | over_distinct(
        core[other], _counted, False
    ).astype(bool)
    rest = np.flatnonzero(~same_core & ((mine != others) | counted))
    relation = compare_names(entities.iloc[one[rest]], entities.iloc[other[rest]])["relation"].to_numpy()
    said[rest[relation == "group"]] = "another member of the group by its name"
    return said


def _telling(designators: str) -> str:
    """Without the condition: a firm in liquidation is the same firm."""
    return " ".join(code for code in designators.split() if code != "liquidation")


def _counted(core: str) -> bool:
    """A number or a single letter stands in the name: Wind Park 12, Leasing A."""
    return any(len(word) == 1 or any(c.isdigit() for c in word) for word in core.split())
