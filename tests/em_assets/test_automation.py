"""Automation conditions on a real instance: what follows when the content of something upstream changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from em_assets.definitions import defs

ASSETS = (
    "reference_entities",
    "vector_index",
    "matcher",
    "evaluation_records",
    "champion_matcher",
    "match_report",
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


class Daemon:
    """Evaluates the conditions of all assets as the daemon does, its cursor kept."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.defs = instance, defs()
        self.cursor: Any = None
        for name in ASSETS:
            self.made(name, "1")
        self.tick()

    def made(self, name: str, version: str) -> None:
        event = dg.AssetMaterialization(name, tags={"dagster/data_version": version})
        self.instance.report_runless_asset_event(event)

    def tick(self) -> set[str]:
        done = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = done.cursor
        return {name for name in ASSETS if done.get_num_requested(dg.AssetKey(name))}


def test_a_new_master_is_indexed_then_given_to_the_matcher_in_use(instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance)
    assert daemon.tick() == set()
    daemon.made("reference_entities", "2")
    assert daemon.tick() == {"vector_index"}
    assert daemon.tick() == set()  # asked once
    daemon.made("vector_index", "2")
    assert daemon.tick() == {"champion_matcher"}


def test_what_came_out_the_same_moves_nothing(instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance)
    daemon.made("reference_entities", "1")
    daemon.made("matcher", "1")
    assert daemon.tick() == set()


def test_a_newly_fitted_matcher_is_considered(instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance)
    daemon.made("matcher", "2")
    assert daemon.tick() == {"champion_matcher"}


def test_new_results_are_reported(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("source_files", ["a.csv", "b.csv"])
    daemon = Daemon(instance)
    for version, asked in (("1", True), ("1", False), ("2", True)):
        tags = {"dagster/data_version": version}
        instance.report_runless_asset_event(dg.AssetMaterialization("matched_entities", partition="a.csv", tags=tags))
        assert ("match_report" in daemon.tick()) == asked
        daemon.made("match_report", "9")
        assert daemon.tick() == set()


def test_training_never_starts_by_itself(instance: dg.DagsterInstance) -> None:
    daemon = Daemon(instance)
    for name in ("reference_entities", "vector_index"):
        daemon.made(name, "2")
    asked = daemon.tick() | daemon.tick()
    assert not asked & {"matcher", "ditto_model", "training_pairs"}
