"""The step `em_publish_results`: decisions become the published ones, what flipped is written down, and nothing contradicts the policy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from em_core.steps.step import Outcome, Say, add_feed_arguments, add_store_arguments, chosen_feeds, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_publish_results", description=__doc__, allow_abbrev=False)
    add_store_arguments(out)
    add_feed_arguments(out)
    out.add_argument(
        "--accept-shift", action="store_true", help="publish although decisions are distributed otherwise than before"
    )
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Publish and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.errors import UserError
    from em_core.evaluation.drift import accept, measure_drift
    from em_core.feeds import publish
    from em_core.policy_table import contradictions
    from em_core.storage.names import DECISION_TABLE, FILE, POLICY_TABLE
    from em_core.storage.places import open_store

    store = open_store(arguments.tables)
    feeds = chosen_feeds(arguments, store)
    decided = store.read(DECISION_TABLE, filter={FILE: feeds})
    against = contradictions(store.read(POLICY_TABLE), decided)
    if len(against):
        raise UserError(
            f"{len(against):,} automatic match(es) lie below the threshold of their matcher; nothing is published"
        )
    drifts = measure_drift(store, decided, arguments.run_id)
    shifted = [drift.in_words() for drift in drifts if drift.shifted]
    if shifted and not arguments.accept_shift:
        raise UserError(f"{shifted[0]}; nothing is published. --accept-shift publishes it")
    if shifted:
        accept(store, arguments.run_id)
    done = publish(store, feeds, run_id=arguments.run_id)
    say(f"{done.records:,} records, {done.changed:,} rows changed, {len(done.flips):,} flips")
    flips = {str(kind): int(count) for kind, count in done.flips["change"].value_counts().items()}
    return Outcome(
        done.digest, {"records": done.records, "rows_changed": done.changed, "flips": flips}, store, done.records
    )


if __name__ == "__main__":
    raise SystemExit(main())
