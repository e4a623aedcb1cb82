"""Each operator alone: what it does where it applies, and that it leaves alone what it does not know."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from em_core.pairs import noise_letters as letters
from em_core.pairs import noise_words as words
from em_core.pairs.noise_channels import LEGAL, OPERATORS, Channel, Operator
from em_core.pairs.noise_lexicon import abbreviations, countries, form_table, split_form, squeeze, tails
from em_core.pairs.noise_random import Dice, Mix, key_hash
from em_core.pairs.noise_words import Scene
from em_core.text.places import country_code

ALL = {**OPERATORS, **{f"legal_{name}": operator for name, operator in LEGAL.items()}}


def scene(seed: int, **attributes: object) -> Scene:
    return Scene(Dice.of(seed, "record"), **attributes)  # type: ignore[arg-type]


def outcomes(operator: Operator, name: str, **attributes: object) -> set[str]:
    return {operator(name, scene(seed, **attributes)) for seed in range(150)}


@pytest.mark.parametrize(
    ("name", "body", "form"),
    [
        ("Siemens Aktiengesellschaft", "Siemens", "AG"),
        ("Foo Bar, Inc.", "Foo Bar", "Inc"),
        ("Fiat S. p. A.", "Fiat", "SpA"),
        ("PT Astra International Tbk", "PT Astra International", "Tbk"),
        ("OOO Romashka", "Romashka", "OOO"),
        ("AB Volvo", "Volvo", "AB"),
        ("Zhejiang Taitan Co.,Ltd.", "Zhejiang Taitan", "Co Ltd"),
        ("ABC Spółka z ograniczoną odpowiedzialnością", "ABC", "Sp z oo"),
        ("Muster GmbH & Co. KG", "Muster", "GmbH & Co KG"),
        ("株式会社日立製作所", "日立製作所", "KK"),
    ],
)
def test_split_form_takes_the_legal_form(name: str, body: str, form: str) -> None:
    parts = split_form(name)
    assert parts.body == body
    assert parts.form is not None
    assert parts.form.spellings[0] == form


@pytest.mark.parametrize("name", ["Limited Brands", "SA Recycling", "Company", "AG", "Atlas", "The Well"])
def test_split_form_leaves_names_that_only_look_like_forms(name: str) -> None:
    assert split_form(name).body == name


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=40).map(lambda text: " ".join(text.split())).filter(bool))
def test_split_form_body_is_never_empty(name: str) -> None:
    assert split_form(name).body.strip()


@pytest.mark.parametrize(
    ("label", "name", "wanted"),
    [
        ("legal_short", "Acme Limited", "Acme Ltd"),
        ("legal_short", "ACME, LIMITED", "ACME, LTD"),
        ("legal_written", "Muster GmbH", "Muster Gesellschaft mit beschränkter Haftung"),
        ("legal_dropped", "Acme Widgets, Inc.", "Acme Widgets"),
        ("legal_changed", "Acme GmbH", "Acme Ltd"),
        ("legal_added", "Acme", "Acme Inc"),
        ("abbreviated", "Ceragon Manufacturing Inc.", "Ceragon Mfg Inc."),
        ("abbreviated", "ACME INTERNATIONAL HOLDINGS", "ACME INTL HLDGS"),
        ("expanded", "Acme Intl", "Acme International"),
        ("inflected", "Medallion Resources Ltd.", "Medallion Resource Ltd."),
        ("inflected", "Vista Technology Inc", "Vista Technologies Inc"),
        ("acronym", "International Business Machines Corp", "IBM"),
        ("word_dropped", "Acme Holdings Ltd", "Acme Ltd"),
        ("word_added", "Acme Ltd", "Acme Group Ltd"),
        ("brand", "Creative Technology Ltd", "Creative"),
        ("reordered", "Walt Disney Company", "Disney (Walt) Company"),
        ("reordered", "Acme Widgets Ltd", "Ltd Acme Widgets"),
        ("article", "The Toro Company", "Toro Company (The)"),
        ("article", "Toro Company", "The Toro Company"),
        ("punctuation", "Müller & Sons", "Müller and Sons"),
        ("punctuation", "AT&T Inc.", "AT&T Inc"),
        ("punctuation", "Fudan-Zhangjiang", "Fudan Zhangjiang"),
        ("glued", "Credit Bureau Asia Ltd", "CreditBureau Asia Ltd"),
        ("parted", "PetroChina", "Petro China"),
        ("ocr", "Corning", "Coming"),
        ("typo", "Acme", "Amce"),
    ],
)
def test_an_operator_reaches_the_form_that_feeds_write(label: str, name: str, wanted: str) -> None:
    assert wanted in outcomes(ALL[label], name, dotted=0.0, country="US")


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("legal_short", "Acme"), ("legal_written", "Acme"), ("legal_dropped", "Acme"), ("legal_changed", "Acme"),
        ("legal_added", "Acme Ltd"), ("abbreviated", "Acme"), ("abbreviated", "International"), ("expanded", "Acme"), ("shortened", "Acme"),
        ("acronym", "Acme Widgets"), ("word_dropped", "Acme"), ("word_dropped", "Acme Widgets"), ("brand", "Acme"), ("reordered", "Acme"),
        ("glued", "Acme Ltd"), ("parted", "Acme"), ("typo", "KLA"), ("ocr", "KNK"), ("alias", "Acme"),
    ],
)  # fmt: skip
def test_an_operator_leaves_alone_what_it_does_not_know(label: str, name: str) -> None:
    assert outcomes(ALL[label], name) == {name}


def test_shortened_words_are_cut_or_without_vowels() -> None:
    found = outcomes(words.shortened, "CERAGON NETWORKS LTD", dotted=1.0)
    assert "CERAGON NETW. LTD" in found
    assert all(len(name) < len("CERAGON NETWORKS LTD") for name in found)


def test_a_changed_form_is_another_form() -> None:
    for name in outcomes(words.legal_changed, "Acme Holding GmbH"):
        other = split_form(name).form
        assert name.startswith("Acme Holding ")
        assert other is None or other.spellings[0] != "GmbH"


def test_other_parties_use_known_aliases() -> None:
    found = outcomes(words.other_party, "Acme Ltd", aliases=("Bolt Works",))
    assert any("formerly Bolt Works" in name for name in found)
    assert any(re.search(r"(?i)\bdba\b", name) for name in found)
    assert any(re.search(r"(?i)\bc/o\b", name) for name in found)
    assert all(name.startswith("Acme Ltd ") for name in found)


def test_place_uses_the_record_alone() -> None:
    assert {"Acme (United Kingdom)", "Acme (GB)", "Acme - Leeds"} <= outcomes(
        words.place, "Acme", country="GB", city="Leeds"
    )


def test_folding_gives_ascii_in_several_ways() -> None:
    found = outcomes(letters.folded, "Industrivärden Größe AB")
    assert {"Industrivarden Grosse AB", "Industrivaerden Groesse AB", "Industrivrden Gre AB"} <= found
    assert any("Ã" in name for name in found)  # UTF-8 read as Windows-1252
    assert all(
        name.isascii() for name in outcomes(letters.transliterated, "三星电子") - outcomes(letters.folded, "三星电子")
    )


def test_typo_changes_a_letter_or_two() -> None:
    from rapidfuzz.distance import OSA

    for name in outcomes(letters.typo, "Medallion Resources"):
        assert 0 <= OSA.distance(name, "Medallion Resources") <= 2


@settings(max_examples=150, deadline=None)
@given(
    name=st.lists(
        st.sampled_from([*abbreviations(), "Ångström", "Ceragon", "Fudan-Zhangjiang", "LTD"]), min_size=1, max_size=8
    ).map(" ".join),
    width=st.integers(8, 40),
    seed=st.integers(0, 10_000),
    drop=st.booleans(),
)
def test_a_fitted_name_fits_and_is_never_empty(name: str, width: int, seed: int, drop: bool) -> None:
    fitted = letters.fitted(name, width, scene(seed), drop)
    assert 0 < len(fitted) <= max(width, len(name))
    assert len(fitted) <= width or len(name) <= width
    if len(name) <= width:
        assert squeeze(fitted) == squeeze(name)


@settings(max_examples=300, deadline=None)
@given(
    name=st.text(min_size=1, max_size=50).map(lambda text: " ".join(text.split())).filter(bool),
    label=st.sampled_from(sorted(ALL)),
    seed=st.integers(0, 10_000),
)
def test_no_operator_fails_on_any_text(name: str, label: str, seed: int) -> None:
    assert isinstance(ALL[label](name, scene(seed, country="DE", city="Köln", aliases=("Alt",))), str)


def test_countries_come_back_by_the_library_s_own_reading() -> None:
    for code, country in countries().items():
        for text in (code, country.alpha3, country.english, country.local):
            assert not text or country_code(text) == code, text


def test_every_spelling_leads_to_its_form_and_every_tail_can_be_filled() -> None:
    assert len({form.spellings[0] for form in form_table().values()}) > 80
    for kind, templates in tails()["junk"].items():
        for template in templates:
            text = words._filled(template, Scene(Dice(1), "DE", "Köln"))
            assert text, (kind, template)
            assert "#" not in text or template.startswith("#"), text
            assert "{" not in text


def test_streams_are_splitmix64() -> None:
    # First outputs of the reference implementation for seed 1234567.
    dice = Dice(1234567)
    assert [dice.below(2**64) for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_forks_do_not_depend_on_draws() -> None:
    left, right = Dice.of(1, "a"), Dice.of(1, "a")
    left.uniform()
    assert left.fork("x").uniform() == right.fork("x").uniform()
    assert left.fork("x").uniform() != left.fork("y").uniform()
    assert key_hash(1, "a") != key_hash(2, "a") != key_hash(2, "b")


def test_a_mix_draws_by_weight() -> None:
    mix, dice = Mix({"a": 3.0, "b": 1.0, "never": 0.0}), Dice(5)
    draws = [mix.draw(dice) for _ in range(4000)]
    assert 0.72 < draws.count("a") / 4000 < 0.78
    assert "never" not in draws
    with pytest.raises(ValueError, match="positive weight"):
        Mix({"a": 0.0})


@pytest.mark.parametrize(
    "entry",
    [
        {"clean": 2},
        {"clean": 0.1, "operators": {"nonsense": 1}},
        {"clean": 0.1, "legal": {"keep": -1}},
        {"clean": 0.1, "junk_share": 0.5},
        {"clean": 0.1, "typo": 1},
    ],
)
def test_a_wrong_channel_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"validation error"):
        Channel.model_validate(entry)
