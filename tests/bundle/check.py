"""Validates a bundle offline: form, references, and that every task's entry point is in the wheel and takes its arguments.

    python -m tests.bundle.check [FOLDER] [--schema FILE] [--wheel FILE]

`databricks bundle schema > FILE` writes the schema; without it, and without `databricks-bundles`, their part is left out and said so.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_DYNAMIC = re.compile(r"\{\{([^}]*)\}\}")
_KNOWN_DYNAMIC = ("job.run_id", "job.id", "task.name", "job.start_time.iso_date", "job.repair_count", "task.run_id")
_PERSONAL = re.compile(r"/Users/|/home/|@[\w-]+\.\w+|https?://[\w.-]*(databricks|azuredatabricks)")


class Bundle:
    """The YAML files of a bundle, read but not resolved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Any] = {"databricks.yml": _load(folder / "databricks.yml")}
        self.unread: list[str] = []
        for pattern in self.files["databricks.yml"].get("include", []):
            found = sorted(folder.glob(pattern))
            if not found:
                self.unread.append(f"databricks.yml: include {pattern} names no file")
            for path in found:
                self.files[path.relative_to(folder).as_posix()] = _load(path)
        strange = {p.relative_to(folder).as_posix() for p in folder.glob("resources/**/*.y*ml")} - set(self.files)
        self.unread += [f"{name}: is not included" for name in sorted(strange)]

    @property
    def root(self) -> dict[str, Any]:
        return self.files["databricks.yml"]

    @property
    def jobs(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Key -> (file, job)."""
        return {
            key: (name, job)
            for name, content in self.files.items()
            for key, job in ((content.get("resources") or {}).get("jobs") or {}).items()
        }

    def values(self, target: str) -> dict[str, Any]:
        """Variables of a target, those without a value left out."""
        declared = {
            key: spec.get("default") for key, spec in self.root.get("variables", {}).items() if "default" in spec
        }
        own = ((self.root.get("targets") or {}).get(target) or {}).get("variables") or {}
        return {**declared, **own}

    def resolved(self, thing: Any, target: str, depth: int = 0) -> Any:
        """With references to variables and to the target filled in; others stay."""
        if isinstance(thing, dict):
            return {key: self.resolved(value, target, depth) for key, value in thing.items()}
        if isinstance(thing, list):
            return [self.resolved(value, target, depth) for value in thing]
        if not isinstance(thing, str) or depth > 5:
            return thing
        values = self.values(target)
        if (whole := _REFERENCE.fullmatch(thing)) and whole[1].removeprefix("var.") in values:
            return self.resolved(values[whole[1].removeprefix("var.")], target, depth + 1)

        def fill(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("var.") and name[4:] in values:
                return str(self.resolved(values[name[4:]], target, depth + 1))
            return {"bundle.target": target, "bundle.name": self.root["bundle"]["name"]}.get(name, found[0])

        return _REFERENCE.sub(fill, thing)


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _texts(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        for value in thing.values():
            yield from _texts(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from _texts(value)
    elif isinstance(thing, str):
        yield thing


def check_references(bundle: Bundle) -> list[str]:
    """References to variables, resources, environments, clusters, tasks and parameters that nothing answers; personal things."""
    found = list(bundle.unread)
    variables = bundle.root.get("variables", {})
    used: set[str] = set()
    for name, content in bundle.files.items():
        for text in _texts(content):
            for reference in _REFERENCE.findall(text):
                kind, _, rest = reference.partition(".")
                used |= {rest} if kind == "var" else set()
                if kind == "var" and rest not in variables:
                    found.append(f"{name}: ${{{reference}}} is not a declared variable")
                if kind == "resources" and rest.split(".")[0] == "jobs" and rest.split(".")[1] not in bundle.jobs:
                    found.append(f"{name}: ${{{reference}}} names no job")
                if kind not in ("var", "resources", "bundle", "workspace"):
                    found.append(f"{name}: ${{{reference}}} is no reference that a bundle knows")
            if _PERSONAL.search(text):
                found.append(f"{name}: {text!r} names a person, a machine or a workspace")
    for target in bundle.root.get("targets", {}):
        missing = used - set(bundle.values(target))
        found += [f"databricks.yml: target {target} gives no value to the variable {name}" for name in sorted(missing)]
        own = ((bundle.root["targets"] or {}).get(target) or {}).get("variables") or {}
        found += [
            f"databricks.yml: target {target} sets {n}, which is not declared"
            for n in sorted(set(own) - set(variables))
        ]
    for target, spec in (bundle.root.get("targets") or {}).items():
        if spec.get("mode") not in (None, "development", "production"):
            found.append(f"databricks.yml: target {target}: mode {spec['mode']} is neither development nor production")
    found += [f"databricks.yml: the variable {name} is never used" for name in sorted(set(variables) - used)]
    for key, (name, job) in bundle.jobs.items():
        found += [f"{name}, job {key}: {what}" for what in _check_job(job)]
    return found


def _check_job(job: dict[str, Any]) -> Iterator[str]:
    environments = {e.get("environment_key") for e in job.get("environments", [])}
    clusters = {c.get("job_cluster_key") for c in job.get("job_clusters", [])}
    parameters = {p.get("name") for p in job.get("parameters", [])}
    keys = [task.get("task_key") for task in job.get("tasks", [])]
    yield from (f"task {key} is there twice" for key in {key for key in keys if keys.count(key) > 1})
    for task in job.get("tasks", []):
        at = f"task {task.get('task_key')}:"
        if (key := task.get("environment_key")) is not None and key not in environments:
            yield f"{at} environment_key {key} is not declared"
        if (key := task.get("job_cluster_key")) is not None and key not in clusters:
            yield f"{at} job_cluster_key {key} is not declared"
        if "environment_key" in task and "libraries" in task:
            yield f"{at} libraries do not go with environment_key"
        if not {"environment_key", "job_cluster_key", "existing_cluster_id", "new_cluster"} & set(task):
            yield f"{at} nothing says where it runs"
        for before in task.get("depends_on", []):
            if before.get("task_key") not in keys:
                yield f"{at} depends_on {before.get('task_key')}, which is no task"
        wheel = task.get("python_wheel_task") or {}
        if "parameters" in wheel and "named_parameters" in wheel:
            yield f"{at} parameters and named_parameters exclude each other"
        attached = [
            e["spec"].get("dependencies", [])
            for e in job.get("environments", [])
            if e.get("environment_key") == task.get("environment_key")
        ]
        wheels = [d for group in attached for d in group] + [
            library.get("whl", "") for library in task.get("libraries", [])
        ]
        if wheel and not any(str(w).endswith(".whl") for w in wheels):
            yield f"{at} no wheel is attached"
        if "timeout_seconds" not in task:
            yield f"{at} has no timeout_seconds"
        for text in _texts(wheel):
            for reference in _DYNAMIC.findall(text):
                if reference.startswith("job.parameters."):
                    if reference.removeprefix("job.parameters.") not in parameters:
                        yield f"{at} {{{{{reference}}}}} is no parameter of the job"
                elif reference not in _KNOWN_DYNAMIC:
                    yield f"{at} {{{{{reference}}}}} is no value that a job knows"


def check_entry_points(bundle: Bundle, wheel: Path, target: str) -> list[str]:
    """Entry points that the wheel lacks, and arguments that they refuse."""
    entries, package = _entry_points(wheel)
    found = []
    for key, (name, job) in bundle.jobs.items():
        for task in job.get("tasks", []):
            step = task.get("python_wheel_task")
            if not step:
                continue
            at = f"{name}, job {key}: task {task.get('task_key')}:"
            if str(step.get("package_name")).replace("-", "_") != package:
                found.append(f"{at} package {step.get('package_name')} is not the wheel's, {package}")
            if step.get("entry_point") not in entries:
                found.append(f"{at} entry point {step.get('entry_point')} is not in the wheel")
                continue
            defaults = {p["name"]: str(p.get("default", "1")) for p in job.get("parameters", [])}
            arguments = [
                _DYNAMIC.sub(lambda m, d=defaults: d.get(m[1].removeprefix("job.parameters."), "1"), str(text))
                for text in bundle.resolved(step.get("parameters", []), target)
            ]
            if refused := _refused(entries[step["entry_point"]], arguments):
                found.append(f"{at} {refused}")
    return found


def _entry_points(wheel: Path) -> tuple[dict[str, str], str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt")]
        parsed = ConfigParser(delimiters=("=",))
        parsed.optionxform = str  # type: ignore[assignment,method-assign]
        parsed.read_string(archive.read(name).decode())
    return dict(parsed["console_scripts"]), wheel.name.split("-")[0]


class _ParsedError(Exception):
    """The arguments were taken; the work must not begin."""


def _refused(entry: str, arguments: list[str]) -> str | None:
    """What the entry point says against the arguments, None if it takes them. Its work is not begun."""
    module, _, function = entry.partition(":")
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *given: Any, **named: Any) -> None:
        parse(self, *given, **named)
        raise _ParsedError

    said = io.StringIO()
    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop), contextlib.redirect_stderr(said):
        try:
            getattr(import_module(module), function)(arguments)
        except _ParsedError:
            return None
        except SystemExit:
            return said.getvalue().strip().splitlines()[-1]
    return "did not parse its arguments"


def check_schema(bundle: Bundle, schema: Path) -> list[str]:
    """What the published JSON schema says against each file."""
    import jsonschema

    # Python's patterns know no \\p{L}.
    text = (
        schema.read_text(encoding="utf-8")
        .replace(r"[\\p{L}\\p{N}]", r"[^\\W_]")
        .replace(r"\\p{L}", r"[^\\W\\d_]")
        .replace(r"\\p{N}", r"\\d")
    )
    validator = jsonschema.validators.validator_for(whole := json.loads(text))(whole)
    found = []
    for name, content in bundle.files.items():
        for error in validator.iter_errors(content):
            found += [f"{name}: {where}: {what}" for where, what in _leaves(error)]
    return sorted(set(found))


def _leaves(error: Any) -> Iterator[tuple[str, str]]:
    """Of alternatives the real one's findings, not that the value is no `${...}`."""
    if not error.context:
        yield ".".join(map(str, error.absolute_path)) or "the file", error.message[:200]
        return
    branches: dict[int, list[Any]] = {}
    for child in error.context:
        branches.setdefault(child.schema_path[0], []).append(child)
    real = [
        group
        for group in branches.values()
        if not all(
            c.validator in ("pattern", "type") and c.schema.get("type") == "string" and "pattern" in c.schema
            for c in group
        )
    ]
    for child in min(
        real or list(branches.values()), key=lambda group: (-max(len(c.absolute_path) for c in group), len(group))
    ):
        yield from _leaves(child)


def check_typed(bundle: Bundle, target: str) -> list[str]:
    """What the typed model of `databricks-bundles` says against each job, with the target's values filled in."""
    from databricks.bundles.jobs import Job

    found = []
    for key, (name, job) in bundle.jobs.items():
        try:
            Job.from_dict(bundle.resolved(job, target))
        except (TypeError, ValueError, KeyError) as error:
            found.append(f"{name}, job {key}: {str(error).splitlines()[0]}")
    return found


def check(folder: Path, wheel: Path, schema: Path | None = None) -> tuple[list[str], list[str]]:
    """(findings, what could not be checked)."""
    bundle = Bundle(folder)
    found, left_out = check_references(bundle), []
    for target in bundle.root.get("targets", {}):
        found += [f"{what} (target {target})" for what in check_entry_points(bundle, wheel, target)]
        try:
            found += [f"{what} (target {target})" for what in check_typed(bundle, target)]
        except ImportError:
            left_out = ["types: databricks-bundles is not installed"]
    if schema is not None and schema.is_file():
        found += check_schema(bundle, schema)
    else:
        left_out.append("schema: no file; `databricks bundle schema` writes one")
    return list(dict.fromkeys(found)), left_out


def main() -> int:
    """Exit code 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--schema", type=Path, help="JSON schema of bundles")
    parser.add_argument("--wheel", type=Path, help="built wheel; default: the newest in dist/")
    arguments = parser.parse_args()
    wheel = arguments.wheel or max(
        (arguments.folder / "dist").glob("*.whl"), key=lambda p: p.stat().st_mtime, default=None
    )
    if wheel is None:
        sys.stderr.write("no wheel: run `make wheel`\n")
        return 2
    found, left_out = check(arguments.folder, wheel, arguments.schema)
    for line in found:
        sys.stdout.write(f"{line}\n")
    for line in left_out:
        sys.stdout.write(f"not checked: {line}\n")
    sys.stdout.write(f"{len(found)} finding(s)\n")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
