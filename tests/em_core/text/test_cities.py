"""Cities and postal codes: one key for their spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text.cities import city_key, city_keys
from em_core.text.knowledge import read_rows
from em_core.text.postal import postal_key, postal_keys


@pytest.mark.parametrize(
    "spellings",
    [
        ["St. Louis", "Saint Louis", "ST LOUIS"], ["Ft. Worth", "Fort Worth"], ["Mt. Laurel", "Mount Laurel"],
        ["Sankt Gallen", "St. Gallen", "St.Gallen"], ["City of London", "London", "London EC2", "London EC2V 7HN", "London, UK"],
        ["Greater Manchester", "Manchester"], ["Paris 8e", "Paris", "75008 Paris Cedex 08"], ["Dublin 2", "Dublin"],
        ["Beijing Shi", "Peking", "北京市", "Beijing"], ["80331 München", "Munich", "Muenchen"], ["Köln", "Cologne", "Koeln"],
        ["Frankfurt/Main", "Frankfurt am Main", "Frankfurt"], ["Wien", "Vienna"], ["Praha", "Prague"],
        ["København K", "Copenhagen"], ["Milano", "Milan"], ["Roma", "Rome"], ["Torino", "Turin"], ["Firenze", "Florence"],
        ["Venezia", "Venice"], ["Napoli", "Naples"], ["Genève", "Genf", "Geneva"], ["Zürich", "Zuerich", "Zurich"],
        ["Basle", "Basel"], ["Bruxelles", "Brussel", "Brussels"], ["Antwerpen", "Antwerp"], ["Gent", "Ghent"],
        ["Den Haag", "'s-Gravenhage", "The Hague"], ["Lisboa", "Lisbon"], ["Sevilla", "Seville"], ["Moskva", "Москва", "Moscow"],
        ["Sankt-Peterburg", "St Petersburg"], ["Kiev", "Kyiv", "Київ"], ["Warszawa", "Warsaw"], ["Kraków", "Cracow"],
        ["București", "Bucharest"], ["Athina", "Athens"], ["Canton", "Guangzhou"], ["Bombay", "Mumbai"], ["Madras", "Chennai"],
        ["Calcutta", "Kolkata"], ["Bangalore", "Bengaluru"], ["Saigon", "Ho Chi Minh City"], ["Tel Aviv-Yafo", "Tel Aviv"],
        ["Ciudad de México", "México, D.F.", "Mexico City"], ["São Paulo", "Sao Paulo"], ["Montréal", "Montreal"],
        ["Québec", "Quebec City"], ["Seongnam-si", "Seongnam"], ["New York City", "New York"],
    ],
)  # fmt: skip
def test_spellings_of_one_city(spellings: list[str]) -> None:
    assert len({city_key(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Frankfurt am Main", "Frankfurt (Oder)"),
        ("Noida", "Greater Noida"),
        ("San José", "Saint Joseph"),
        ("Paris", "London"),
    ],
)
def test_different_cities(one: str, other: str) -> None:
    assert city_key(one) != city_key(other)


@pytest.mark.parametrize("text", ["", " ", "-", "N/A"])
def test_no_city(text: str) -> None:
    assert city_key(text) == ""


def test_every_city_of_the_table_is_its_own_key() -> None:
    assert [city_key(city) for city, _ in read_rows("cities.csv")] == [city for city, _ in read_rows("cities.csv")]


@pytest.mark.parametrize(
    ("text", "country", "key"),
    [
        ("94105-1234", "US", "94105"), ("941051234", "US", "94105"), ("2139", "US", "02139"), ("2139-1234", "US", "02139"),
        ("D-80331", "DE", "80331"), ("D-80331", "", "80331"), ("1067", "DE", "01067"), ("80331.0", "DE", "80331"),
        ("60311 Frankfurt", "DE", "60311"), ("CH-8001", "CH", "8001"), ("1017 CE", "NL", "1017CE"), ("NL-1017 CE", "NL", "1017CE"),
        ("ec2v 7hn", "GB", "EC2V7HN"), ("London EC2V 7HN", "GB", "EC2V7HN"), ("ON M5H 2N2", "CA", "M5H2N2"),
        ("1310-100", "BR", "01310100"), ("800", "AU", "0800"), ("VIC 3000", "AU", "3000"), ("SE-111 22", "SE", "11122"),
        ("103-0027", "JP", "1030027"), ("10603", "TW", "106"), ("106", "TW", "106"), ("KY1-1104", "KY", "KY11104"),
        ("HM CX", "BM", "HMCX"), ("D02 XY45", "IE", "D02XY45"), ("1250-096", "PT", "1250096"), ("1000", "PT", "1000"),
        ("012345", "US", "012345"), ("00000", "US", ""), ("N/A", "US", ""), ("none", "", ""), ("", "", ""),
    ],
)  # fmt: skip
def test_postal_key(text: str, country: str, key: str) -> None:
    assert postal_key(text, country) == key


@given(
    st.one_of(st.text(), st.from_regex(r"[A-Z0-9 .-]{0,12}", fullmatch=True)),
    st.sampled_from("US DE GB NL TW BM KY".split()),
)
def test_keys_are_their_own_keys(text: str, country: str) -> None:
    assert city_key(city_key(text)) == city_key(text)
    for home in ("", country):
        assert postal_key(postal_key(text, home), home) == postal_key(text, home)


def test_columns_equal_single_values() -> None:
    values = ["Köln", None, float("nan"), "Cologne"]
    assert list(city_keys(values)) == ["cologne", "", "", "cologne"]
    codes = ["2139", None, "2139", "D-80331"]
    assert list(postal_keys(codes, ["US", "US", float("nan"), None])) == ["02139", "", "2139", "80331"]
