"""This project: fit (from labels, or from the reference alone) and match.

First the entity that the matcher decided for, or would have (its confidence is the score), then the other candidates by probability.
The column `decision` says what became of the record.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from common import SHOWN, Clock, parser, read, write

from em_core.fit import fit
from em_core.matcher import Matcher, Timings
from em_core.pairs.training import prepare_labels
from em_core.schema import prepare_reference, prepare_source
from em_core.settings import FitSettings

# What the noise model must not show to a matcher whose queries have nothing but a name.
_BESIDE_THE_NAME = ("country", "region", "city", "postal_code", "website", "industry", "ticker", "exchange")


def main() -> None:
    """Fit, then answer every query."""
    arguments = parser(__doc__)
    arguments.add_argument("--no-ditto", action="store_true")
    options = arguments.parse_args()
    reference, queries = prepare_reference(read(options.reference)), read(options.queries)
    labels = None
    if options.train is not None:
        train = read(options.train)
        labels = prepare_labels(train.assign(source_id=train.index.astype(str)), reference)
    settings = FitSettings()
    settings.ditto.enabled = not options.no_ditto
    if "country" not in queries:
        kept = dict.fromkeys(_BESIDE_THE_NAME, 0.0)
        settings.pairs.noise = settings.pairs.noise.model_copy(update={"keep": kept})
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        fit(reference, Path(scratch) / "matcher", settings, labels)
        clock.lap("fit")
        matcher, timings = Matcher.load(Path(scratch) / "matcher"), Timings()
        source = prepare_source(queries.assign(source_id=queries.index.astype(str)), system="benchmark")
        clock.lap("open")
        results = matcher.match(source, timings=timings)
        clock.lap("match")
        found = matcher.candidates(source, SHOWN)
    nearest = results["evidence"].str.extract(r'"entity_id": "([^"]+)"')[0]
    best = results["matched_entity_id"].where(results["matched_entity_id"].notna(), nearest)
    first = pd.DataFrame(
        {"query": results.index, "entity_id": best, "score": results["confidence"].fillna(0.0), "decision": results["decision"], "rank": -1}
    ).dropna(subset=["entity_id"])  # fmt: skip
    others = found.rename(columns={"row": "query", "place": "rank"})[["query", "entity_id", "rank"]]
    answers = pd.concat([first, others], ignore_index=True).sort_values(["query", "rank"], kind="stable")
    answers = answers.drop_duplicates(["query", "entity_id"]).drop(columns="rank")
    write(answers, options.out)
    stages = {name: round(value, 1) for name, value in timings.seconds.items()}
    clock.report(**stages, sent=timings.ditto_pairs, pairs=timings.pairs)


if __name__ == "__main__":
    main()
