"""The step `em_match_feeds`: brings the decisions of landed feeds up to date; only what is affected is matched again."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.step import Outcome, Say, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_match_feeds", description=__doc__, allow_abbrev=False)
    add = out.add_argument
    add("--tables", type=Path, required=True, metavar="FOLDER", help="Delta tables, read and written")
    add("--matcher", type=Path, required=True, metavar="FOLDER", help="matcher folder")
    add("--feed", action="append", default=[], metavar="FILE", help="name of a landed file; may be repeated")
    add("--feeds-file", type=Path, metavar="FILE", help="text file with such names, one on each line")
    add("--run-id", metavar="ID", help="written to the rows that are decided (default: a new one)")
    add("--full", action="store_true", help="match every record again")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Match the feeds and return 0."""
    return run_step(parser(), _work, argv)


def _feeds(arguments: argparse.Namespace) -> list[str]:
    from em_core.errors import UserError

    feeds = list(arguments.feed)
    if arguments.feeds_file is not None:
        try:
            feeds += arguments.feeds_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise UserError(f"{arguments.feeds_file}: cannot be read ({error.strerror})") from None
    if not feeds:
        raise UserError("no feed is named: give --feed or --feeds-file")
    return feeds


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    feeds = _feeds(arguments)
    from em_core.feeds import match_feeds
    from em_core.matcher import Matcher
    from em_core.storage import DeltaStore

    store, matcher = DeltaStore(arguments.tables), Matcher.load(arguments.matcher)
    say(f"matching {len(feeds):,} feed(s) by matcher {matcher.version}")
    run_id = arguments.run_id or uuid.uuid4().hex
    done = match_feeds(store, matcher, feeds, run_id=run_id, full=arguments.full, progress=True, say=say)
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
    )


if __name__ == "__main__":
    raise SystemExit(main())
