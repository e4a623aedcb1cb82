"""Shared fixtures: a small master that is real enough to learn from, and records with known answers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from em_core.demo.gleif import load_gleif
from em_core.matcher import Matcher
from em_core.schema import prepare_reference
from em_core.settings import FitSettings


@pytest.fixture(scope="session")
def reference() -> pd.DataFrame:
    """1,500 GLEIF entities."""
    return prepare_reference(load_gleif(1500))


@pytest.fixture(scope="session")
def light_settings() -> FitSettings:
    """Neither transformer: what the core alone can do, in seconds."""
    settings = FitSettings()
    settings.ditto.enabled = False
    settings.retrieval.encoder = None
    settings.pairs.queries = 1500
    settings.scorer.iterations = 60
    return settings


@pytest.fixture(scope="session")
def matcher_folder(tmp_path_factory: pytest.TempPathFactory, reference: pd.DataFrame, light_settings: FitSettings) -> Path:
    """A matcher fitted on `reference` without labels and without transformers."""
    from em_core.fit import fit

    folder = tmp_path_factory.mktemp("matchers") / "light"
    fit(reference, folder, light_settings)
    return folder


@pytest.fixture(scope="session")
def matcher(matcher_folder: Path) -> Matcher:
    """`matcher_folder`, opened."""
    return Matcher.load(matcher_folder)
