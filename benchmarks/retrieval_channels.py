"""What each retrieval channel finds: recall at k over known validation queries.

python benchmarks/retrieval_channels.py --data ../shared/data/companies
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from companies import load

from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.retrieval.vectors import NameEncoder
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
    arguments = parser.parse_args()
    reference, _, valid = load(arguments.data, None)
    groups, wanted = reference["group_id"].to_numpy(), valid["group_id"].to_numpy()
    known, names = (valid["unseen"] != "True").to_numpy(), search_texts(valid["name"])
    index = CandidateIndex.build(prepare_reference(reference.drop(columns="group_id")), RetrievalSettings())
    print("| channels | " + " | ".join(f"recall@{k}" for k in _AT) + " | search seconds |")
    print("|---|" + "---|" * (len(_AT) + 1))

    def show(name: str, found: pd.DataFrame, seconds: float) -> None:
        print(f"| {name} | " + " | ".join(recall(found, groups, wanted, known)) + f" | {seconds:.1f} |", flush=True)

    lexical = CandidateIndex(
        index.reference, RetrievalSettings(encoder=None), index.documents, index.owner, index.lexical, None
    )
    start = time.perf_counter()
    show("character n-grams", lexical.search(names), time.perf_counter() - start)
    start = time.perf_counter()
    assert index.vector is not None
    query, document = index.vector.search(NameEncoder().encode(names), max(_AT))
    vectors = pd.DataFrame({"query": query, "entity": index.owner[document]}).drop_duplicates()
    show("vectors", vectors.assign(rank=vectors.groupby("query").cumcount()), time.perf_counter() - start)
    for weight in (0.1, 0.3, 0.6, 1.0):
        index.settings.vector_weight = weight
        start = time.perf_counter()
        show(f"fused, vector weight {weight}", index.search(names), time.perf_counter() - start)


if __name__ == "__main__":
    main()
