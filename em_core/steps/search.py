"""The step `em_search_index`: an AI Search index holds the names of a candidate index with their vectors; made, then only changed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.step import Outcome, Say, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_search_index", description=__doc__, allow_abbrev=False)
    add = out.add_argument
    add("--index", type=Path, required=True, metavar="FOLDER", help="index folder that em_build_index wrote")
    add("--endpoint", required=True, metavar="NAME", help="AI Search endpoint; made if it is not there")
    add("--name", required=True, metavar="NAME", help="index, catalog.schema.name")
    add(
        "--kind",
        default="STANDARD",
        choices=("STANDARD", "STORAGE_OPTIMIZED"),
        help="of an endpoint that is made (default: STANDARD)",
    )
    add("--state", type=Path, required=True, metavar="FILE", help="Parquet file that remembers what the index holds")
    add(
        "--seconds",
        type=float,
        default=3600,
        metavar="S",
        help="how long to wait for endpoint and index (default: 3600)",
    )
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Bring the index up to date and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.retrieval.ai_search import AiSearchIndex
    from em_core.retrieval.index import CandidateIndex
    from em_core.retrieval.searched import bring_up_to_date
    from em_core.workspace import workspace_client

    index = CandidateIndex.load(arguments.index)
    width = 0 if index.vector is None else index.vector.facts.dimensions
    remote = AiSearchIndex(
        workspace_client(), arguments.endpoint, arguments.name, width, arguments.kind, seconds=arguments.seconds
    )
    done = bring_up_to_date(remote, index, arguments.state)
    say(f"{done['written']:,} names written, {done['deleted']:,} deleted, {done['unchanged']:,} as before")
    return Outcome(index.version, {"index": arguments.name, **done})


if __name__ == "__main__":
    raise SystemExit(main())
