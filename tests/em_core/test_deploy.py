"""Champion and challenger over a real MLflow registry: the first, a refusal, a promotion, a new reference, a rollback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from em_core.deploy import MATCHER_MODEL, consider, deploy, fair_records
from em_core.errors import UserError
from em_core.evaluation.promotion import GateSettings
from em_core.matcher import Matcher
from em_core.pairs.training import PairSettings, evaluation_copies
from em_core.retrieval.folder import MANIFEST
from em_core.retrieval.index import CandidateIndex
from em_core.storage import ModelRegistry

GATE = GateSettings()


def hobbled(folder: Path, out: Path, name: str, auto: float | None = None) -> Path:
    """A copy of a matcher whose scorer rarely or never decides alone."""
    shutil.copytree(folder, out)
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["policy"]["auto_threshold"] = auto
    manifest["model_version"] = manifest["matcher_version"] = name
    (out / MANIFEST).write_text(json.dumps(manifest))
    return out


def register(registry: ModelRegistry, folder: Path) -> int:
    version = json.loads((folder / MANIFEST).read_text())["model_version"]
    with registry.start_run("fit") as run:
        return registry.register(MATCHER_MODEL, folder, run=run, fingerprint=version).version


@pytest.fixture(scope="module")
def evaluation(reference: pd.DataFrame) -> pd.DataFrame:
    return evaluation_copies(reference, PairSettings(queries=1500, seed=11))


def test_the_life_of_a_champion(matcher_folder: Path, evaluation: pd.DataFrame, tmp_path: Path) -> None:
    registry = ModelRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}", "test")
    index, target = tmp_path / "index", tmp_path / "champion"
    shutil.copytree(matcher_folder / "index", index)
    with pytest.raises(UserError, match="fit one first"):
        consider(registry, evaluation, index, GATE)
    with pytest.raises(UserError, match="no champion"):
        deploy(registry, index, target)

    weak = register(registry, hobbled(matcher_folder, tmp_path / "weak", "weak"))
    assert consider(registry, evaluation, index, GATE).promote
    first = deploy(registry, index, target)
    assert first.changed and first.registered == weak and first.model_version == "weak"
    assert not deploy(registry, index, target).changed
    assert not consider(registry, evaluation, index, GATE).promote

    # A better one wins, with its numbers.
    strong = register(registry, matcher_folder)
    won = consider(registry, evaluation, index, GATE)
    assert won.promote and won.overall is not None and won.overall.high < 0, won
    assert won.champion is not None and won.challenger is not None and won.challenger.cost < won.champion.cost
    deployed = deploy(registry, index, target)
    assert deployed.changed and deployed.registered == strong and registry.champions(MATCHER_MODEL) == [weak, strong]
    assert registry.versions(MATCHER_MODEL)[0].tags["verdict"].startswith("cheaper")

    # A worse one is refused, and not compared again.
    register(registry, hobbled(matcher_folder, tmp_path / "worse", "worse", 0.9999))
    lost = consider(registry, evaluation, index, GATE)
    assert not lost.promote and lost.overall is not None and lost.overall.difference > 0
    again = consider(registry, evaluation, index, GATE)
    assert not again.promote and "already refused" in again.reason and again.overall is None
    assert not deploy(registry, index, target).changed

    # Another state of the reference keeps the model.
    changed = CandidateIndex.load(index)
    changed.remove([changed.reference["entity_id"].iloc[0]])
    changed.save(index)
    newer = deploy(registry, index, target)
    assert newer.changed and newer.model_version == deployed.model_version != newer.version
    assert Matcher.load(target).reference_version == changed.version

    # Back to the first, on the reference of now.
    assert registry.rollback(MATCHER_MODEL).version == weak
    back = deploy(registry, index, target)
    assert back.model_version == "weak" and back.reference_version == changed.version
    with pytest.raises(UserError, match="no earlier champion"):
        registry.rollback(MATCHER_MODEL)
    # What was rolled back does not come back by itself; a later fit may.
    registry.set_alias(MATCHER_MODEL, "challenger", weak)
    assert not consider(registry, evaluation, index, GATE).promote


def test_what_a_matcher_learned_from_does_not_judge_it(matcher_folder: Path, evaluation: pd.DataFrame) -> None:
    matcher = Matcher.load(matcher_folder)
    labelled = evaluation.assign(origin="label")
    assert len(fair_records(evaluation, [matcher], [matcher_folder])) == len(evaluation)
    gone = evaluation["entity_id"].dropna().iloc[0]
    without = CandidateIndex.load(matcher_folder / "index")
    without.remove([gone])
    matcher.engine.index = without
    left = fair_records(labelled, [matcher], [matcher_folder])
    assert gone not in set(left["entity_id"]) and len(left) == len(evaluation) - 1


def test_copies_to_judge_by_are_not_those_to_learn_from(reference: pd.DataFrame) -> None:
    some = evaluation_copies(reference, PairSettings(queries=500), most=200)
    assert 150 < len(some) <= 200 and some["source_id"].is_unique
    assert some["entity_id"].isna().any() and (some["entity_id"].isna() == some["hidden_id"].notna()).all()
    pd.testing.assert_frame_equal(some, evaluation_copies(reference, PairSettings(queries=500), most=200))
