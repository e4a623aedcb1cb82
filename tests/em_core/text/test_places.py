"""Countries in many spellings; web sites down to their host."""

from __future__ import annotations

import pytest

from em_core.text.places import country_code, host


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Germany", "DE"), ("Deutschland", "DE"), ("DEU", "DE"), ("de", "DE"), ("UK", "GB"), ("U.S.A.", "US"),
        ("Korea, Republic of", "KR"), ("日本", "JP"), ("Delaware", "US"), ("Hong Kong", "HK"), ("Côte d’Ivoire", "CI"),
        ("Atlantis", None), ("", None), ("مصر", None),
    ],
)  # fmt: skip
def test_country(text: str, code: str | None) -> None:
    assert country_code(text) == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://www.onoff-group.de/about?x=1", "onoff-group.de"),
        ("ACME.com", "acme.com"),
        ("https://user@shop.acme.co.uk:8080", "shop.acme.co.uk"),
        ("n/a", None),
        ("none", None),
    ],
)
def test_host(text: str, expected: str | None) -> None:
    assert host(text) == expected
