"""What each retrieval channel finds: recall at k over known validation queries and over noisy copies of reference rows.

python benchmarks/retrieval_channels.py --data ../shared/data/companies [--no-vectors]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from companies import load, queries

from em_core.pairs.noise import NoiseSettings, perturb
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.keys import KEYS
from em_core.schema import prepare_reference, prepare_source
from em_core.text.profile import profile

_AT = (1, 5, 10, 20)
_COPIES = 5_000


def recall(found: pd.DataFrame, hit: np.ndarray, count: int) -> list[str]:
    """Share of `count` queries with a right entity among the first k candidates, for each k."""
    best = np.full(count, np.inf)
    np.minimum.at(best, found["query"].to_numpy()[hit], found["rank"].to_numpy()[hit])
    return [f"{(best < k).mean():.4f}" for k in _AT]


def ways(vectors: bool) -> dict[str, dict[str, object]]:
    """Name of a way to search -> its settings."""
    off: dict[str, object] = {"encoder": None, "lexical": False, "keys": ()}
    lexical = off | {"lexical": True}
    out = {
        "character n-grams, every posting": lexical | {"posting_budget": None},
        **{f"character n-grams, budget {b:,}": lexical | {"posting_budget": b} for b in (1_000, 2_000, 5_000, 10_000)},
        "keys, ranked by the cosine": off | {"keys": KEYS},
        "n-grams and keys": lexical | {"keys": KEYS},
        **{f"n-grams and the key {code}": lexical | {"keys": (code,)} for code in KEYS},
        **{f"n-grams and keys, {n} a key": lexical | {"keys": KEYS, "per_key": n} for n in (1, 5, 10)},
    }
    if vectors:
        encoder: dict[str, object] = {"encoder": RetrievalSettings().encoder}
        out |= {"vectors, ranked by both cosines": off | encoder, "n-grams and vectors": lexical | encoder}
        out |= {f"all, vector weight {w}": {**encoder, "vector_weight": w} for w in (0.1, 0.3, 0.6, 1.0)}
    return out


def show(
    title: str,
    index: CandidateIndex,
    records: pd.DataFrame,
    is_hit: Callable[[pd.DataFrame], np.ndarray],
    vectors: bool,
) -> None:
    """Print one table as Markdown."""
    print(f"\n{title}, {len(records):,} records\n")
    print("| channels | " + " | ".join(f"recall@{k}" for k in _AT) + " | search seconds |")
    print("|---|" + "---|" * (len(_AT) + 1))
    for name, chosen in ways(vectors).items():
        searched = index.with_settings(RetrievalSettings.model_validate(chosen))
        start = time.perf_counter()
        found = searched.search(records)
        seconds = time.perf_counter() - start
        cells = recall(found, is_hit(found), len(records))
        print(f"| {name} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with reference.csv and the queries")
    parser.add_argument("--vectors", action=argparse.BooleanOptionalAction, default=True, help="the vector channel too")
    arguments = parser.parse_args()
    table, _, valid = load(arguments.data, None)
    valid = valid[valid["unseen"] != "True"].reset_index(drop=True)
    reference = prepare_reference(table.drop(columns="group_id"))
    settings = RetrievalSettings() if arguments.vectors else RetrievalSettings(encoder=None)
    index = CandidateIndex.build(reference, settings)
    groups, wanted = table["group_id"].to_numpy(), valid["group_id"].to_numpy()

    def same_group(found: pd.DataFrame) -> np.ndarray:
        return groups[found["entity"]] == wanted[found["query"]]

    records = profile(prepare_source(queries(valid, country=True)))
    show("Known validation queries, name and country", index, records, same_group, arguments.vectors)

    picked = np.sort(np.random.default_rng(0).choice(len(reference), min(_COPIES, len(reference)), replace=False))
    noisy = perturb(reference.iloc[picked].reset_index(drop=True), 5, NoiseSettings(), reference)

    def same_entity(found: pd.DataFrame) -> np.ndarray:
        return found["entity"].to_numpy() == picked[found["query"]]

    show("Noisy copies of reference rows", index, profile(noisy), same_entity, arguments.vectors)


if __name__ == "__main__":
    main()
