"""Countries and their parts in many spellings, as ISO 3166 codes."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text import compile_places
from em_core.text.knowledge import countries, read_rows
from em_core.text.places import (
    country_code,
    country_codes,
    same_subdivision,
    subdivision_code,
    subdivision_codes,
    subdivision_parent,
)

_CODES = sorted(set(countries().values()))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Germany", "DE"), ("Deutschland", "DE"), ("Allemagne", "DE"), ("DEU", "DE"), ("de", "DE"), ("276", "DE"),
        ("UK", "GB"), ("England", "GB"), ("Scotland", "GB"), ("Wales", "GB"), ("Northern Ireland", "GB"), ("Великобритания", "GB"),
        ("U.S.A.", "US"), ("United States of America", "US"), ("Estados Unidos", "US"), ("840", "US"), ("Delaware", "US"),
        ("US-DE", "US"), ("Wilmington, Delaware, USA", "US"), ("Korea, Republic of", "KR"), ("Republic of Korea", "KR"),
        ("Korea, South", "KR"), ("Korea (South)", "KR"), ("Korea (North)", "KP"), ("Korea (Republic of)", "KR"),
        ("대한민국", "KR"), ("日本", "JP"), ("中国", "CN"), ("Hong Kong", "HK"), ("Hong Kong SAR", "HK"),
        ("Taiwan, Province of China", "TW"), ("Taiwan (Province of China)", "TW"), ("Russian Federation", "RU"),
        ("Viet Nam", "VN"), ("Czechia", "CZ"), ("Czech Republic", "CZ"), ("Iran, Islamic Republic of", "IR"),
        ("Côte d’Ivoire", "CI"), ("Côte d'Ivoire", "CI"), ("Ivory Coast", "CI"), ("The Netherlands", "NL"), ("Holland", "NL"),
        ("UAE", "AE"), ("British Virgin Islands", "VG"), ("Cayman Islands", "KY"), ("Netherlands Antilles", "AN"),
        ("4", "AF"), ("Georgia", "GE"), ("Jersey", "JE"), ("FR-75", "FR"), ("NA", "NA"),
        ("Atlantis", None), ("N/A", None), ("", None), ("مصر", None), ("XX-12", None),
    ],
)  # fmt: skip
def test_country(text: str, code: str | None) -> None:
    assert country_code(text) == code


@pytest.mark.parametrize(
    ("text", "country", "code"),
    [
        ("California", "US", "US-CA"), ("Calif.", "US", "US-CA"), ("CA", "US", "US-CA"), ("US-CA", "US", "US-CA"),
        ("US-CA", "", "US-CA"), ("State of New York", "US", "US-NY"), ("N.Y.", "US", "US-NY"), ("D.C.", "US", "US-DC"),
        ("ON", "CA", "CA-ON"), ("Québec", "CA", "CA-QC"), ("Quebec, Canada", "CA", "CA-QC"), ("NF", "CA", "CA-NL"),
        ("Bayern", "DE", "DE-BY"), ("Bavaria", "", "DE-BY"), ("Baden-Wuerttemberg", "DE", "DE-BW"),
        ("Shanghai", "CN", "CN-SH"), ("上海市", "CN", "CN-SH"), ("Guangdong Sheng", "CN", "CN-GD"), ("CN-31", "", "CN-SH"),
        ("31", "CN", "CN-SH"), ("東京都", "JP", "JP-13"), ("京都府", "JP", "JP-26"), ("Osaka Prefecture", "JP", "JP-27"),
        ("Gyeonggi-do", "KR", "KR-41"), ("서울특별시", "KR", "KR-11"), ("NSW", "AU", "AU-NSW"), ("WA", "AU", "AU-WA"),
        ("WA", "US", "US-WA"), ("SP", "BR", "BR-SP"), ("DF", "MX", "MX-CMX"), ("MI", "IT", "IT-MI"), ("Lombardy", "IT", "IT-25"),
        ("Comunidad de Madrid", "ES", "ES-MD"), ("75", "FR", "FR-75C"), ("Zug (Kanton)", "CH", "CH-ZG"),
        ("Co. Dublin", "IE", "IE-D"), ("England", "", "GB-ENG"), ("Greater London", "GB", "GB-ENG"), ("Georgia", "US", "US-GA"),
        ("Московская область", "RU", "RU-MOS"),
        # Without a country: one that several countries have, a country's own name, an abbreviation.
        ("Punjab", "", ""), ("Georgia", "", ""), ("CA", "", ""),
        ("California", "DE", ""), ("US-CA", "DE", ""), ("Atlantis", "US", ""), ("", "US", ""), ("", "", ""),
    ],
)  # fmt: skip
def test_subdivision(text: str, country: str, code: str) -> None:
    assert subdivision_code(text, country) == code


def test_a_province_lies_in_its_region() -> None:
    assert subdivision_parent("IT-MI") == "IT-25"
    assert subdivision_parent("IT-25") == subdivision_parent("XX-YY") == ""


def test_a_part_of_a_part_is_the_same_place() -> None:
    left = np.array(["IT-MI", "IT-25", "IT-MI", "IT-MI", "", "bavaria"], dtype=object)
    right = np.array(["IT-25", "IT-MI", "IT-RM", "", "IT-25", "bavaria"], dtype=object)
    assert same_subdivision(left, right).tolist() == [True, True, False, False, False, True]
    assert same_subdivision(right, left).tolist() == [True, True, False, False, False, True]


def test_every_subdivision_is_its_own_code() -> None:
    codes = {code for _, code, _, _ in read_rows("subdivisions.csv")}
    assert len(codes) > 5000
    assert all(subdivision_code(code, "") == subdivision_code(code[3:], code[:2]) == code for code in codes)


@given(st.text(), st.sampled_from(["", *_CODES]))
def test_any_text_is_a_known_place_or_none(text: str, country: str) -> None:
    assert country_code(text) in {None, *_CODES}
    code = subdivision_code(text, country)
    assert code == "" or code == subdivision_code(code, country)


@given(st.lists(st.sampled_from(["Germany", "CA", "Bayern", "", None, float("nan"), "Atlantis"]), max_size=6))
def test_columns_equal_single_values(values: list[object]) -> None:
    texts = [value if isinstance(value, str) else "" for value in values]
    assert list(country_codes(values)) == [country_code(text) for text in texts]
    fixed = np.array(["US", None, "DE", "", "CA", "US"], dtype=object)[: len(values)]
    assert list(subdivision_codes(values, fixed)) == [
        subdivision_code(text, country or "") for text, country in zip(texts, fixed, strict=True)
    ]


@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("rigour", "iso3166", "iso3166_2")),
    reason="needs rigour, iso3166 and iso3166-2, which only the compiler uses",
)
def test_tables_are_what_the_compiler_gives() -> None:
    table = compile_places.countries()
    assert [list(row) for row in sorted(table.items())] == read_rows("countries.csv")
    assert [list(row) for row in compile_places.subdivisions(table)] == read_rows("subdivisions.csv")
