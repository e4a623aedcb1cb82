"""Which matcher is in use: the registry's champion, brought to the newest state of the reference.

A fit registers its matcher as `challenger`. `consider` lets it beat the champion on a fixed evaluation set; `deploy` puts the champion's
model together with the newest index into the folder that matching opens.
"""

from __future__ import annotations

import json
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from em_core.errors import UserError
from em_core.evaluation import Costs, TrainingDigests
from em_core.evaluation.promotion import GateSettings, Verdict, judge
from em_core.files import fingerprint
from em_core.matcher import Matcher, with_index
from em_core.pairs.training import hidden_positions
from em_core.retrieval.folder import MANIFEST
from em_core.retrieval.index import CandidateIndex
from em_core.schema import SOURCE
from em_core.storage.registry import CHALLENGER, CHAMPION, ModelRegistry, RegisteredVersion

if TYPE_CHECKING:
    from em_core.fit import Fitted
    from em_core.settings import FitSettings

MATCHER_MODEL = "entity_matcher"
_GATE = "gate"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deployed:
    """What matching now opens: model (registered version) and state of the reference; `note` says how they came together."""

    version: str
    model_version: str
    registered: int
    reference_version: str
    changed: bool
    note: str


def register_matcher(
    registry: ModelRegistry, folder: Path, fitted: Fitted, settings: FitSettings, tags: dict[str, str] | None = None
) -> RegisteredVersion:
    """Register a fitted matcher folder as the challenger, in the form that MLflow serves; figures and settings go to an MLflow run.

    A matcher that is registered already is found again; nothing is uploaded.
    """
    from em_core.serving.log import save_matcher

    report = fitted.report
    figures = {f"candidate_recall_{k}": v for k, v in report["candidate_recall"].items()}
    figures |= {name: report[name] for name in ("top_1", "recall_at_p99", "ditto_share")}
    with registry.start_run("matcher", tags) as run, tempfile.TemporaryDirectory(prefix="register-") as scratch:
        run.log_params(settings.model_dump(mode="json"))
        run.log_metrics(figures)
        save_matcher(folder, Path(scratch) / "model")
        return registry.register(MATCHER_MODEL, Path(scratch) / "model", run=run, fingerprint=fitted.version)


def considered(registry: ModelRegistry, evaluation: pd.DataFrame) -> Verdict | None:
    """The verdict that stands without a comparison: None if challenger and champion have to be compared.

    Raises `UserError` if nothing is registered.
    """
    challenger, champion = registry.get(MATCHER_MODEL, CHALLENGER), registry.get(MATCHER_MODEL, CHAMPION)
    if challenger is None:
        raise UserError("no matcher is registered: fit one first")
    if champion is None:
        return Verdict(promote=True, reason="the first matcher: there is no champion to beat")
    if champion.version == challenger.version:
        return Verdict(promote=False, reason="the newest matcher is the champion")
    if challenger.version in registry.champions(MATCHER_MODEL):
        return Verdict(promote=False, reason="the challenger was champion before; a rollback put it back")
    if challenger.tags.get(_GATE) == _mark(champion, evaluation):
        return Verdict(promote=False, reason="already refused against this champion on this evaluation set")
    return None


def consider(
    registry: ModelRegistry,
    evaluation: pd.DataFrame,
    index: Path,
    settings: GateSettings,
    tags: dict[str, str] | None = None,
) -> Verdict:
    """Compare challenger and champion on the evaluation set, both on the newest reference, and promote the challenger if it wins.

    evaluation: source contract plus `entity_id`, `hidden_id`, `origin`. Verdict and numbers go to an MLflow run `promotion` and to tags
    of the version.
    """
    verdict = considered(registry, evaluation)
    compared = verdict is None
    challenger, champion = registry.get(MATCHER_MODEL, CHALLENGER), registry.get(MATCHER_MODEL, CHAMPION)
    assert challenger is not None
    if verdict is None:
        assert champion is not None
        with tempfile.TemporaryDirectory(prefix="gate-") as scratch:
            verdict = _compare(registry, champion, evaluation, index, settings, Path(scratch))
    if verdict.promote:
        registry.promote(MATCHER_MODEL, challenger.version, {"verdict": verdict.reason})
    elif compared and champion is not None:
        registry.tag(MATCHER_MODEL, challenger.version, {_GATE: _mark(champion, evaluation), "verdict": verdict.reason})
    if compared or verdict.promote:
        about = {"challenger": str(challenger.version), "champion": str(champion.version if champion else None)}
        with registry.start_run("promotion", {**about, **(tags or {}), "verdict": verdict.reason}) as run:
            run.log_metrics(verdict.metrics())
    log.info("challenger %d: %s", challenger.version, verdict.reason)
    return verdict


def fetch(registry: ModelRegistry, alias: str, folder: Path) -> RegisteredVersion:
    """Fetch the matcher folder of the version behind an alias. Raises `UserError` if there is none."""
    from em_core.serving.log import matcher_inside

    return registry.download(MATCHER_MODEL, alias, folder, marker=MANIFEST, inside=matcher_inside)


def _mark(champion: RegisteredVersion, evaluation: pd.DataFrame) -> str:
    return f"refused against version {champion.version} on {fingerprint(evaluation)}"


def _compare(
    registry: ModelRegistry,
    champion: RegisteredVersion,
    evaluation: pd.DataFrame,
    index: Path,
    settings: GateSettings,
    scratch: Path,
) -> Verdict:
    fetch(registry, CHALLENGER, scratch / "challenger")
    fetch(registry, CHAMPION, scratch / "champion")
    challenger = Matcher.load(scratch / "challenger")
    try:
        try:
            with_index(scratch / "champion", index, scratch / "champion")
        except UserError as error:
            log.warning("the champion is compared on its own reference: %s", error)
        reigning = Matcher.load(scratch / "champion")
    except UserError as error:
        return Verdict(promote=True, reason=f"the champion (version {champion.version}) cannot be opened: {error}")
    records = fair_records(evaluation, [reigning, challenger], [scratch / "champion", scratch / "challenger"])
    costs = Costs.of_matcher(scratch / "champion")
    return judge(records, _results(reigning, records), _results(challenger, records), costs, settings)


def fair_records(evaluation: pd.DataFrame, matchers: list[Matcher], folders: list[Path]) -> pd.DataFrame:
    """The records that may judge: neither learned from by one of the matchers, nor of an entity that one's reference lacks."""
    keep = pd.Series(True, index=evaluation.index)
    for matcher, folder in zip(matchers, folders, strict=True):
        ids = matcher.engine.index.reference["entity_id"]
        for column in ("entity_id", "hidden_id"):
            keep &= evaluation[column].isna() | evaluation[column].isin(ids)
        names, answers = (evaluation[c].to_numpy(dtype=object) for c in ("name", "entity_id"))
        seen = TrainingDigests.load(folder).seen(evaluation, names, answers)
        labelled = (evaluation["origin"] != "noise").to_numpy()
        keep &= ~(seen.record & labelled)
    return evaluation[keep].reset_index(drop=True)


def _results(matcher: Matcher, records: pd.DataFrame) -> pd.DataFrame:
    hidden = hidden_positions(records, matcher.engine.index.reference)
    return matcher.match(records[list(SOURCE.columns)], hidden=hidden, progress=True)


def deploy(registry: ModelRegistry, index: Path, target: Path) -> Deployed:
    """Make the folder `target` the champion's model on the reference of `index`; nothing is written where it is so already."""
    champion = registry.get(MATCHER_MODEL, CHAMPION)
    if champion is None:
        raise UserError("there is no champion to deploy: fit a matcher first")
    now = _manifest(target)
    newest = CandidateIndex.load(index).version
    if now is not None and (now["model_version"], now["reference_version"]) == (champion.fingerprint, newest):
        return _deployed(now, champion.version, False, "as before")
    with tempfile.TemporaryDirectory(prefix="deploy-") as scratch:
        fetched = Path(scratch) / "matcher"
        fetch(registry, CHAMPION, fetched)
        note = "the champion's model on the newest reference"
        try:
            with_index(fetched, index, target)
        except UserError as error:
            # Settings of retrieval that the model was not fitted with: it goes on with the reference that it knows.
            note = f"the champion keeps its own reference: {error}"
            log.warning(note)
            with_index(fetched, fetched / "index", target)
    made = _manifest(target)
    assert made is not None
    return _deployed(made, champion.version, now is None or now["matcher_version"] != made["matcher_version"], note)


def _manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / MANIFEST
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found if "model_version" in found else None


def _deployed(manifest: dict[str, Any], registered: int, changed: bool, note: str) -> Deployed:
    return Deployed(
        version=manifest["matcher_version"],
        model_version=manifest["model_version"],
        registered=registered,
        reference_version=manifest["reference_version"],
        changed=changed,
        note=note,
    )
