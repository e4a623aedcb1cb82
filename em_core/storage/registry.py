"""Runs and model versions in MLflow: parameters, metrics, artifacts, and folders registered under aliases.

Works through `MlflowClient` alone, so nothing global (tracking URI, active run) is changed. Versions carry the folder's
fingerprint: registering equal content again finds the version that is already there. Aliases, not stages, say what a
version is for: `challenger` is the newest fitted one, `champion` the one in use.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from em_core.errors import UserError
from em_core.storage.atomic import atomic_folder
from em_core.storage.digest import fingerprint_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHALLENGER = "challenger"
CHAMPION = "champion"

_log = logging.getLogger(__name__)
_SQLITE = "sqlite:///"
_ARTIFACTS = "mlartifacts"
_MODEL_FOLDER = "model"
# Tag of a registered model: its champions in order, as JSON.
_HISTORY = "champions"
_REMEMBERED = 50
_NAME = re.compile(r"[^/:'\"]+")
# What MLflow refuses in the name of a parameter or a metric.
_FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)
_CREDENTIALS = re.compile(r"(?<=://)\S*@")
_QUERY = re.compile(r"(://[^\s?]*)\?[^\s'\")]*")


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model. `created` is False where equal content was registered before."""

    name: str
    version: int
    source: str
    run_id: str | None
    fingerprint: str
    tags: Mapping[str, str]
    created: bool = False

    @property
    def uri(self) -> str:
        """The MLflow URI of exactly this version."""
        return f"models:/{self.name}/{self.version}"


def redact(text: str) -> str:
    """The text with user, password and query of every URL in it hidden."""
    return _QUERY.sub(r"\1?***", _CREDENTIALS.sub("***@", text))


@contextmanager
def _failures(tracking_uri: str) -> Iterator[None]:
    """Turn the store's own exceptions, which may quote its address with a password, into a clean `UserError`."""
    from mlflow.exceptions import MlflowException

    store_errors: tuple[type[Exception], ...] = (MlflowException,)
    try:
        from sqlalchemy.exc import SQLAlchemyError

        store_errors = (MlflowException, SQLAlchemyError)
    except ImportError:
        _log.debug("no SQLAlchemy: only MLflow servers can be used")
    try:
        yield
    except store_errors as error:
        reason = redact(str(error).strip().splitlines()[0])
        raise UserError(f"MLflow at {redact(tracking_uri)}: {reason}") from None


class TrackedRun:
    """An MLflow run that is being written. Get one from `ModelRegistry.start_run`."""

    def __init__(self, client: MlflowClient, run_id: str, tracking_uri: str) -> None:
        self._client = client
        self._tracking_uri = tracking_uri
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log settings; a nested mapping becomes dotted names, None is left out."""
        with _failures(self._tracking_uri):
            for name, value in _flatten(params):
                self._client.log_param(self.run_id, name, value)

    def log_metrics(self, metrics: Mapping[str, float | int | None], step: int = 0) -> None:
        """Log numbers; None (not measured) is left out. MLflow refuses `@`: `recall@10` becomes `recall_at_10`."""
        with _failures(self._tracking_uri):
            for name, value in metrics.items():
                if value is not None:
                    self._client.log_metric(self.run_id, _clean(name), float(value), step=step)

    def log_artifacts(self, folder: Path | str, under: str | None = None) -> None:
        """Copy a folder's files to the run's artifacts, below `under`."""
        if not Path(folder).is_dir():
            raise UserError(f"{folder} is not a folder")
        with _failures(self._tracking_uri):
            self._client.log_artifacts(self.run_id, str(folder), under)

    def log_artifact(self, file: Path | str, under: str | None = None) -> None:
        """Copy one file to the run's artifacts, below `under`."""
        if not Path(file).is_file():
            raise UserError(f"{file} is not a file")
        with _failures(self._tracking_uri):
            self._client.log_artifact(self.run_id, str(file), under)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tag the run."""
        with _failures(self._tracking_uri):
            for name, value in tags.items():
                self._client.set_tag(self.run_id, name, value)


class ModelRegistry:
    """An MLflow tracking store and its model registry, seen through one experiment.

    tracking_uri: `sqlite:///path/mlflow.db` (its folder is made on first use) or an MLflow server.
    experiment: made on first use; for sqlite with artifacts in `mlartifacts/` beside the database.
    registry_uri: only where the registry is elsewhere, such as `databricks-uc`.
    namespace: `catalog.schema` in front of every model's name, as Unity Catalog wants it.

    Nothing is opened before the first call. Every failure of the store is a `UserError` without credentials in it.
    """

    def __init__(
        self, tracking_uri: str, experiment: str, *, registry_uri: str | None = None, namespace: str = ""
    ) -> None:
        self.tracking_uri = _absolute(tracking_uri)
        self.registry_uri = registry_uri
        self.experiment = experiment
        self.namespace = namespace
        self._opened: MlflowClient | None = None

    def __repr__(self) -> str:
        return f"ModelRegistry({redact(self.tracking_uri)!r}, {self.experiment!r})"

    def existing(self) -> ModelRegistry:
        """This registry, for those who only look: a sqlite file is never made by looking at it. Raises `UserError` if it is not there."""
        if self.tracking_uri.startswith(_SQLITE) and not _database(self.tracking_uri).is_file():
            raise UserError(
                f"there is no registry at {redact(self.tracking_uri)}: fit a matcher first, or name one with --tracking-uri"
            )
        return self

    @contextmanager
    def start_run(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[TrackedRun]:
        """A run for the length of the block: FINISHED at its end, FAILED (and raised on) by an exception in it."""
        client = self._open()
        with _failures(self.tracking_uri):
            run = client.create_run(self._experiment_id(client), run_name=name, tags=dict(tags or {}))
        tracked = TrackedRun(client, run.info.run_id, self.tracking_uri)
        status = "FAILED"
        try:
            yield tracked
            status = "FINISHED"
        finally:
            with _failures(self.tracking_uri):
                client.set_terminated(tracked.run_id, status=status)

    def register(
        self,
        name: str,
        folder: Path | str,
        *,
        run: TrackedRun,
        fingerprint: str | None = None,
        alias: str | None = CHALLENGER,
        tags: Mapping[str, str] | None = None,
    ) -> RegisteredVersion:
        """Make a folder of files a version of the model `name` and point `alias` at it.

        fingerprint: says which content is equal; by default over the files' names and bytes. A version that carries
            the same one is returned as it is, nothing is uploaded, only the alias moves.
        tags: more to know about the version, such as `matcher_version`.
        """
        folder = Path(folder)
        if not folder.is_dir() or not any(folder.iterdir()):
            raise UserError(f"cannot register {folder}: it is not a folder with files")
        mark = fingerprint or fingerprint_folder(folder)
        known = self._find(name, mark)
        if known is None:
            client = self._open()
            run.log_artifacts(folder, _MODEL_FOLDER)
            with _failures(self.tracking_uri):
                source = f"{client.get_run(run.run_id).info.artifact_uri}/{_MODEL_FOLDER}"
                made = client.create_model_version(
                    self._full(name), source=source, run_id=run.run_id, tags={**(tags or {}), "fingerprint": mark}
                )
            known = _version(made, created=True)
            _log.info("registered %s version %d (%s)", name, known.version, mark)
        if alias is not None:
            self.set_alias(name, alias, known.version)
        return known

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias at a version, away from the one that had it."""
        client = self._open()
        with _failures(self.tracking_uri):
            client.set_registered_model_alias(self._full(name), alias, str(version))

    def get(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that an alias points at; None if the model or the alias is not there."""
        from mlflow.exceptions import MlflowException

        client = self._open()
        with _failures(self.tracking_uri):
            try:
                return _version(client.get_model_version_by_alias(self._full(name), alias))
            except MlflowException as error:
                # The SQL store calls a missing alias an invalid parameter, other stores a missing resource.
                missing = error.error_code == "RESOURCE_DOES_NOT_EXIST" or f"alias {alias} not found" in str(error)
                if not missing:
                    raise
        return None

    def must_get(self, name: str, alias: str) -> RegisteredVersion:
        """`get`, raising `UserError` where there is no such version."""
        found = self.get(name, alias)
        if found is None:
            raise UserError(f"the registry at {redact(self.tracking_uri)} has no model {name!r} with alias {alias!r}")
        return found

    def champions(self, name: str) -> list[int]:
        """Versions that were ever in use, the oldest first; the last is the champion. Empty where there is none."""
        from mlflow.exceptions import MlflowException

        client = self._open()
        with _failures(self.tracking_uri):
            try:
                tags = client.get_registered_model(self._full(name)).tags or {}
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return []
        return [int(version) for version in json.loads(tags.get(_HISTORY, "[]"))]

    def promote(self, name: str, version: int, tags: Mapping[str, str] | None = None) -> None:
        """Make a version the champion; the one before it stays known for `rollback`. `tags` are written to the version."""
        history = self.champions(name)
        if history[-1:] != [version]:
            self._crown(name, [*history, version])
        self.tag(name, version, {**(tags or {}), "promoted_at": _now()})

    def rollback(self, name: str, to: int | None = None) -> RegisteredVersion:
        """Make an earlier champion the champion again: the one before this one, or version `to`.

        Raises `UserError` if there is none, or `to` never was one.
        """
        history = self.champions(name)
        if len(history) < 2:
            raise UserError(f"{name}: no earlier champion to go back to")
        target = history[-2] if to is None else to
        if target not in history[:-1]:
            known = ", ".join(map(str, dict.fromkeys(history[:-1])))
            raise UserError(f"{name}: version {target} never was champion before this one; earlier champions: {known}")
        last = history.pop()
        while history[-1] != target:
            history.pop()
        self._crown(name, history)
        self.tag(name, last, {"rolled_back_at": _now()})
        found = self.get(name, CHAMPION)
        assert found is not None
        return found

    def _crown(self, name: str, history: list[int]) -> None:
        client = self._open()
        with _failures(self.tracking_uri):
            client.set_registered_model_alias(self._full(name), CHAMPION, str(history[-1]))
            client.set_registered_model_tag(self._full(name), _HISTORY, json.dumps(history[-_REMEMBERED:]))

    def tag(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags to a version."""
        client = self._open()
        with _failures(self.tracking_uri):
            for key, value in tags.items():
                client.set_model_version_tag(self._full(name), str(version), key, value)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, the newest first; empty where there is no such model."""
        client = self._open()
        versions: list[RegisteredVersion] = []
        token = None
        with _failures(self.tracking_uri):
            while True:
                page = client.search_model_versions(f"name = '{self._full(name)}'", page_token=token)
                versions.extend(_version(found) for found in page)
                token = page.token
                if not token:
                    return sorted(versions, key=lambda found: -found.version)

    def download(
        self,
        name: str,
        alias: str,
        dst: Path | str,
        *,
        marker: str | None = None,
        inside: Callable[[Path], Path] = lambda folder: folder,
    ) -> RegisteredVersion:
        """Fetch the files of the version behind an alias into the folder `dst`, which becomes exactly that content.

        marker: see `atomic_folder`. inside: which folder of what was registered is wanted. Raises `UserError` if there is no such version.
        """
        found = self.must_get(name, alias)
        client = self._open()
        with (
            atomic_folder(dst, marker=marker) as folder,
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download.") as aside,
        ):
            from mlflow.artifacts import download_artifacts

            with _failures(self.tracking_uri):
                source = client.get_model_version_download_uri(self._full(name), str(found.version))
                fetched = Path(download_artifacts(artifact_uri=source, dst_path=aside, tracking_uri=self.tracking_uri))
            for entry in inside(fetched).iterdir():
                entry.rename(folder / entry.name)
        return found

    def _find(self, name: str, mark: str) -> RegisteredVersion | None:
        """The newest version with this fingerprint; makes the registered model if there is none."""
        from mlflow.exceptions import MlflowException

        client = self._open()
        with _failures(self.tracking_uri):
            try:
                client.create_registered_model(self._full(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        same = [found for found in self.versions(name) if found.fingerprint == mark]
        return max(same, key=lambda found: found.version, default=None)

    def _full(self, name: str) -> str:
        return f"{self.namespace}.{_checked(name)}" if self.namespace else _checked(name)

    def _open(self) -> MlflowClient:
        if self._opened is None:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            try:
                from mlflow import MlflowClient
            except ImportError:
                raise UserError("MLflow is not installed: install entity-matching[local]") from None
            if self.tracking_uri.startswith(_SQLITE):
                _make_parent(self.tracking_uri)
            try:
                with _failures(self.tracking_uri):
                    self._opened = MlflowClient(self.tracking_uri, self.registry_uri)
            except ModuleNotFoundError as error:
                # A database driver, or the SQL half of MLflow where only mlflow-skinny is there.
                where = redact(self.tracking_uri)
                raise UserError(f"MLflow at {where} needs the Python package {error.name!r}; install it") from None
        return self._opened

    def _experiment_id(self, client: MlflowClient) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(client.create_experiment(self.experiment, _artifact_location(self.tracking_uri)))
            except MlflowException:
                # Another process may have made it in between.
                found = client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise UserError(f"the MLflow experiment {self.experiment!r} is deleted; restore it or name another one")
        return str(found.experiment_id)


def _version(found: Any, *, created: bool = False) -> RegisteredVersion:
    tags = dict(found.tags or {})
    return RegisteredVersion(
        name=found.name,
        version=int(found.version),
        source=found.source,
        run_id=found.run_id or None,
        fingerprint=tags.get("fingerprint", ""),
        tags=tags,
        created=created,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield _clean(f"{prefix}{name}"), value


def _clean(name: str) -> str:
    return _FORBIDDEN.sub("_", name.replace("@", "_at_"))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is no model name: it may not be empty or hold / : or quotes")
    return name


def _database(tracking_uri: str) -> Path:
    return Path(tracking_uri.removeprefix(_SQLITE).partition("?")[0])


def _absolute(tracking_uri: str) -> str:
    """A relative sqlite path made absolute: artifact places are stored for good, the working folder changes."""
    database = _database(tracking_uri)
    if not tracking_uri.startswith(_SQLITE) or database.is_absolute():
        return tracking_uri
    if str(database) in (".", ":memory:"):
        raise UserError(f"{tracking_uri} names no database file")
    return tracking_uri.replace(str(database), str(database.resolve()), 1)


def _artifact_location(tracking_uri: str) -> str | None:
    if not tracking_uri.startswith(_SQLITE):
        return None
    return (_database(tracking_uri).parent / _ARTIFACTS).as_uri()


def _make_parent(tracking_uri: str) -> None:
    parent = _database(tracking_uri).parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {parent} for the MLflow database: {error.strerror}") from None
