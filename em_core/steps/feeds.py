"""The step `em_match_feeds`: brings the decisions of landed feeds up to date; only what is affected is matched again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.step import Outcome, Say, add_feed_arguments, add_store_arguments, chosen_feeds, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_match_feeds", description=__doc__, allow_abbrev=False)
    add_store_arguments(out)
    add_feed_arguments(out)
    add = out.add_argument
    add("--matcher", type=Path, required=True, metavar="FOLDER", help="matcher folder")
    add("--full", action="store_true", help="match every record again")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Match the feeds and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.feeds import match_feeds
    from em_core.matcher import Matcher
    from em_core.storage.places import open_store

    store = open_store(arguments.tables)
    feeds, matcher = chosen_feeds(arguments, store), Matcher.load(arguments.matcher)
    say(f"matching {len(feeds):,} feed(s) by matcher {matcher.version}")
    done = match_feeds(store, matcher, feeds, run_id=arguments.run_id, full=arguments.full, progress=True, say=say)
    return Outcome(
        done.digest,
        {
            "records": done.records,
            "reused": done.reused,
            "rematched": done.records - done.reused,
            "rows_changed": done.changed,
            **{decision: done.decisions[decision] for decision in ("auto_match", "review", "no_match")},
            "methods": dict(done.methods),
            "why_matched": dict(done.why),
            "seconds": {name: round(value, 2) for name, value in done.timings.seconds.items()},
            "ditto_pairs": done.timings.ditto_pairs,
            "matcher_version": done.matcher_version,
            "model_version": done.model_version,
        },
        store,
        done.records,
        done.timings.ditto_pairs,
    )


if __name__ == "__main__":
    raise SystemExit(main())
