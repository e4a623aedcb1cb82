"""A fit with labels of two feeds: what it promises is in the report, in the manifest and in the decisions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from em_core.decision.costs import CostSettings
from em_core.evaluation import Costs
from em_core.fit import Fitted, fit
from em_core.matcher import Matcher
from em_core.pairs.noise import perturb
from em_core.schema import prepare_source
from em_core.settings import FitSettings


def feed(reference: pd.DataFrame, name: str, seed: int) -> pd.DataFrame:
    """Noisy records of the reference with their answers."""
    noisy = perturb(reference, seed=seed).assign(source_id=reference["entity_id"], source_system=name, lei=None)
    return prepare_source(noisy.drop(columns="operators")).assign(entity_id=reference["entity_id"].to_numpy())


@pytest.fixture(scope="module")
def labelled_fit(
    tmp_path_factory: pytest.TempPathFactory, reference: pd.DataFrame, light_settings: FitSettings
) -> tuple[Fitted, Matcher]:
    settings = light_settings.model_copy(deep=True)
    settings.scorer.pair_iterations = settings.scorer.list_iterations = 30
    # No rule decides, so that the scorer has work.
    settings.policy.rung_labels = 1_000_000
    settings.policy.precision, settings.policy.source_labels = 0.95, 50
    settings.policy.costs = CostSettings(wrong_match=30, review=1, miss=5)
    labels = pd.concat([feed(reference, "crm", 1), feed(reference.head(300), "invoices", 2)], ignore_index=True)
    folder = tmp_path_factory.mktemp("labelled") / "m"
    fitted = fit(
        reference.head(700), folder, settings, labels[labels["entity_id"].isin(reference["entity_id"].head(700))]
    )
    return fitted, Matcher.load(folder)


def test_labels_certify_and_the_manifest_says_so(labelled_fit: tuple[Fitted, Matcher]) -> None:
    fitted, matcher = labelled_fit
    policy = matcher.policy
    assert policy.promise.kind == "certified" and policy.labels_from == "the user's labels"
    assert policy.auto_evidence.lower_bound >= 0.95
    assert fitted.report["thresholds"] == policy.in_words()
    assert "crm" in policy.sources and fitted.report["sources"] == policy.sources_in_words()
    assert fitted.report["calibration"]["chosen"] == policy.calibration.model_dump(mode="json")
    assert fitted.report["costs"]["all_to_review"] == 1000
    assert matcher.folder is not None and Costs.of_matcher(matcher.folder) == Costs(wrong_match=30, review=1, miss=5)
    assert any("1,000 records" in sentence for sentence in fitted.report["promises"])


def test_a_match_stands_on_the_thresholds_of_its_source(
    labelled_fit: tuple[Fitted, Matcher], reference: pd.DataFrame
) -> None:
    _, matcher = labelled_fit
    source = pd.concat([feed(reference.head(150), name, 7) for name in ("crm", "elsewhere")], ignore_index=True)
    results = matcher.match(source.drop(columns="entity_id"))
    auto, review = matcher.policy.thresholds_of(results["source_system"].to_numpy(dtype=object))
    confidence = results["confidence"].to_numpy()
    matched = (results["decision"] == "auto_match").to_numpy()
    assert (confidence[matched] >= auto[matched] - 1e-9).all() and matched.sum() > 50
    assert (confidence[(results["method"] == "BELOW_THRESHOLD").to_numpy()] < np.max(review)).all()


def test_without_labels_nothing_is_called_certified(matcher: Matcher) -> None:
    assert not matcher.policy.promise.certified and "not certified" in matcher.policy.in_words()
    assert matcher.policy.sources == {}
