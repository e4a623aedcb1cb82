"""The noise model as a whole: what it promises of any reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import lei

from em_core.errors import UserError
from em_core.pairs.noise import SOURCE_ATTRIBUTES, NoiseSettings, perturb
from em_core.pairs.noise_channels import channels, profiles
from em_core.schema import REFERENCE, prepare_source
from em_core.text.identifiers import check_identifier

FIRST = [
    "Alpine",
    "Nestlé",
    "Bergström",
    "PetroChina",
    "Royal Dutch",
    "Société Générale",
    "KLA",
    "Müller & Sons",
    "三星电子",
    "Orange-Blue",
]
SECOND = [
    "Industries",
    "International Holdings",
    "Manufacturing",
    "Global Equity Fund",
    "Energy Services",
    "",
    "Technologies Group",
    "Real Estate",
]
FORMS = ["Limited", "GmbH", "S.p.A.", "Inc.", "B.V.", "Private Limited", "LLC", "", "plc", "Aktiengesellschaft"]
COUNTRIES = ["US", "GB", "DE", "KY", "JP", None]
LEIS = ["5493001KJTIIGC8Y1R12", "HWUPKR0MPOU8FGXBT394", "INR2EJN1ERAN0W5ZP974", "549300MLUDYVRQOOXS22"]


def master(rows: int = 800) -> pd.DataFrame:
    names = [f"{a} {b} {c}" for c in FORMS for b in SECOND for a in FIRST]
    return pd.DataFrame(
        {
            "entity_id": [f"E{row}" for row in range(rows)],
            "name": [" ".join(name.split()) for name in (names * (rows // len(names) + 1))[:rows]],
            "aliases": [["Old Name Ltd"] if row % 3 == 0 else [] for row in range(rows)],
            "lei": [LEIS[row % 4] for row in range(rows)],
            "isin": ["US0378331005"] * rows,
            "cusip": ["037833100"] * rows,
            "figi": ["BBG000B9XRY4"] * rows,
            "country": [COUNTRIES[row % 6] for row in range(rows)],
            "city": ["Zürich" if row % 2 else None for row in range(rows)],
            "postal_code": ["01234"] * rows,
            "website": ["http://www.example.com"] * rows,
            "address": ["12 High Street"] * rows,
            "industry": ["energy"] * rows,
            "parent_id": ["E1"] * rows,
        }
    )


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right)


@pytest.mark.parametrize("profile", sorted(profiles()))
def test_answer_is_the_source_contract(profile: str) -> None:
    reference = master(200).set_index(pd.Index(range(1000, 1200)))
    made = perturb(reference, 3, NoiseSettings(profile=profile))
    assert list(made.columns) == [*SOURCE_ATTRIBUTES, "operators"]
    assert made.index.equals(reference.index)
    assert made["name"].str.strip().ne("").all()
    assert made["aliases"].map(len).eq(0).all()
    feed = made.drop(columns="operators").assign(source_id=reference["entity_id"], source_system="x")
    assert len(prepare_source(feed)) == 200


def test_same_seed_same_answer_and_another_seed_another() -> None:
    reference = master(300)
    same(perturb(reference, 5), perturb(reference, 5))
    assert (perturb(reference, 5)["name"] != perturb(reference, 6)["name"]).mean() > 0.6


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(60)), size=st.integers(1, 60), seed=st.integers(0, 2**40))
def test_a_record_depends_on_seed_and_key_alone(order: list[int], size: int, seed: int) -> None:
    reference = master(60)
    whole = perturb(reference, seed)
    part = perturb(reference.iloc[order[:size]], seed)
    same(part, whole.loc[part.index])


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(
        st.one_of(st.none(), st.text(max_size=60), st.sampled_from(FIRST), st.just("x" * 2000), st.just("🚀")),
        min_size=1,
        max_size=8,
    ),
    profile=st.sampled_from(sorted(profiles())),
    seed=st.integers(0, 1000),
)
def test_any_text_survives(names: list[str | None], profile: str, seed: int) -> None:
    reference = pd.DataFrame({"entity_id": [str(i) for i in range(len(names))], "name": pd.Series(names, dtype=object)})
    made = perturb(reference, seed, NoiseSettings(profile=profile, swapped=0))
    for before, after, operators in zip(names, made["name"], made["operators"], strict=True):
        if before is None or not before.strip():
            assert after is None
            assert operators == ""
        else:
            assert after.strip()
            assert any(map(str.isalnum, after)) or not any(map(str.isalnum, before))
            assert (after == before) == (operators == "")


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  "])
def test_every_kind_of_missing_stays_missing(missing: object) -> None:
    reference = pd.DataFrame(
        {"entity_id": ["a"], "name": pd.Series([missing], dtype=object), "city": pd.Series([missing], dtype=object)}
    )
    made = perturb(reference, 1)
    assert made.loc[0, "name"] is None
    assert made.loc[0, "city"] is None


def test_operators_are_named_if_and_only_if_something_changed() -> None:
    reference = master()
    made = perturb(
        reference,
        9,
        NoiseSettings(keep=dict.fromkeys(reference.columns.drop(["entity_id", "name", "aliases", "parent_id"]), 1.0)),
    )
    for column in ("country", "city", "lei"):
        changed = made[column].fillna("") != reference[column].fillna("")
        named = made["operators"].str.contains(f"(?:form|missing|broken|foreign|changed|swapped)_{column}(?:[+]|$)")
        assert (changed == named).all(), column
    name_changed = made["name"] != reference["name"]
    name_hits = made["operators"].map(
        lambda text: any(
            "_" not in hit or hit.split("_")[0] in ("legal", "case", "word", "other", "swapped")
            for hit in text.split("+")
            if hit
        )
    )
    assert (name_changed == name_hits).all()


def test_shares_are_those_of_real_feeds() -> None:
    reference = master(4000)
    for profile in ("crm", "mixed"):
        made = perturb(reference, 11, NoiseSettings(profile=profile))
        unchanged = (made["name"].str.casefold() == reference["name"].str.casefold()).mean()
        assert 0.07 < unchanged < 0.18, profile
    hits = made["operators"].str.split("+").explode()
    assert set(hits) >= {
        "legal_dropped",
        "legal_short",
        "abbreviated",
        "typo",
        "ocr",
        "junk",
        "truncated",
        "case_upper",
        "folded",
        "reordered",
        "place",
    }
    # A column that this record lacks is no change of what it says.
    changes = hits[(hits != "") & ~hits.str.startswith("missing_")]
    assert 1.3 < changes.groupby(level=0).size().mean() < 6
    assert made["operators"].str.contains("swapped").mean() < 0.01


@pytest.mark.parametrize(
    ("channel", "width"),
    [("narrow", 18), ("over_the_counter", 31), ("par_value", 25), ("australian", 14), ("brazilian", 22)],
)
def test_channels_keep_their_width_case_and_script(channel: str, width: int) -> None:
    made = perturb(master(), 2, NoiseSettings(channels={channel: 1}, swapped=0))
    assert made["name"].str.len().max() <= width
    assert made["name"].map(str.isascii).all()
    assert (made["name"] == made["name"].str.upper()).mean() > 0.9


def test_identifiers_are_right_broken_or_of_another() -> None:
    reference = master()
    donors = pd.DataFrame({"lei": ["529900D6BF99LW9R2E68"], "cusip": [None]})
    made = perturb(
        reference,
        4,
        NoiseSettings(keep={"lei": 1, "isin": 1, "cusip": 1, "figi": 1}, broken_identifier=0.2, foreign_identifier=0.2),
        donors,
    )
    hits = made["operators"]
    broken, foreign = hits.str.contains("broken_lei"), hits.str.contains("foreign_lei")
    assert 0.1 < broken.mean() < 0.3
    assert 0.1 < foreign.mean() < 0.3
    assert not made["lei"][broken].map(lambda value: bool(check_identifier("lei", value).value)).any()
    assert made["lei"][foreign].eq("529900D6BF99LW9R2E68").all()
    untouched = ~broken & ~foreign & made["lei"].notna()
    assert made["lei"][untouched].map(lei.compact).eq(reference["lei"][untouched]).all()
    # Without a donor of that kind a wrong identifier is invented: valid, and nobody's.
    strange = hits.str.contains("foreign_cusip")
    assert strange.any()
    assert made["cusip"][strange].ne("037833100").all()


def test_without_identifier_noise_identifiers_are_intact() -> None:
    reference = master()
    made = perturb(reference, 4, NoiseSettings(keep={"lei": 1}, broken_identifier=0, foreign_identifier=0))
    assert made["lei"].map(lei.compact).eq(reference["lei"]).all()


def test_keep_overrides_the_channel() -> None:
    made = perturb(master(), 1, NoiseSettings(keep={"lei": 0, "country": 0, "city": 1}))
    assert made["lei"].isna().all()
    assert made["country"].isna().all()
    assert made["city"].notna().sum() == 400


def test_swapping_moves_the_name_and_loses_nothing() -> None:
    reference = master(400)
    made = perturb(
        reference,
        8,
        NoiseSettings(channels={"registered_name": 1}, swapped=1, keep={"city": 1, "country": 1, "address": 1}),
    )
    swapped = made["operators"].str.contains("swapped_city")
    assert (swapped == reference["city"].notna()).all()
    assert made["name"][swapped].str.contains("(?i)z.{0,2}rich").mean() > 0.9


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (NoiseSettings(profile="nonsense"), "no profile 'nonsense'"),
        (NoiseSettings(channels={"nonsense": 1}), "no channel 'nonsense'"),
        (NoiseSettings(channels={"narrow": -1}), "above zero"),
        (NoiseSettings(channels={"narrow": 0}), "above zero"),
    ],
)
def test_unknown_settings_are_refused_in_one_sentence(bad: NoiseSettings, words: str) -> None:
    with pytest.raises(UserError, match=words):
        perturb(master(2), 1, bad)


@pytest.mark.parametrize("column", ["entity_id", "name"])
def test_a_reference_without_key_or_name_is_refused(column: str) -> None:
    with pytest.raises(UserError, match=f"no column '{column}'"):
        perturb(master(2).drop(columns=column), 1)


def test_no_rows_give_no_rows() -> None:
    made = perturb(master(2).head(0), 1)
    assert len(made) == 0
    assert list(made.columns) == [*SOURCE_ATTRIBUTES, "operators"]


def test_channels_name_only_what_exists() -> None:
    assert {name for mix in profiles().values() for name in mix} == set(channels())
    assert all(set(channel.keep) <= set(REFERENCE.columns) for channel in channels().values())
