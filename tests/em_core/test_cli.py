"""`em` as a user runs it: files in, files out, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from em_core.cli import app
from em_core.errors import UserError
from em_core.fit import fit
from em_core.matcher import Matcher
from em_core.pairs.training import prepare_labels
from em_core.schema import prepare_source
from em_core.settings import FitSettings


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it."""
    command = [sys.executable, "-m", "em_core.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def em(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same inside this process: starting one takes longer than most of what is asked here."""
    done = here(*arguments)
    if isinstance(done.exception, UserError):
        return subprocess.CompletedProcess([], 2, done.stdout, f"{done.stderr}em: {done.exception}\n")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess([], done.exit_code, done.stdout, done.stderr)


def here(*arguments: object) -> Result:
    """See `em`; the exception as it is, the terminal 80 characters wide."""
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(argument) for argument in arguments])


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, and one line that says it."""
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and last.startswith("em: ") and all(word in last for word in words), last


@pytest.fixture(scope="module")
def source_file(tmp_path_factory: pytest.TempPathFactory, reference: pd.DataFrame) -> Path:
    path = tmp_path_factory.mktemp("src") / "Kunden.csv"
    rows = reference.head(40)
    table = pd.DataFrame(
        {
            "Customer No": [f"{i:05d}" for i in range(40)],
            "Company Name": rows["name"].str.upper(),
            "Country": rows["country"],
        }
    )
    table.to_csv(path, sep=";", index=False, encoding="utf-8-sig")
    return path


def test_match_and_evaluate(tmp_path: Path, matcher_folder: Path, source_file: Path, reference: pd.DataFrame) -> None:
    for out in ("results.csv", "results.parquet", "results"):
        run = process if out == "results.csv" else em
        done = run("match", "--matcher", matcher_folder, "--source", source_file, "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
    results = pd.read_csv(tmp_path / "results.csv", dtype=str)
    assert results["source_id"].tolist() == [f"{i:05d}" for i in range(40)] and set(results["source_system"]) == {
        "Kunden"
    }
    truth = tmp_path / "truth.csv"
    pd.DataFrame({"source_id": results["source_id"], "entity_id": reference["entity_id"].head(40)}).to_csv(
        truth, index=False
    )
    for name in ("results.parquet", "results"):
        done = em("evaluate", "--results", tmp_path / name, "--truth", truth, "--out", tmp_path / "report.html")
        assert done.returncode == 0 and "precision" in done.stdout, done.stderr
    assert "<html" in (tmp_path / "report.html").read_text()


def test_leaks_are_told_and_refused(tmp_path: Path, reference: pd.DataFrame, light_settings: FitSettings) -> None:
    labels = reference.head(60)[["entity_id", "name", "country"]].assign(
        source_id=[f"L{i}" for i in range(60)], source_system="crm", name=reference["name"].head(60).str.lower()
    )
    fit(reference.head(400), tmp_path / "m", light_settings, prepare_labels(labels, reference.head(400)))
    source = labels.iloc[20:].assign(
        source_id=np.where(np.arange(40) < 30, "N" + labels["source_id"].iloc[20:], labels["source_id"].iloc[20:])
    )
    source.drop(columns="entity_id").to_csv(tmp_path / "crm.csv", index=False)
    source[["source_id", "entity_id"]].to_csv(tmp_path / "truth.csv", index=False)
    results, truth, report = tmp_path / "results.csv", tmp_path / "truth.csv", tmp_path / "r [new].json"
    Matcher.load(tmp_path / "m").match(prepare_source(source.drop(columns="entity_id"))).to_csv(results, index=False)
    told = em("evaluate", "--results", results, "--truth", truth, "--matcher", tmp_path / "m", "--out", report)
    assert told.returncode == 0 and "Seen in training?" in told.stdout, told.stderr
    assert f"Report: {report}\n" in told.stdout
    leaks = json.loads(report.read_text())["leaks"]
    assert (leaks["by_key"], leaks["by_name"], leaks["seen"]) == (10, 40, 40)
    refused(
        em("evaluate", "--results", results, "--truth", truth, "--matcher", tmp_path / "m", "--forbid-leaks"),
        "leak",
        "40 of 40",
    )
    refused(em("evaluate", "--results", results, "--truth", truth, "--forbid-leaks"), "--matcher")
    other = pd.read_csv(results, dtype=str).assign(matcher_version="another")
    other.to_csv(results, index=False)
    refused(
        em("evaluate", "--results", results, "--truth", truth, "--matcher", tmp_path / "m", "--forbid-leaks"),
        "made by matcher another",
    )


def test_explain(matcher_folder: Path, source_file: Path, reference: pd.DataFrame) -> None:
    done = here("explain", "--matcher", matcher_folder, "--source", source_file, "--id", "00007")
    assert done.exit_code == 0 and reference["name"].iloc[7].split()[0] in done.stdout, done.exception
    assert "What would change it" in done.stdout or "leads to another decision" in done.stdout
    name = f"{reference['name'].iloc[7]} Segregated"
    done = here(
        "explain", "--matcher", matcher_folder, "--name", name, "--attribute", "city=Bonn", "--json", "--best", 2
    )
    told = json.loads(done.stdout)
    assert told["record"] == {"name": name, "city": "Bonn"} and len(told["candidates"]) == 2


def test_review(tmp_path: Path, matcher_folder: Path, reference: pd.DataFrame) -> None:
    feed, results, queue = tmp_path / "feed.csv", tmp_path / "results.csv", tmp_path / "queue.csv"
    rows = [{"id": i, "name": f"{reference['name'].iloc[i // 2]}", "lei": reference["lei"].iloc[900]} for i in range(8)]
    pd.DataFrame(rows).to_csv(feed, index=False)
    assert here("match", "--matcher", matcher_folder, "--source", feed, "--out", results).exit_code == 0
    done = here("review", "--results", results, "--source", feed, "--out", queue)
    told = f"4 questions about 8 records in {queue}: 0 to decide, 4 to mend\n"
    assert done.exit_code == 0 and told in done.stdout, done.exception
    questions = pd.read_csv(queue)
    assert len(questions) == 4 and (questions["records"] == 2).all() and (questions["task"] == "mend data").all()


def test_questions_that_cannot_be_explained_are_refused(tmp_path: Path, matcher_folder: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("source_system,id,name\ncrm,1,Acme\nerp,1,Acme\ncrm,2,Beta\n")
    asked = ("explain", "--matcher", matcher_folder)
    refused(process(*asked, "--source", feed, "--id", "3"), "feed.csv", "no record", "'3'")
    for arguments, words in (
        ((*asked, "--source", feed, "--id", "1"), ["2 records", "--system", "crm, erp"]),
        ((*asked, "--source", feed, "--id", "2", "--system", "erp"), ["no record", "'erp'"]),
        ((*asked, "--source", feed), ["--id"]),
        ((*asked, "--source", feed, "--id", "2", "--country", "DE"), ["--country"]),
        ((*asked, "--name", "Acme", "--attribute", "colour=red"), ["colour=red"]),
        ((*asked, "--name", "Acme", "--attribute", "city=A", "--attribute", "city=B"), ["'city' twice"]),
        (("explain", "--matcher", tmp_path, "--name", "Acme"), ["not a complete folder"]),
        (("review", "--results", feed, "--out", tmp_path / "queue.csv"), ["not a results table"]),
    ):
        error = here(*arguments).exception
        assert isinstance(error, UserError) and "\n" not in str(error), error
        assert all(word in str(error) for word in words), error
    assert not (tmp_path / "queue.csv").exists()


def test_fit_from_a_foreign_table_with_a_mapping(tmp_path: Path, reference: pd.DataFrame) -> None:
    master = reference.head(400)[["entity_id", "name", "country"]].set_axis(["Nr", "Firma", "Land"], axis=1)
    master.to_csv(tmp_path / "stamm.csv", sep="\t", index=False)
    (tmp_path / "map.yaml").write_text("entity_id: Nr\nname: Firma\ncountry: Land\n")
    (tmp_path / "settings.yaml").write_text("scorer: {pair_iterations: 20, list_iterations: 20}\n")
    done = em("fit", "--reference", tmp_path / "stamm.csv", "--out", tmp_path / "m", "--mapping", tmp_path / "map.yaml",
              "--config", tmp_path / "settings.yaml", "--no-ditto", "--no-vectors")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "What retrieval finds" in done.stdout and (tmp_path / "m" / "manifest.json").is_file()
    assert (tmp_path / "m" / "candidate_recall.json").is_file() and (tmp_path / "m" / "lost_candidates.csv").is_file()
    # A folder that holds something else is never replaced.
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = em(
        "fit", "--reference", tmp_path / "stamm.csv", "--out", tmp_path / "mine", "--mapping", tmp_path / "map.yaml"
    )
    refused(done, "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["feed.csv", "empty"]),
        ("id,title_of_job\n1,x\n", ["feed.csv", "'name'"]),
        ("id,name\n1,A\n1,B\n", ["feed.csv", "row 2", "duplicate key"]),
        ("id,name\n", ["feed.csv", "no rows"]),
        ("id,name\n1,A,too,many\n", ["feed.csv"]),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, matcher_folder: Path, content: str, words: list[str]
) -> None:
    (tmp_path / "feed.csv").write_text(content)
    refused(
        em("match", "--matcher", matcher_folder, "--source", tmp_path / "feed.csv", "--out", tmp_path / "out.csv"),
        *words,
    )
    assert not (tmp_path / "out.csv").exists()


def test_bad_places_are_refused(tmp_path: Path, matcher_folder: Path, source_file: Path) -> None:
    refused(
        em("match", "--matcher", matcher_folder, "--source", source_file, "--out", tmp_path / "out.xlsx"), "out.xlsx"
    )
    refused(
        em("match", "--matcher", tmp_path / "absent", "--source", source_file, "--out", tmp_path / "o.csv"), "absent"
    )
    (tmp_path / "file").write_text("")
    refused(
        em("match", "--matcher", matcher_folder, "--source", source_file, "--out", tmp_path / "file" / "o.csv"), "file"
    )
    refused(
        em("match", "--matcher", matcher_folder, "--source", tmp_path / "nothing.csv", "--out", tmp_path / "o.csv"),
        "nothing.csv",
    )


def test_bad_settings_and_labels_are_refused(tmp_path: Path, reference: pd.DataFrame) -> None:
    master = tmp_path / "master.csv"
    reference.head(300)[["entity_id", "name"]].to_csv(master, index=False)
    (tmp_path / "bad.yaml").write_text("scorer: {pair_iterations: many}\n")
    refused(
        em("fit", "--reference", master, "--out", tmp_path / "m", "--config", tmp_path / "bad.yaml"),
        "scorer.pair_iterations",
    )
    (tmp_path / "labels.csv").write_text("source_id,name,entity_id\n1,Foo,NOT-THERE\n")
    refused(
        em("fit", "--reference", master, "--out", tmp_path / "m", "--labels", tmp_path / "labels.csv"),
        "NOT-THERE",
        "row 1",
    )
    assert not (tmp_path / "m").exists()


def test_help_and_import_are_light() -> None:
    code = "import sys, em_core, em_core.cli; assert not {'torch', 'pandas', 'dagster', 'mlflow'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    for command in ("fit", "match", "explain", "review", "evaluate"):
        assert em(command, "--help").returncode == 0
