"""What each part of the scorer buys: the same candidates, scored with one family of features or one model left out.

    python benchmarks/scorer_parts.py --data DIR [--country] [--labels N] [--parts NAME ...]

Data and rules as in `companies.py`; no Ditto. Models learn from N of the training queries, as a fit without Ditto does (thresholds'
share left out); figures are of the validation queries, known ones of their listing's own row left out ("not primary"). Log loss
is that of the best candidate being right.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from companies import load, queries

from em_core.decision.decide import rank
from em_core.decision.scorer import Scorer, ScorerSettings, fit_list_model, fit_pair_model
from em_core.evaluation.curves import recall_at_precision
from em_core.matcher import Engine, Timings
from em_core.pairs.splits import split_of
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.schema import prepare_reference, prepare_source
from em_core.settings import FitSettings
from em_core.text.profile import profile

SEED = FitSettings().pairs.seed
_LEXICAL = "candidates by n-grams alone"
FAMILIES: dict[str, tuple[str, ...]] = {
    "words side by side": ("aligned_query", "aligned_entity", "unexplained_query", "unexplained_entity", "aligned_gap"),
    "word rarity": ("shared_query", "shared_entity", "rarest_missing_query", "rarest_missing_entity", "rarity_query"),
    "edit similarity": ("core_ratio", "core_gap", "core_sorted", "core_partial", "core_words", "core_jaro", "compact_ratio",
                        "full_ratio", "prefix"),
    "legal form and designators": ("same_form", "same_kind", "form_agreement", "country_of_form", "same_designators",
                                   "same_class", "same_numbers"),
    "the list of candidates": ("rank", "lexical_gap", "vector_gap", "core_gap", "aligned_gap", "crowd", "namesakes"),
    "country and its form": ("same_country", "country_of_form"),
    "the meaning of names": ("vector", "vector_gap"),
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """Queries of one file with candidates, features and truth."""

    frame: pd.DataFrame
    candidates: pd.DataFrame
    features: pd.DataFrame
    entity_right: np.ndarray
    group_right: np.ndarray

    @property
    def query(self) -> np.ndarray:
        """Query of each candidate."""
        return self.candidates["query"].to_numpy()


def side(engine: Engine, reference: pd.DataFrame, frame: pd.DataFrame, country: bool) -> Side:
    """Retrieve and compare."""
    records = profile(prepare_source(queries(frame, country)))
    candidates, features = engine.candidates(records, None, (records["full"] != "").to_numpy(), Timings())
    query, entity = candidates["query"].to_numpy(), candidates["entity"].to_numpy()
    known = (frame["unseen"] != "True").to_numpy()[query]
    return Side(
        frame, candidates, features,
        known & (reference["entity_id"].to_numpy()[entity] == frame["entity_id"].to_numpy()[query]),
        known & (reference["group_id"].to_numpy()[entity] == frame["group_id"].to_numpy()[query]),
    )  # fmt: skip


def scored(
    train: Side, valid: Side, splits: tuple[str, ...], dropped: tuple[str, ...], none: bool
) -> dict[str, np.ndarray]:
    """Probabilities of the validation candidates by the pair model alone and by both; `none` False learns from known records alone."""
    settings = ScorerSettings()
    known = (train.frame["unseen"] != "True").to_numpy()
    record = "none\x1f" + train.frame["source_system"] + "\x1f" + train.frame["source_id"]
    key = train.frame["entity_id"].where(known, record)
    used = (np.isin(split_of(key, SEED), splits) & (known | none))[train.query]
    one, other = (s.features.drop(columns=list(dropped)) for s in (train, valid))
    right, query = train.entity_right[used], train.query[used]
    pair_model, pair = fit_pair_model(one[used], right, pd.factorize(key)[0][query], settings)
    no_ditto = np.full(len(right), np.nan)
    list_model = fit_list_model(one[used], query, pair, no_ditto, right, settings)
    scorer = Scorer(settings, pair_model, list_model)
    alone = scorer.pair_probability(other)
    return {"pair": alone, "list": scorer.probability(other, valid.query, alone, np.full(len(alone), np.nan))}


def line(name: str, valid: Side, probability: np.ndarray, seconds: float) -> str:
    """A row of the table."""
    ranked = rank(valid.candidates, probability, len(valid.frame))
    right = np.r_[valid.group_right, False][ranked.best]
    known = (valid.frame["unseen"] != "True").to_numpy()
    loss = -np.log(np.clip(np.where(right, ranked.confidence, 1 - ranked.confidence), 1e-6, 1)).mean()
    cells = [f"{loss:.4f}"]
    for mask in (np.ones(len(known), dtype=bool), (valid.frame["primary"] != "True").to_numpy()):
        count = int((known & mask).sum())
        points = [recall_at_precision(ranked.confidence[mask], right[mask], count, t).recall or 0 for t in (0.99, 0.95)]
        cells += [f"{right[known & mask].mean():.4f}", *(f"{point:.4f}" for point in points)]
    return f"| {name} | {' | '.join(cells)} | {seconds:.0f} |"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--country", action="store_true", help="queries keep their country")
    parser.add_argument("--labels", type=int, default=10_000, help="training queries, chosen by chance")
    parser.add_argument("--parts", nargs="*", help="rows of the table; default: all")
    arguments = parser.parse_args()
    reference, train_frame, valid_frame = load(arguments.data, None)
    prepared = prepare_reference(reference.drop(columns=["group_id"]))
    train_frame = train_frame.sample(min(arguments.labels, len(train_frame)), random_state=0).reset_index(drop=True)
    index = CandidateIndex.build(prepared, RetrievalSettings())
    share, half = ("scorer", "ditto", "ditto_valid"), ("scorer",)
    rows: dict[str, tuple[tuple[str, ...], tuple[str, ...], bool, str]] = {
        "everything": (share, (), True, "list"),
        "half of the labels": (half, (), True, "list"),
        "pair model alone": (share, (), True, "pair"),
        "none of these not learned": (share, (), False, "list"),
        **{f"without {name}": (share, columns, True, "list") for name, columns in FAMILIES.items()},
        _LEXICAL: (share, ("vector", "vector_gap"), True, "list"),
    }
    print(
        "| scorer | log loss | top-1 | R@P99 | R@P95 | top-1, not primary | R@P99 | R@P95 | seconds |\n|" + "---|" * 9
    )
    searched: RetrievalSettings | None = None
    for name in arguments.parts or rows:
        splits, dropped, none, model = rows[name]
        wanted = RetrievalSettings(encoder=None, keys=()) if name == _LEXICAL else index.settings
        if wanted != searched:
            engine, searched = Engine(index.with_settings(wanted), None), wanted
            train, valid = (side(engine, reference, frame, arguments.country) for frame in (train_frame, valid_frame))
        start = time.perf_counter()
        probability = scored(train, valid, splits, dropped, none)[model]
        print(line(name, valid, probability, time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
