"""Compile `data/exchanges.csv` out of ISO 10383 and the vendors' codes in `data/vendor_exchanges.csv`.

Run it when either should be renewed: `python -m em_core.text.compile_markets`, with the package `iso10383` (Apache-2.0; the
whole list of market identifier codes) importable. `vendor_exchanges.csv` is written by hand: one row per exchange, its codes
split by `|`; two rows with one code say that vendors disagree, and `em_core.text.markets` then asks for the country.
"""

from __future__ import annotations

import csv
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).parent / "data"
HEADER = ("code", "mic", "operating_mic", "country", "namespace", "source")
# Countries where one symbol names one company on every exchange.
_ONE_NAMESPACE = frozenset({"US", "CA", "DE", "JP", "CN", "TW", "KR"})
_VENDORS = ("bloomberg", "suffixes", "yahoo", "capitaliq", "google", "other", "names")


class _Mic(NamedTuple):
    mic: str
    operating_mic: str
    country: str
    name: str
    live: bool

    @property
    def namespace(self) -> str:
        return self.country if self.country in _ONE_NAMESPACE else self.operating_mic


def _mics() -> dict[str, _Mic]:
    """Every market identifier code that ISO has given out: old data carries expired ones, and none is given twice."""
    entries = {entry.value.mic: entry.value for entry in import_module("iso10383").MIC}

    def operating(mic: str) -> str:
        above = entries[mic].operating_mic
        return mic if above is None else operating(above.mic)

    return {
        mic: _Mic(
            mic,
            operating(mic),
            # The package's `is_` and `in_` avoid Python's keywords; ZZ is ISO's "no country".
            entry.iso_country_code.name.rstrip("_").upper().replace("ZZ", ""),
            entry.market_name,
            entry.status.name != "expired",
        )
        for mic, entry in sorted(entries.items())
    }


def _vendor_codes() -> dict[tuple[str, str], list[str]]:
    """(code, MIC) -> the vendors that write it, in the order of the file."""
    found: dict[tuple[str, str], list[str]] = {}
    with (DATA / "vendor_exchanges.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            for vendor in _VENDORS:
                for code in filter(None, row[vendor].split("|")):
                    found.setdefault((code, row["mic"]), []).append(vendor)
    return found


def exchanges() -> list[tuple[str, ...]]:
    """Rows of `HEADER`: vendors' codes first, then the MICs and market names that no vendor's code hides."""
    mics = _mics()
    vendor = _vendor_codes()
    taken = {code.casefold() for code, _ in vendor}
    rows = [(code, mic, " ".join(vendors)) for (code, mic), vendors in vendor.items()]
    # Some vendors' codes look like somebody else's MIC (XTRA): beside shares it is the vendors' reading that is meant.
    rows += [(mic, mic, "mic") for mic in mics if mic.casefold() not in taken]
    rows += [(m.name, m.mic, "iso_name") for m in mics.values() if m.live and m.name.casefold() not in taken]
    return [(code, mic, *mics[mic][1:3], mics[mic].namespace, source) for code, mic, source in dict.fromkeys(rows)]


def main() -> None:
    """Write the table."""
    with (DATA / "exchanges.csv").open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle, lineterminator="\n")
        rows.writerow(HEADER)
        rows.writerows(exchanges())


if __name__ == "__main__":
    main()
