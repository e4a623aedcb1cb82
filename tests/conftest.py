"""Shared fixtures: a small real master with a fitted matcher, and for Ditto synthetic pairs with a tiny random encoder."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

# What is heavy is imported where it is used: the process that only hands out tests needs none of it.
if TYPE_CHECKING:
    from em_core.matcher import Matcher
    from em_core.settings import FitSettings

WORDS = (
    "acme alpha amber atlas baker beacon cedar cobalt coral delta eagle ember falcon forest garnet harbor iris jade "
    "juniper laurel lunar maple meadow nova onyx orchid pacific pearl pioneer quartz river sable saffron sierra summit "
    "terra topaz umber vector willow"
).split()
TRADES = "bank foods energy software motors pharma mining textiles shipping insurance".split()
CITIES = ("Berlin", "Paris", "Oslo", "New York", "Sao Paulo")


# Timings never decide a test. `HYPOTHESIS_PROFILE=thorough` looks at more examples.
settings.register_profile("project", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

# Thousands of tests and large libraries are alive all the time: looking through them for garbage less often saves a twentieth.
gc.set_threshold(100_000, 50, 50)

# The files that take longest start first, so that two workers end at about the same time.
LONGEST = (
    "end_to_end/",
    "test_spark.py",
    "test_phases.py",
    "test_cli.py",
    "test_ditto_entry_point.py",
    "test_matcher.py",
    "test_ditto_runtime.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow`: also what takes a minute and more by itself."""
    parser.addoption("--slow", action="store_true", help="also run tests that are marked slow (make test-all)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files; needs `--no-loadscope-reorder` where several workers share them."""
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: make test-all"))
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


@pytest.fixture(autouse=True, scope="session")
def nothing_is_left_in_the_tree() -> Iterator[None]:
    """Where a test lets MLflow fall back to the working folder, the run says so."""
    places = [Path(name) for name in ("mlflow.db", "mlartifacts", "mlruns")]
    before = [place.exists() for place in places]
    yield
    assert [place.exists() for place in places] == before, "a test wrote MLflow's store into the working folder"


@pytest.fixture(scope="session")
def light_settings() -> FitSettings:
    """Neither transformer: what the core alone can do, in seconds."""
    from em_core.settings import FitSettings

    settings = FitSettings()
    settings.ditto.enabled = False
    settings.retrieval.encoder = None
    settings.pairs.queries = 1500
    settings.scorer.pair_iterations = settings.scorer.list_iterations = 60
    return settings


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], None]], Path]:
    """`made_once(name, make)`: the folder that `make(folder)` fills, in one of the workers; the others wait for it."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        import fcntl

        target, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(target, ignore_errors=True)
                make(target)
                done.touch()
        return target

    return folder


@pytest.fixture(scope="session")
def gleif(made_once: Callable[[str, Callable[[Path], None]], Path]) -> pd.DataFrame:
    """All GLEIF entities of the package, read once for all workers."""

    from em_core.demo.gleif import read_gleif

    def make(folder: Path) -> None:
        folder.mkdir()
        read_gleif().to_pickle(folder / "gleif.pkl")

    return pd.read_pickle(made_once("gleif", make) / "gleif.pkl")


@pytest.fixture(scope="session")
def reference(gleif: pd.DataFrame) -> pd.DataFrame:
    """1,500 of them."""
    from em_core.demo.gleif import sample_gleif
    from em_core.schema import prepare_reference

    return prepare_reference(sample_gleif(gleif, 1500, seed=7))


@pytest.fixture(scope="session")
def matcher_folder(
    made_once: Callable[[str, Callable[[Path], None]], Path], reference: pd.DataFrame, light_settings: FitSettings
) -> Path:
    """A matcher fitted on `reference` without labels and without transformers."""

    def make(folder: Path) -> None:
        from em_core.fit import fit

        fit(reference, folder, light_settings)

    return made_once("light-matcher", make)


@pytest.fixture(scope="session")
def matcher(matcher_folder: Path) -> Matcher:
    """`matcher_folder`, opened."""
    from em_core.matcher import Matcher

    return Matcher.load(matcher_folder)


def _make_pairs(n: int, seed: int = 0) -> pd.DataFrame:
    """`n` serialised pairs, half of them matches: the same name, legal form and case changed.

    Most that do not match are a fund named after the firm, which even a tiny random encoder can learn from few pairs.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        a, b, c = rng.choice(WORDS, 3, replace=False)
        trade, city = rng.choice(TRADES), rng.choice(CITIES)
        label = int(rng.random() < 0.5)
        other = (a, b) if label else (a, c)
        left = f"COL name VAL {a} {b} {trade} Ltd COL city VAL {city}"
        tail = rng.choice(["PLC", "LIMITED", ""]) if label or rng.random() < 0.1 else "FUND"
        right = f"COL name VAL {' '.join(other).upper()} {trade} {tail}".strip()
        rows.append((left, right, label, f"L{i}", f"R{i}"))
    return pd.DataFrame(rows, columns=["left_entity", "right_entity", "label", "left_key", "right_key"])


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer random BERT of width 32 with the packaged tokenizer: a local base model that trains in seconds."""
    import torch
    from transformers import BertConfig, BertModel

    from em_core.ditto.base_model import PACKAGED_MODEL, resolve_base_model
    from em_core.ditto.model import load_tokenizer

    folder = tmp_path_factory.mktemp("base") / "tiny"
    tokenizer = load_tokenizer(resolve_base_model(PACKAGED_MODEL))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 pairs as a CSV file."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.csv"
    _make_pairs(400).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, pairs_file: Path) -> Path:
    """A model folder made by the entry point."""
    from em_core.ditto.entry_point import main

    folder = tmp_path_factory.mktemp("models") / "ditto"
    assert main([*_arguments(pairs_file, folder, tiny_base), "--epochs", "2"]) == 0
    return folder


def _arguments(training: Path, output: Path, base: Path) -> list[str]:
    """A quick command line of `train_ditto`."""
    given = {
        "--training-data": training,
        "--output-path": output,
        "--base-model": base,
        "--learning-rate": 3e-3,
        "--max-length": 48,
        "--threads": 1,
        "--precision": "fp32",
        "--runtime": "torch",
    }
    return ["--encoder-only", *(str(part) for option in given.items() for part in option)]


@pytest.fixture(scope="session")
def make_pairs() -> Callable[..., pd.DataFrame]:
    """`make_pairs(n, seed=0)`."""
    return _make_pairs


@pytest.fixture(scope="session")
def arguments() -> Callable[[Path, Path, Path], list[str]]:
    """`arguments(training, output, base)`."""
    return _arguments
