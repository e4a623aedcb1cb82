"""Web and e-mail addresses down to the host, the registrable domain and its brand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.text.domains import host, registrable_domain, registrable_domains


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


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("https://www.shop.acme.co.uk/x", "acme.co.uk"), ("ACME.com", "acme.com"), ("acme.com:8080", "acme.com"),
        ("info@acme.com", "acme.com"), ("https://user:pw@acme.co.jp/x@y", "acme.co.jp"), ("http://acme.com?x=a@b.com", "acme.com"),
        ("http//www.acme.de", "acme.de"), ("http://http://acme.de", "acme.de"), ("http:\\\\acme.com", "acme.com"),
        ("www.acme.com; acme.de", "acme.com"), ("Website: www.acme.com", "acme.com"),
        ("münchen.de", "xn--mnchen-3ya.de"), ("http://xn--mnchen-3ya.de", "xn--mnchen-3ya.de"), ("例え.jp", "xn--r8jz45g.jp"),
        # Private suffixes keep their sites apart.
        ("acme.github.io", "acme.github.io"), ("x.blogspot.com", "x.blogspot.com"), ("github.io", ""), ("co.uk", ""),
        # Shared hosts say nothing about the firm, some only behind an @.
        ("https://www.facebook.com/acme", ""), ("user.wixsite.com/acme", ""), ("https://sites.google.com/view/a", ""),
        ("google.com", "google.com"), ("a@gmail.com", ""), ("a@sohu.com", ""), ("www.sohu.com", "sohu.com"),
        ("192.168.1.1", ""), ("https://[::1]/", ""), ("localhost", ""), ("acme", ""), ("acme.notatld", ""), ("a..b.com", ""),
        ("www.gov.uk", ""), ("n/a", ""), ("", ""),
    ],
)  # fmt: skip
def test_registrable_domain(text: str, domain: str) -> None:
    assert registrable_domain(text) == domain


@given(
    st.one_of(st.text(), st.emails(), st.from_regex(r"https?://[a-zé0-9.-]{1,40}\.(com|co\.uk|de)/?", fullmatch=True))
)
def test_a_domain_is_its_own_domain(text: str) -> None:
    domain = registrable_domain(text)
    assert registrable_domain(domain) == domain


def test_columns_equal_single_values() -> None:
    values = ["https://www.acme.com", None, float("nan"), "acme.com", "n/a"]
    assert list(registrable_domains(values)) == ["acme.com", "", "", "acme.com", ""]
