"""Pair features: bounded, documented, and missing is not different."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from em_core.decision.features import FEATURES, PairFeatures, best_other
from em_core.retrieval.index import CandidateIndex, RetrievalSettings
from em_core.schema import prepare_reference, prepare_source
from em_core.text.profile import profile

MASTER = pd.DataFrame(
    {
        "entity_id": ["a", "b", "c"],
        "name": ["Acme Steel GmbH", "Acme Steel Trading 2 GmbH", "Beta Foods Ltd"],
        "country": ["Germany", "DE", "GB"],
        "ticker": ["ACM", None, "BTA"],
        "exchange": ["GER", None, "LSE"],
    }
)


@pytest.fixture(scope="module")
def index() -> CandidateIndex:
    return CandidateIndex.build(prepare_reference(MASTER), RetrievalSettings(encoder=None))


def features(index: CandidateIndex, records: list[dict[str, str | None]]) -> pd.DataFrame:
    source = prepare_source(pd.DataFrame([{"source_id": str(i), **r} for i, r in enumerate(records)]), system="s")
    described = profile(source)
    found = index.search(described)
    out = PairFeatures(index.lookups)(described, found)
    return pd.concat([found[["query", "entity"]], out], axis=1).set_index(["query", "entity"])


def test_columns_and_docs(index: CandidateIndex) -> None:
    table = features(index, [{"name": "Acme Steel"}])
    assert list(table.columns) == list(FEATURES) and all(FEATURES.values())
    assert table.to_numpy().dtype == np.float32


def test_missing_is_not_different(index: CandidateIndex) -> None:
    table = features(
        index,
        [
            {"name": "Acme Steel GmbH"},
            {"name": "Acme Steel GmbH", "country": "FR"},
            {"name": "Acme Steel", "country": "Deutschland"},
        ],
    )
    assert np.isnan(table.loc[(0, 0), "same_country"])
    assert table.loc[(1, 0), "same_country"] == 0 and table.loc[(2, 0), "same_country"] == 1
    assert np.isnan(table.loc[(2, 0), "same_form"]) and table.loc[(0, 0), "same_form"] == 1


def test_a_ticker_needs_its_exchange_or_country(index: CandidateIndex) -> None:
    records = [{"name": "Acme Steel", "ticker": "ACM"}, {"name": "Acme Steel", "ticker": "ACM", "exchange": "ger"}]
    table = features(index, records)
    assert np.isnan(table.loc[(0, 0), "same_ticker"]) and table.loc[(1, 0), "same_ticker"] == 1


def test_numbers_in_names_matter(index: CandidateIndex) -> None:
    table = features(index, [{"name": "Acme Steel Trading 2"}])
    assert table.loc[(0, 1), "same_numbers"] == 1 and table.loc[(0, 0), "same_numbers"] == 0


def test_a_record_is_scored_alike_alone_and_in_company(index: CandidateIndex) -> None:
    records = [{"name": "Acme Steel"}, {"name": "Beta"}, {"name": "Unheard Words Acme"}]
    together = features(index, records)
    for position, record in enumerate(records):
        alone = features(index, [record])
        pd.testing.assert_frame_equal(together.loc[position], alone.loc[0])


def test_best_other() -> None:
    gaps = best_other(np.array([0, 0, 0, 1, 2, 2]), np.array([0.9, 0.5, 0.7, 0.4, 0.6, 0.6]))
    assert gaps.tolist() == pytest.approx([0.2, -0.4, -0.2, 0.4, 0.0, 0.0], abs=1e-6)
