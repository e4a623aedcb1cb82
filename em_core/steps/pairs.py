"""The step `em_training_pairs`: records with known answers, Ditto's pairs out of them, and the records that matchers are compared by."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from em_core.steps.step import Outcome, Say, add_store_arguments, optional_path, run_step


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(prog="em_training_pairs", description=__doc__, allow_abbrev=False)
    add_store_arguments(out)
    add = out.add_argument
    add("--index", type=Path, required=True, metavar="FOLDER", help="index folder that em_build_index wrote")
    add("--output-path", type=Path, required=True, metavar="FILE", help="Parquet file for train_ditto")
    add(
        "--labels",
        type=optional_path,
        metavar="FOLDER",
        help="folder with known answers: training.csv or .parquet, evaluation.csv or .parquet",
    )
    add("--config", type=optional_path, metavar="FILE", help="YAML file with settings; see docs/operations.md")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Make the records and return 0."""
    return run_step(parser(), _work, argv)


def _work(arguments: argparse.Namespace, say: Say) -> Outcome:
    from em_core.files import fingerprint, write_table
    from em_core.pairs.tables import evaluation_table, training_tables
    from em_core.settings import load_settings
    from em_core.storage.places import open_store

    settings, store = load_settings(arguments.config).pairs, open_store(arguments.tables)
    queries, pairs, labels = training_tables(store, arguments.index, settings, _file(arguments.labels, "training"))
    evaluation = evaluation_table(store, settings, _file(arguments.labels, "evaluation"))
    write_table(pairs, arguments.output_path)
    say(f"{len(queries):,} records with known answers, {labels:,} of them labels, gave {len(pairs):,} pairs")
    told = {"records": len(queries), "labels": labels, "pairs": len(pairs), "right_pairs": int(pairs["label"].sum()),
            "evaluation_records": len(evaluation)}  # fmt: skip
    return Outcome(fingerprint(pairs), told, store, len(queries))


def _file(folder: Path | None, name: str) -> Path | None:
    if folder is None:
        return None
    return next((path for suffix in ("parquet", "csv") if (path := folder / f"{name}.{suffix}").is_file()), None)


if __name__ == "__main__":
    raise SystemExit(main())
