from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.ditto.knowledge import KNOWLEDGE, company, general, product
from em_core.ditto.serialise import Record


def _general(text: str) -> str:
    return general([("text", text)])[0][1]


def _product(text: str) -> str:
    return product([("title", "new"), ("text", text)])[1][1]


@pytest.mark.parametrize(
    ("spellings", "read"),
    [
        (["14 March 2004", "14th March 2004", "March 14, 2004", "Mar. 14 2004", "2004-3-14", "3/14/2004", "14.3.2004"],
         "DATE 2004-03-14"),
        (["28-Mar-11", "March 28 , 2011"], "DATE 2011-03-28"),
        (["28-Mar-70"], "DATE 1970-03-28"),
        (["3/4/2004", "03.04.2004"], "DATE 3/4/2004"),  # March or April: only the separator is sure
        (["31/31/2000"], "31/31/2000"),
        (["30 February 2004"], "30 February 2004"),
        (["213/627-1453", "(213) 627-1453", "213-627-1453", "+1 213 627 1453", "213.627.1453"], "PHONE 2136271453"),
        (["https://www.Acme.com/", "www.acme.com", "http://acme.com"], "URL acme.com"),
        (["1,234.50", "1234.5", "1234.500"], "1234.5"),
        (["5 %", "5.0%"], "PERCENT 5"),
        (["Los Angeles, CA 90048-1234", "Los Angeles, CA 90048"], "Los Angeles, CA ZIP 90048"),
        (["007", "U2", "1.5.2", "pp. 120-133", "F16"], None),
        (["ABC-1234567", "abc1234567", "ABC/1234567"], "ID abc1234567"),
        (["12345678"], "ID 12345678"),
    ],
)  # fmt: skip
def test_general_spellings_become_one(spellings: list[str], read: str | None) -> None:
    for spelling in spellings:
        assert _general(spelling) == (read or spelling)
        assert _general(f"see {spelling}, please") == f"see {read or spelling}, please"


@pytest.mark.parametrize(
    ("spellings", "read"),
    [
        (["$1,299.00", "1299 USD", "US$ 1299"], "PRICE usd 1299"),
        (["€ 20.50"], "PRICE eur 20.5"),
        (["16GB", "16 gb", "16-gigabyte", "16 Gigabytes"], "UNIT 16 gb"),
        (['4.0"', "4 inches", "4-inch"], "UNIT 4 in"),
        (["DSC-W120", "DSCW120", "dsc/w120"], "MODEL dscw120"),
        (["3 in 1", "mp3"], None),
    ],
)
def test_product_spellings_become_one(spellings: list[str], read: str | None) -> None:
    for spelling in spellings:
        assert _product(f"with {spelling} for") == f"with {read or spelling} for"


def test_brand_and_price_by_their_place() -> None:
    fields = [("title", "Sony DSC-W120 camera"), ("manufacturer", "SONY"), ("price", "279.00"), ("brand", "")]
    assert product(fields) == [
        ("title", "BRAND Sony MODEL dscw120 camera"),
        ("manufacturer", "BRAND sony"),
        ("price", "PRICE 279"),
        ("brand", ""),
    ]
    assert product([("title", "the 5th element")]) == [("title", "the 5th element")]


def test_companies() -> None:
    fields = [
        ("name", "Deutsche Bank AG London Branch (formerly Foo GmbH)"),
        ("country", "Germany"),
        ("lei", "7ltwfzyicnsx8d621k86"),
        ("website", "https://www.db.com/x"),
        ("postal_code", "D-60325"),
        ("note", "LEI: 7LTWFZYICNSX8D621K86, founded 9 June 1870"),
    ]
    assert dict(company(fields)) == {
        "name": "deutsche bank FORM ag PART branch ALSO foo gmbh",
        "country": "DE",
        "lei": "7LTWFZYICNSX8D621K86",
        "website": "db.com",
        "postal_code": "ZIP 60325",
        "note": "LEI: LEI 7LTWFZYICNSX8D621K86, founded DATE 1870-06-09",
    }
    assert company([("name", "Acme GmbH")]) == company([("name", "ACME  G.m.b.H.")])
    assert company([("name", "!!!"), ("country", "Atlantis"), ("isin", "US0000000000")]) == [
        ("name", "!!!"),
        ("country", "Atlantis"),
        ("isin", "US0000000000"),
    ]


@pytest.mark.parametrize("domain", KNOWLEDGE)
@given(
    st.lists(st.tuples(st.sampled_from(["name", "price", "zip", "country", "lei", "brand", ""]), st.text()), max_size=4)
)
def test_any_record_can_be_read(domain: str, fields: Record) -> None:
    made = KNOWLEDGE[domain](fields)
    assert [name for name, _ in made] == [name for name, _ in fields]
    assert all(bool(new.strip()) or not old.strip() for (_, new), (_, old) in zip(made, fields, strict=True))
