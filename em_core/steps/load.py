"""The steps `em_load_reference` and `em_land_feeds`: files of a folder or volume become checked tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.step import Outcome, Say, add_store_arguments, optional_path, run_step


def reference_parser() -> argparse.ArgumentParser:
    """The command line of `em_load_reference`."""
    out = argparse.ArgumentParser(
        prog="em_load_reference", allow_abbrev=False,
        description="The master's file becomes bronze.reference_entities: headers mapped, countries and keys checked.",
    )  # fmt: skip
    add_store_arguments(out)
    out.add_argument("--reference", type=Path, required=True, metavar="FILE", help="CSV, Parquet or a Delta folder")
    out.add_argument("--mapping", type=optional_path, metavar="FILE", help="YAML file that maps the file's headers")
    return out


def load_reference(argv: Sequence[str] | None = None) -> int:
    """Load the master and return 0."""
    return run_step(reference_parser(), _load_reference, argv)


def _load_reference(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.files import read_mapping
    from em_core.reference import load_reference as load
    from em_core.storage.places import open_store

    store = open_store(arguments.tables)
    loaded = load(store, arguments.reference, None if arguments.mapping is None else read_mapping(arguments.mapping))
    say(f"{len(loaded.rows):,} entities: {loaded.came:,} came, {loaded.gone:,} went")
    told = {"entities": len(loaded.rows), "came": loaded.came, "gone": loaded.gone, "table_version": loaded.version}
    return Outcome(loaded.digest, told, store, len(loaded.rows))


def feeds_parser() -> argparse.ArgumentParser:
    """The command line of `em_land_feeds`."""
    out = argparse.ArgumentParser(
        prog="em_land_feeds", allow_abbrev=False,
        description="Feed files become rows of bronze.source_entities. A file that cannot be read goes to the folder "
        "quarantine beside them, with the reason; what it had delivered before stays, and the others go on.",
    )  # fmt: skip
    add_store_arguments(out)
    out.add_argument("--landing", type=Path, required=True, metavar="FOLDER", help="folder that feeds land in")
    out.add_argument(
        "--feed", action="append", default=[], metavar="FILE", help="only this file of the folder; may be repeated"
    )
    return out


def land_feeds(argv: Sequence[str] | None = None) -> int:
    """Load the feeds and return 0."""
    return run_step(feeds_parser(), _land_feeds, argv)


def _land_feeds(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.drop import LocalDrop
    from em_core.errors import UserError
    from em_core.feeds import land_feeds as land
    from em_core.feeds import landed_files
    from em_core.files import fingerprint_texts
    from em_core.quarantine import quarantine
    from em_core.storage.places import open_store

    for name in arguments.feed:
        if Path(name).name != name:
            raise UserError(f"--feed {name}: wants the name of a file in --landing, not a path")
    files = arguments.feed or landed_files(arguments.landing)
    if not files:
        raise UserError(f"{arguments.landing}: no feed has landed")
    store = open_store(arguments.tables)
    done = land(store, arguments.landing, files)
    places = quarantine(store, LocalDrop(arguments.landing), done.broken, arguments.run_id)
    for file, reason in done.broken.items():
        say(f"{reason} (quarantined: {places[file]})")
    if not done.rows:
        raise UserError(f"no file could be read; the first: {next(iter(done.broken.values()))}")
    records = sum(done.rows.values())
    told = {
        "files": len(done.rows),
        "records": records,
        "broken": done.broken,
        "quarantined": places,
        "without_name": done.without_name,
        **done.counts,
    }
    return Outcome(fingerprint_texts([done.digests[file] for file in sorted(done.rows)]), told, store, records)
