"""`em fit | match | explain | review | evaluate | registry`: the engine on a user's own files."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from em_core import registry_cli
from em_core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from em_core.evaluation import tables

app = typer.Typer(
    help="Give every company record the right identifier from a reference master, or a trustworthy 'none of these'.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(registry_cli.app, name="registry")
Mapping = Annotated[
    Path | None,
    typer.Option(
        help="YAML or JSON file that maps contract columns to your headers, such as `name: Firma`; known headers map by themselves."
    ),
]
_FILES = "CSV, Parquet or a Delta folder"


def _read_mapping(path: Path | None) -> dict[str, str] | None:
    from em_core.files import read_mapping

    return None if path is None else read_mapping(path)


def _system(path: Path) -> str:
    """A feed that does not name itself is called after its file."""
    return path.name.split(".")[0]


def _print_table(words: tables.Table, columns: Sequence[int] | None = None) -> None:
    """A table of the report in the terminal, its note below it; `columns` picks those that 80 characters hold."""
    from em_core.evaluation.tables import text

    shown = Table(title=words.title, caption=words.note, caption_justify="left")
    picked = range(len(words.headers)) if columns is None else columns
    for place in picked:
        shown.add_column(words.headers[place], justify="left" if place < words.text_columns else "right")
    for row in words.rows:
        shown.add_row(*(escape(text(row[place])).replace(" (", "\n(").replace(" %)", ")") for place in picked))
    Console().print(shown)


@app.command()
def fit(
    reference: Annotated[Path, typer.Option(help=f"The master to match to: {_FILES}. Needs an id and a name.")],
    out: Annotated[
        Path,
        typer.Option(help="Folder for the fitted matcher; an existing matcher is replaced when the new one is whole."),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Source records with a column entity_id (empty = truly not in the reference). "
            "Without labels, noisy copies of the reference teach the matcher."
        ),
    ] = None,
    mapping: Mapping = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings; see docs/operations.md.")] = None,
    ditto: Annotated[bool, typer.Option(help="Train the transformer for the pairs that stay open.")] = True,
    vectors: Annotated[bool, typer.Option(help="Search by name embeddings beside character n-grams.")] = True,
) -> None:
    """Learn to match records to a reference."""
    from em_core.evaluation import CandidateRecall, tables
    from em_core.evaluation.retrieval import LOST_FILE
    from em_core.files import read_table
    from em_core.fit import fit as fit_matcher
    from em_core.pairs.training import prepare_labels
    from em_core.schema import prepare_reference
    from em_core.settings import load_settings

    settings = load_settings(config)
    settings.ditto.enabled = settings.ditto.enabled and ditto
    if not vectors:
        settings.retrieval.encoder = None
    master = prepare_reference(read_table(reference), _read_mapping(mapping), str(reference))
    known = None
    if labels is not None:
        known = prepare_labels(read_table(labels), master, str(labels), _system(labels))
    fitted = fit_matcher(master, out, settings, known, progress=True)
    report = fitted.report
    table = Table(show_header=False)
    table.add_row("reference entities", f"{len(master):,}")
    if report["top_1"] is not None:
        table.add_row("right entity ranked first", f"{report['top_1']:.1%}")
    if report["recall_at_p99"] is not None:
        table.add_row("records matched by themselves at 99 % precision", f"{report['recall_at_p99']:.1%}")
    typer.echo(f"Matcher {fitted.version} in {out}")
    Console().print(table)
    recall = CandidateRecall.load(out)
    if recall.known:
        _print_table(tables.recall_by_channel(recall))
    if recall.lost:
        typer.echo(f"Records that retrieval lost: {out / LOST_FILE}")
    for sentence in (report["thresholds"], *report["sources"].values(), *report["promises"]):
        Console().print(escape(sentence))


@app.command()
def match(
    matcher: Annotated[Path, typer.Option(help="Folder that `em fit` wrote.")],
    source: Annotated[Path, typer.Option(help=f"Records to match: {_FILES}.")],
    out: Annotated[
        Path, typer.Option(help="Where the results go, by suffix: .csv, .parquet or a Delta folder (no suffix).")
    ],
    mapping: Mapping = None,
    system: Annotated[
        str | None, typer.Option(help="Name of the feed where the table does not say it; default: the file's name.")
    ] = None,
) -> None:
    """Match records: one result row for every input row, in the same order."""
    from em_core.files import read_table, write_table
    from em_core.schema import RESULT_SCHEMA, prepare_source

    records = prepare_source(read_table(source), _read_mapping(mapping), str(source), system or _system(source))
    from em_core.matcher import Matcher

    results = Matcher.load(matcher).match(records, progress=True)
    write_table(results, out, schema=RESULT_SCHEMA)
    table = Table()
    for column in ("decision", "method", "records", "share"):
        table.add_column(column, justify="right" if column in ("records", "share") else "left")
    counts = results[["decision", "method"]].value_counts().reset_index()
    for decision, method, count in counts.itertuples(index=False):
        table.add_row(str(decision), str(method), f"{count:,}", f"{count / len(results):.1%}")
    typer.echo(f"{len(results):,} records in {out}")
    Console().print(table)


@app.command()
def explain(
    matcher: Annotated[Path, typer.Option(help="Folder that `em fit` wrote.")],
    source: Annotated[Path | None, typer.Option(help=f"Records: {_FILES}.")] = None,
    record: Annotated[str | None, typer.Option("--id", help="Key (source_id) of the record in the source.")] = None,
    system: Annotated[str | None, typer.Option(help="Its feed, where several feeds have this id.")] = None,
    name: Annotated[str | None, typer.Option(help="Instead of a source: the name of one record.")] = None,
    country: Annotated[str | None, typer.Option(help="With --name: its country.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="With --name: another attribute, such as city=Bonn; may be repeated.")
    ] = None,
    best: Annotated[int, typer.Option(min=1, help="How many candidates to show.")] = 5,
    mapping: Mapping = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, for programs.")] = False,
) -> None:
    """Why one record is decided as it is: candidates, what moved them, the threshold, what would change it."""
    if (name is None) == (source is None) or (source is None) != (record is None):
        raise UserError("explain needs either --source with --id, or --name")
    if name is None and (country is not None or attribute):
        raise UserError("--country and --attribute go with --name; a record of the source has its own")
    if name is not None:
        wanted = _one_record(name, country, attribute or [])
    else:
        assert source is not None and record is not None
        wanted = _record_of(source, record, system, mapping)
    from em_core.console import show_explanations
    from em_core.matcher import Matcher

    explanations = Matcher.load(matcher).explain(wanted, best)
    if as_json:
        sys.stdout.write(explanations[0].model_dump_json(indent=1) + "\n")
    else:
        show_explanations(explanations)


def _one_record(name: str, country: str | None, attributes: list[str]) -> pd.DataFrame:
    """A source table of one record, out of options."""
    import pandas as pd

    from em_core.schema import SOURCE, prepare_source

    row = {"source_id": "1", "name": name, "country": country}
    for text in attributes:
        column, equals, value = text.partition("=")
        if not equals or column not in SOURCE.columns or column in (*SOURCE.key, "name", "country"):
            known = ", ".join(c for c in SOURCE.columns if c not in (*SOURCE.key, "name", "country"))
            raise UserError(f"--attribute {text!r} is not of the form attribute=value; attributes: {known}")
        if column in row:
            raise UserError(f"--attribute names {column!r} twice")
        row[column] = value
    return prepare_source(pd.DataFrame([row]), system="command line")


def _record_of(source: Path, record: str, system: str | None, mapping: Path | None) -> pd.DataFrame:
    """The one row of a source file with this id."""
    from em_core.files import read_table
    from em_core.schema import prepare_source

    records = prepare_source(read_table(source), _read_mapping(mapping), str(source), system or _system(source))
    found = records[records["source_id"] == record]
    if system is not None:
        found = found[found["source_system"] == system]
    if found.empty:
        raise UserError(f"{source}: no record has the id {record!r}" + ("" if system is None else f" in {system!r}"))
    if len(found) > 1:
        systems = ", ".join(sorted(found["source_system"]))
        raise UserError(
            f"{source}: {len(found)} records have the id {record!r}; name one feed with --system: {systems}"
        )
    return found


@app.command()
def review(
    results: Annotated[Path, typer.Option(help="Results that `em match` wrote.")],
    out: Annotated[Path, typer.Option(help=f"Where the queue goes: {_FILES}.")],
    source: Annotated[
        Path | None, typer.Option(help="The records behind the results: names and countries tell questions apart.")
    ] = None,
    mapping: Mapping = None,
    system: Annotated[
        str | None, typer.Option(help="Name of the feed where the source does not say it; default: the file's name.")
    ] = None,
    wrong: Annotated[float | None, typer.Option(min=0, help="Cost of a wrong match, in right matches.")] = None,
) -> None:
    """Order the records under review: the answer that is worth most first, records of one question together."""
    from em_core.console import show_queue
    from em_core.decision.review import ReviewSettings, review_queue
    from em_core.files import read_table, write_table
    from em_core.schema import prepare_results, prepare_source

    decided = prepare_results(read_table(results), str(results))
    records = None
    if source is not None:
        records = prepare_source(read_table(source), _read_mapping(mapping), str(source), system or _system(source))
    queue = review_queue(decided, records, ReviewSettings() if wrong is None else ReviewSettings(wrong=wrong))
    write_table(queue, out)
    show_queue(queue, str(out))


@app.command()
def evaluate(
    results: Annotated[Path, typer.Option(help="Results that `em match` wrote.")],
    truth: Annotated[
        Path,
        typer.Option(
            help="Known answers: source_id, entity_id (empty = truly not in the reference) and, where ids repeat over feeds, source_system."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Report: .html (opens without a network) or .json.")] = None,
    reference: Annotated[Path | None, typer.Option(help="The master, to show names of the right entities.")] = None,
    source: Annotated[
        Path | None, typer.Option(help="The records that were matched: names in the error list, figures by country.")
    ] = None,
    matcher: Annotated[
        Path | None,
        typer.Option(help="Folder that `em fit` wrote: which records it had seen in training, what retrieval finds."),
    ] = None,
    forbid_leaks: Annotated[
        bool,
        typer.Option("--forbid-leaks", help="Exit 2 if an evaluated record was seen in training; needs --matcher."),
    ] = False,
    mapping: Mapping = None,
    system: Annotated[
        str | None, typer.Option(help="Name of the feed where --source does not say it; default: the file's name.")
    ] = None,
    cost_wrong: Annotated[
        float | None,
        typer.Option(
            min=0, help="Cost of a wrong automatic match. Costs that are not given: the matcher's, else 20, 1 and 5."
        ),
    ] = None,
    cost_review: Annotated[float | None, typer.Option(min=0, help="Cost of a review.")] = None,
    cost_miss: Annotated[
        float | None, typer.Option(min=0, help="Cost of a known record that gets no identifier.")
    ] = None,
) -> None:
    """Hold results against known answers: precision, recall and calibration, with intervals and label counts."""
    from em_core.evaluation import CandidateRecall, Costs, TrainingDigests, tables, write_report
    from em_core.evaluation import evaluate as evaluate_results
    from em_core.files import read_table
    from em_core.schema import prepare_reference, prepare_results, prepare_source, prepare_truth

    if forbid_leaks and matcher is None:
        raise UserError("--forbid-leaks needs --matcher: its folder says which records it learned from")
    master = None if reference is None else prepare_reference(read_table(reference), origin=str(reference))
    answers = prepare_truth(read_table(truth), _read_mapping(mapping), str(truth))
    decided = prepare_results(read_table(results), str(results))
    records = None
    if source is not None:
        records = prepare_source(read_table(source), None, str(source), system or _system(source))
    training, recall, costs = None, None, Costs()
    if matcher is not None:
        _check_maker(decided, matcher, strict=forbid_leaks)
        training, recall = TrainingDigests.load(matcher), CandidateRecall.load(matcher)
        costs = Costs.of_matcher(matcher)
    given = {"wrong_match": cost_wrong, "review": cost_review, "miss": cost_miss}
    costs = costs.model_copy(update={name: value for name, value in given.items() if value is not None})
    evaluation = evaluate_results(decided, answers, source=records, reference=master, training=training, costs=costs)
    table = Table(title="Against known answers", show_header=False)
    for name, share in (
        ("automatic matches that are right (precision)", evaluation.precision),
        ("known records matched right by themselves (recall)", evaluation.recall),
        ("known records with the right identifier matched or suggested", evaluation.suggestion_accuracy),
        ("'no match' that is truly none", evaluation.none_precision),
    ):
        if share.value is None or share.low is None or share.high is None:
            table.add_row(name, "no such record")
        else:
            table.add_row(
                name, f"{share.value:.2%}  [{share.low:.2%}, {share.high:.2%}]  {share.hits:,} of {share.total:,}"
            )
    Console().print(table)
    _print_table(tables.stages(evaluation), (0, 1, 2, 4, 5))
    if (seen := tables.leaks(evaluation)) is not None:
        _print_table(seen, (0, 1, 3, 4))
    if out is not None:
        context = {"results": results.name, "truth": truth.name, **({"matcher": str(matcher)} if matcher else {})}
        write_report(out, evaluation, title="Match report", context=context, recall=recall)
        typer.echo(f"Report: {out}")
    if forbid_leaks and evaluation.leaks is not None and evaluation.leaks.seen:
        raise UserError(
            f"leak: {evaluation.leaks.seen:,} of {evaluation.counts.labelled:,} evaluated record(s) were seen in training"
        )


def _check_maker(results: pd.DataFrame, matcher: Path, strict: bool) -> None:
    """What a matcher learned from says nothing about another one's results: said aloud, or refused where it must hold."""
    from em_core.matcher import matcher_version

    version = matcher_version(matcher)
    if version is None:
        raise UserError(f"{matcher}: not a matcher folder")
    others = set(results["matcher_version"].dropna()) - {version}
    if others:
        words = f"the results were made by matcher {', '.join(sorted(map(str, others)))}, {matcher} holds {version}"
        if strict:
            raise UserError(f"{words}: --forbid-leaks cannot speak for another matcher")
        logging.getLogger(__name__).warning("%s: what it had seen in training may differ", words)


def main() -> None:
    """Console entry point: exit code 0 done, 2 the user's mistake (one line), 1 a fault."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("faiss", "httpx", "transformers", "huggingface_hub", "alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # OpenMP threads that wait must sleep: spinning ones stop each other on a busy machine. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code = 0
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"em: {error}\n")
        code = 2
    except SystemExit as stop:  # typer ends every command with one
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End here: threads of native libraries that are torn down with the interpreter may abort it and spoil the exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
