"""The bundle is right as it stands, and each way of breaking it is found."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.bundle.check import check

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def schema() -> Path | None:
    """The published schema of bundles, which is not part of this project: `BUNDLE_SCHEMA`, or beside the checkout."""
    given = Path(os.environ.get("BUNDLE_SCHEMA") or ROOT.parent / "shared" / "data" / "bundle_schema.json")
    return given if given.is_file() else None


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "databricks.yml", tmp_path)
    shutil.copytree(ROOT / "resources", tmp_path / "resources")
    return tmp_path


def broken(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_bundle_has_no_findings(wheel: Path, schema: Path | None) -> None:
    found, left_out = check(ROOT, wheel, schema)
    assert found == []
    if schema is None:
        pytest.skip(
            "the bundle's schema is not there; references, types and entry points were checked: " + "; ".join(left_out)
        )
    assert left_out == []


def test_a_broken_copy_gives_the_findings(copy: Path, wheel: Path) -> None:
    broken(copy, "databricks.yml", "catalog: entity_matching_dev", "katalog: entity_matching_dev")
    broken(copy, "databricks.yml", "default: distilbert-base-uncased", "default: /Users/jane/model")
    broken(
        copy,
        "resources/phase_0_catalog.yml",
        "environment_key: wheel\n          timeout",
        "environment_key: whel\n          timeout",
    )
    broken(copy, "resources/phase_0_catalog.yml", "em_setup_catalog", "em_setup_catalogue")
    broken(
        copy, "resources/phase_1_data.yml", "--landing=/Volumes/${var.catalog}", "--landed=/Volumes/${var.catalogue}"
    )
    broken(copy, "resources/phase_1_data.yml", "timeout_seconds: 14400", "timeout_secs: 14400")
    broken(
        copy,
        "resources/phase_2_training.yml",
        "job_cluster_key: gpu\n          max_retries",
        "job_cluster_key: gpus\n          max_retries",
    )
    broken(copy, "resources/phase_2_training.yml", "{{job.parameters.epochs}}", "{{job.parameters.epoch}}")
    broken(
        copy,
        "resources/phase_2b_registration.yml",
        "depends_on: [{task_key: fit}]",
        "depends_on: [{task_key: fitting}]",
    )
    broken(copy, "resources/phase_4_matching.yml", "libraries: [{whl: ../dist/*.whl}]", "libraries: []")
    broken(copy, "resources/adhoc.yml", "package_name: entity_matching", "package_name: src")
    (copy / "resources" / "nested").mkdir()
    (copy / "resources" / "nested" / "lost.yml").write_text("resources: {}\n")
    found, _ = check(copy, wheel)
    told = "\n".join(found)
    for words in (
        "target dev sets katalog, which is not declared",
        "target dev gives no value to the variable catalog",
        "'/Users/jane/model' names a person",
        "environment_key whel is not declared",
        "entry point em_setup_catalogue is not in the wheel",
        "${var.catalogue} is not a declared variable",
        "arguments are required: --landing",
        "task index: has no timeout_seconds",
        "job_cluster_key gpus is not declared",
        "{{job.parameters.epoch}} is no parameter of the job",
        "depends_on fitting, which is no task",
        "task feeds: no wheel is attached",
        "package src is not the wheel's",
        "resources/nested/lost.yml: is not included",
        "timeout_secs",
    ):
        assert words in told, (words, told)


def test_the_published_schema_finds_what_the_types_find(copy: Path, wheel: Path, schema: Path | None) -> None:
    if schema is None:
        pytest.skip("the bundle's schema is not there (BUNDLE_SCHEMA)")
    broken(copy, "resources/phase_4_matching.yml", "op: GREATER_THAN", "op: MORE_THAN")
    broken(copy, "resources/phase_1_data.yml", "timeout_seconds: 14400", "timeout_seconds: long")
    broken(copy, "databricks.yml", "mode: production", "mode: productive")
    found, _ = check(copy, wheel, schema)
    told = "\n".join(found)
    for words in ("MORE_THAN", "'long'", "productive"):
        assert words in told, (words, told)
