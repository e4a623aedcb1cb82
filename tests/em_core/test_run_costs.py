"""Costs are measured seconds; money only where a price is configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core.errors import UserError
from em_core.run_costs import RunCost, now, read_prices, record_cost
from em_core.storage import DeltaStore
from em_core.storage.names import COST_TABLE


def test_a_price_makes_an_amount_and_none_makes_none(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(
        "train_ditto: {compute: g5.xlarge, per_hour: 1.2}\ndefault: {compute: node, per_hour: 0}\n"
    )
    store, prices = DeltaStore(tmp_path / "tables"), read_prices(tmp_path / "prices.yaml")
    record_cost(store, RunCost("r1", "train_ditto", now(), 1800.0, 5000), prices)
    record_cost(store, RunCost("r1", "em_land_feeds", now(), 10.0), prices)
    record_cost(store, RunCost("r2", "train_ditto", now(), 1800.0), {})
    rows = store.read(COST_TABLE).set_index(["run_id", "step"])
    assert (
        rows.loc[("r1", "train_ditto"), "amount"] == pytest.approx(0.6)
        and rows.loc[("r1", "train_ditto"), "compute"] == "g5.xlarge"
    )
    assert rows.loc[("r1", "em_land_feeds"), "amount"] == 0
    unpriced = rows.loc[("r2", "train_ditto")]
    assert unpriced[["amount", "price_per_hour", "compute", "tokens"]].isna().all() and unpriced["seconds"] == 1800
    record_cost(store, RunCost("r2", "train_ditto", now(), 5.0), prices)
    assert len(store.read(COST_TABLE)) == 3, "a step that is run again in its run has one row"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x: {compute: a, per_hour: -1}", "per_hour: Input should be greater than or equal to 0"),
        ("x: {compute: a}", "per_hour: Field required"),
        ("x: {compute: a, per_hour: 1, each: 2}", "each: Extra inputs"),
        ("just words", "not `step: {compute, per_hour}` lines"),
        ("x: [1", "not `step: {compute, per_hour}` lines"),
    ],
)
def test_bad_prices_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"prices\.yaml: ") as error:
        read_prices(path)
    assert words in str(error.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_prices(tmp_path / "none.yaml")
    assert read_prices(None) == {}
