"""Web and e-mail addresses: hosts, and the domains that somebody registered (Public Suffix List)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from publicsuffixlist import PublicSuffixList

from em_core.text.fold import over_distinct
from em_core.text.knowledge import read_rows

_HOST = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^@/\s]*@)?(?:www\d?\.)?([a-z0-9-]+(?:\.[a-z0-9-]+)+)", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s,;|<>\"']+")
# Slips included: `http//`, `http:/`, `http://http://`.
_SCHEME = re.compile(r"^(?:(?:https?|ftp|mailto)[:/]+|[a-z][a-z0-9+.-]*://|//)+")
_PATH = re.compile(r"[/?#]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")


def host(text: str) -> str | None:
    """Host of a web address without scheme, `www.` and path; None if there is none."""
    found = _HOST.match(text.strip())
    return found.group(1).lower() if found else None


def hosts(values: Iterable[object]) -> np.ndarray:
    """`host` of each value; missing gives None."""
    return over_distinct(values, host, None)


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


@cache
def _shared() -> tuple[frozenset[str], frozenset[str]]:
    """Hosts that say nothing about who uses them: (anywhere, behind the @ of an e-mail address)."""
    rows = read_rows("shared_hosts.csv")
    always = frozenset(name for name, kind in rows if kind == "site")
    return always, always | {name for name, kind in rows if kind == "mail"}


def _addresses(text: str) -> Iterator[tuple[str, bool]]:
    """(host in punycode, whether it stood behind an @) of every address in the text."""
    for word in _BETWEEN.split(unicodedata.normalize("NFKC", text).lower().replace("\\", "/")):
        address = _PATH.split(_SCHEME.sub("", word), maxsplit=1)[0]
        user, at, name = address.rpartition("@")
        try:
            ascii_name = name.partition(":")[0].strip(".").encode("idna").decode("ascii").lower()
        except UnicodeError:
            # An empty or overlong label: no host.
            continue
        labels = ascii_name.split(".")
        if len(labels) > 1 and all(map(_LABEL.fullmatch, labels)):
            yield ascii_name, bool(user and at)


def registrable_domain(text: str) -> str:
    """The domain one can register (`acme.co.uk`) of a web or e-mail address, in punycode; empty if there is none.

    The first address of the text counts. Empty too for IP addresses, names without a public suffix, suffixes themselves, `www`
    before a suffix (www.gov.uk) and hosts that many firms share (social networks, free mail). Private suffixes count:
    `acme.github.io` is a domain.
    """
    for name, mail in _addresses(text):
        domain = _suffixes().privatesuffix(name)
        if domain and not domain.startswith("www."):
            above = name.split(".")
            shared = _shared()[mail]
            return "" if any(".".join(above[start:]) in shared for start in range(len(above))) else domain
    return ""


def registrable_domains(values: Iterable[object]) -> np.ndarray:
    """`registrable_domain` of each value; missing gives empty text."""
    return over_distinct(values, registrable_domain, "")
