"""Exchange short names against a master of listed companies: ours beside plain baselines, one run, one machine.

    python benchmarks/companies.py --data ../shared/data/companies [--labels | --no-labels] [--no-ditto] [--limit N]

Validation queries only; the groups marked `unseen` (of both splits) are dropped from the reference, so their right answer is
none. Another entity of the same group counts as right. `source_id` and `source_system` are never features.
"""

from __future__ import annotations

import argparse
import logging
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from rapidfuzz import fuzz, process

from em_core.evaluation.curves import recall_at_precision
from em_core.evaluation.intervals import clopper_pearson
from em_core.files import read_table
from em_core.fit import fit
from em_core.matcher import Matcher, Timings
from em_core.pairs.training import prepare_labels
from em_core.retrieval.lexical import LexicalIndex
from em_core.schema import prepare_reference, prepare_source
from em_core.settings import FitSettings
from em_core.text.fold import fold_all
from em_core.text.profile import profile

_COLUMNS = (
    "method", "queries", "recall@10", "top-1", "R@P99", "R@P95", "auto precision", "auto recall", "seconds", "peak MB",
)  # fmt: skip


def load(folder: Path, limit: int | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Reference without the unseen groups, training and validation queries."""
    reference, train, valid = (read_table(folder / f"{n}.csv") for n in ("reference", "queries_train", "queries_valid"))
    unseen = {g for q in (train, valid) for g in q.loc[q["unseen"] == "True", "group_id"]}
    reference = reference[~reference["group_id"].isin(unseen)].reset_index(drop=True)
    if limit is not None:
        valid = valid.sample(min(limit, len(valid)), random_state=0).reset_index(drop=True)
    return reference, train, valid


def queries(frame: pd.DataFrame, country: bool) -> pd.DataFrame:
    """What the matcher may see of a query."""
    return frame[["source_system", "source_id", "name", *(["country"] if country else [])]]


def row(
    method: str,
    valid: pd.DataFrame,
    group: np.ndarray,
    confidence: np.ndarray,
    recall: float | None,
    seconds: str,
    auto: np.ndarray | None = None,
) -> list[dict[str, object]]:
    """Table rows for all queries and for the hard ones. `group`: group of each query's answer, "" = none."""
    rows = []
    known, right = (valid["unseen"] != "True").to_numpy(), group == valid["group_id"].to_numpy()
    for label, mask in (
        ("all", np.ones(len(valid), dtype=bool)),
        ("not primary", (valid["primary"] != "True").to_numpy()),
    ):
        count = int((known & mask).sum())
        point = {t: recall_at_precision(confidence[mask], right[mask], count, t).recall or 0.0 for t in (0.99, 0.95)}
        out: dict[str, object] = {
            "method": method, "queries": f"{label} ({mask.sum():,}; {count:,} known)",
            "recall@10": "" if recall is None else f"{recall:.4f}" if label == "all" else "",
            "top-1": f"{right[known & mask].mean():.4f}", "R@P99": f"{point[0.99]:.4f}", "R@P95": f"{point[0.95]:.4f}",
        }  # fmt: skip
        if auto is not None:
            took = auto & mask
            low, high = clopper_pearson(int((right & took).sum()), int(took.sum()))
            out |= {
                "auto precision": f"{right[took].mean():.4f} [{low:.4f}, {high:.4f}] n={took.sum():,}",
                "auto recall": f"{(right & took & known).sum() / count:.4f}",
            }
        rows.append(out | {"seconds": seconds, "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024})
    return rows


def tfidf(reference: pd.DataFrame, valid: pd.DataFrame) -> list[dict[str, object]]:
    """Character TF-IDF alone: the nearest name, its cosine as confidence."""
    start = time.perf_counter()
    index = LexicalIndex.build(fold_all(reference["name"]))
    encoded = index.encode(fold_all(valid["name"]))
    query, found = index.search(encoded, 10)
    seconds = time.perf_counter() - start
    groups = reference["group_id"].to_numpy()
    hit = groups[found] == valid["group_id"].to_numpy()[query]
    known = (valid["unseen"] != "True").to_numpy()
    recalled = np.zeros(len(valid), dtype=bool)
    recalled[query[hit]] = True
    cosine = index.cosines(encoded, query, found)
    first = pd.DataFrame({"q": query, "e": found, "c": cosine}).groupby("q").head(1)
    group, confidence = np.full(len(valid), "", dtype=object), np.zeros(len(valid))
    group[first["q"]], confidence[first["q"]] = groups[first["e"]], first["c"]
    return row("TF-IDF only", valid, group, confidence, recalled[known].mean(), f"{seconds:.1f}")


def rapidfuzz_best(
    reference: pd.DataFrame, valid: pd.DataFrame, scorer: Callable[..., float], name: str
) -> list[dict[str, object]]:
    """The most similar name by one rapidfuzz scorer, its score as confidence."""
    start = time.perf_counter()
    choices, groups = fold_all(reference["name"]), reference["group_id"].to_numpy()
    texts = fold_all(valid["name"])
    group, confidence = np.full(len(valid), "", dtype=object), np.zeros(len(valid))
    for begin in range(0, len(texts), 256):
        scores = process.cdist(texts[begin : begin + 256], choices, scorer=scorer, workers=2, dtype=np.uint8)
        best = scores.argmax(axis=1)
        group[begin : begin + 256], confidence[begin : begin + 256] = groups[best], scores.max(axis=1)
    return row(name, valid, group, confidence, None, f"{time.perf_counter() - start:.1f}")


def ours(
    reference: pd.DataFrame, train: pd.DataFrame, valid: pd.DataFrame, country: bool, labelled: bool, ditto: bool
) -> list[dict[str, object]]:
    """Fit (from labels or from the reference alone) and match."""
    # A master whose country nobody asks for stays what it is; the query side decides what can be compared.
    prepared = prepare_reference(reference.drop(columns=["group_id"]))
    labels = None
    if labelled:
        frame = queries(train, country).assign(entity_id=train["entity_id"].where(train["unseen"] != "True", ""))
        labels = prepare_labels(frame, prepared)
    settings = FitSettings()
    settings.ditto.enabled = ditto
    if not country:
        settings.pairs.noise = settings.pairs.noise.model_copy(
            update={
                "keep": dict.fromkeys(
                    ("country", "region", "city", "postal_code", "website", "industry", "ticker", "exchange"), 0.0
                )
            }
        )
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        fitted = fit(prepared, Path(scratch) / "matcher", settings, labels, progress=False)
        fit_seconds = time.perf_counter() - start
        logging.info("fit report: %s", fitted.report)
        matcher, timings = Matcher.load(Path(scratch) / "matcher"), Timings()
        source = prepare_source(queries(valid, country))
        start = time.perf_counter()
        results = matcher.match(source, timings=timings)
        match_seconds = time.perf_counter() - start
        logging.info("match seconds: %s; %s of %s pairs to Ditto", timings.seconds, timings.ditto_pairs, timings.pairs)
        ranked = matcher.engine.index.search(profile(source))
    # Ranking metrics look at the best candidate even where the decision is no_match.
    groups = reference.set_index("entity_id")["group_id"]
    best = results["matched_entity_id"].where(
        results["matched_entity_id"].notna(), results["evidence"].str.extract(r'"entity_id": "([^"]+)"')[0]
    )
    group = best.map(groups).fillna("").to_numpy(dtype=object)
    hit = groups.to_numpy()[ranked["entity"]] == valid["group_id"].to_numpy()[ranked["query"]]
    known = (valid["unseen"] != "True").to_numpy()
    recalled = np.zeros(len(valid), dtype=bool)
    recalled[ranked["query"][hit & (ranked["rank"] < 10)]] = True
    name = f"ours, {'labels' if labelled else 'no labels'}, {'with country' if country else 'name only'}{'' if ditto else ', no Ditto'}"
    auto = (results["decision"] == "auto_match").to_numpy()
    return row(
        name, valid, group, results["confidence"].fillna(0).to_numpy(), recalled[known].mean(),
        f"fit {fit_seconds:.0f}, match {match_seconds:.0f} ({len(valid) / match_seconds:,.0f}/s)", auto,
    )  # fmt: skip


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with reference.csv, queries_train.csv, queries_valid.csv"
    )
    parser.add_argument("--limit", type=int, help="so many validation queries only")
    parser.add_argument(
        "--labels", action=argparse.BooleanOptionalAction, help="only with (without) training labels; default: both"
    )
    parser.add_argument(
        "--country", action=argparse.BooleanOptionalAction, help="only with (without) country; default: both"
    )
    parser.add_argument(
        "--ditto", action=argparse.BooleanOptionalAction, help="only with (without) Ditto; default: with"
    )
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    reference, train, valid = load(arguments.data, arguments.limit)
    print("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS), flush=True)
    if arguments.baselines:
        show(tfidf(reference, valid))
        show(rapidfuzz_best(reference, valid, fuzz.token_sort_ratio, "rapidfuzz token_sort"))
        show(rapidfuzz_best(reference, valid, fuzz.ratio, "rapidfuzz ratio"))
    for labelled in (True, False) if arguments.labels is None else (arguments.labels,):
        for country in (False, True) if arguments.country is None else (arguments.country,):
            show(ours(reference, train, valid, country, labelled, arguments.ditto is not False))


def show(rows: list[dict[str, object]]) -> None:
    """Print finished rows."""
    for row in rows:
        print("| " + " | ".join(str(row.get(column, "")) for column in _COLUMNS) + " |", flush=True)


if __name__ == "__main__":
    main()
