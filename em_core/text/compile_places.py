"""Compile `data/countries.csv` and `data/subdivisions.csv` out of rigour, `iso3166` and `iso3166-2`.

Run it when the tables should be renewed: `python -m em_core.text.compile_places`, with `rigour` 2.x (MIT; its territories rest
on Wikidata), `iso3166` (MIT; the numeric codes) and `iso3166-2` (MIT; every subdivision with its names at home) importable.
The compiled tables ship with the package, because rigour itself needs PyICU, which has no binary wheels and so asks every
machine for a compiler.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from em_core.text.places import place_key

DATA = Path(__file__).parent / "data"
COUNTRY_HEADER = ("name", "alpha2")
SUBDIVISION_HEADER = ("name", "code", "parent", "anywhere")
# What people write and the sources do not carry, or carry for another place.
_MORE_COUNTRIES = {
    "UK": "GB",
    "U.K.": "GB",
    "U K": "GB",
    "Great Britain": "GB",
    "England and Wales": "GB",
    "England & Wales": "GB",
    "USA": "US",
    "U.S.": "US",
    "UAE": "AE",
    "U.A.E.": "AE",
    "Emirates": "AE",
    "PRC": "CN",
    "P.R. China": "CN",
    "PR China": "CN",
    "China PRC": "CN",
    "Mainland China": "CN",
    "ROC": "TW",
    "Taiwan ROC": "TW",
    "South Korea": "KR",
    "S. Korea": "KR",
    "Korea": "KR",
    "Korea (Republic of)": "KR",
    "North Korea": "KP",
    "Holland": "NL",
    "The Netherlands": "NL",
    "Netherlands Antilles": "AN",
    "Macedonia": "MK",
    "Hong Kong SAR": "HK",
    "Macau SAR": "MO",
    "BVI": "VG",
    "Virgin Islands, British": "VG",
    "Virgin Islands, U.S.": "VI",
    "Cayman": "KY",
    "ABD": "US",
    "SUA": "US",
    "IOM": "IM",
    "EL": "GR",
}
# Spellings of subdivisions beside their codes: `COUNTRY: spelling=suffix ...`, blanks as underscores.
_MORE_SUBDIVISIONS = {
    "US": "Ala=AL Ariz=AZ Ark=AR Calif=CA Cal=CA Colo=CO Conn=CT Del=DE Fla=FL Ga=GA Ill=IL Ind=IN Kan=KS Kans=KS Ky=KY "
    "Mass=MA Mich=MI Minn=MN Miss=MS Mo=MO Mont=MT Neb=NE Nebr=NE Nev=NV N_H=NH N_J=NJ N_Mex=NM N_M=NM N_Y=NY N_C=NC N_D=ND "
    "N_Dak=ND Okla=OK Ore=OR Oreg=OR Penn=PA Penna=PA R_I=RI S_C=SC S_D=SD S_Dak=SD Tenn=TN Tex=TX Vt=VT Va=VA Wash=WA "
    "W_Va=WV Wis=WI Wisc=WI Wyo=WY D_C=DC Washington_DC=DC Washington_D_C=DC",
    "CA": "Alta=AB Man=MB Ont=ON Que=QC PQ=QC Sask=SK Nfld=NL NF=NL Newfoundland=NL B_C=BC N_B=NB N_S=NS P_E_I=PE PEI=PE "
    "N_W_T=NT NWT=NT Yukon_Territory=YT",
    "AU": "Vict=VIC Tas=TAS N_S_W=NSW A_C_T=ACT",
    "MX": "DF=CMX D_F=CMX Distrito_Federal=CMX CDMX=CMX Mexico_City=CMX NL=NLE JA=JAL EM=MEX CI=CHH SI=SIN GJ=GUA QR=ROO "
    "CU=COA BJ=BCN SO=SON",
    "IT": "FO=FC PS=PU",
    "IN": "TS=TG",
    "BR": "Brasilia=DF",
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_LOCAL_NAME = re.compile(r"\s*'?(.+?) \(([a-z0-9]+)\)'?(?:,|$)")
_RENAMED = re.compile(r"\b([A-Z]{2}-[A-Z0-9]{1,3})(?: [^.>]{1,60})? -> ([A-Z]{2}-[A-Z0-9]{1,3})\b")
_BRACKETS = re.compile(r"\s*[(\[]([^)\]]*)[)\]]")
# How sure a spelling is of its subdivision: its name, a name at home or of ours, a name in use elsewhere, a place inside it.
_NAME, _LOCAL, _WEAK, _INSIDE = 4, 3, 2, 1


def _territories() -> list[dict[str, object]]:
    lines = import_module("rigour._core").territories_jsonl().splitlines()
    return [row for row in map(json.loads, lines) if not row.get("is_historical")]


def _texts(row: dict[str, object], *fields: str) -> list[str]:
    found: list[str] = []
    for field in fields:
        value = row.get(field) or []
        found += [value] if isinstance(value, str) else [str(name) for name in value]  # type: ignore[attr-defined]
    return found


def countries() -> dict[str, str]:
    """Key of a country's name, alpha-2, alpha-3 or numeric code -> alpha-2; names that two countries share are left out.

    Names of subdivisions give their country too, unless a country has the name itself (Georgia).
    """
    weight: dict[str, dict[str, int]] = {}

    def weigh(name: str, code: str, value: int) -> None:
        key = place_key(name)
        if len(key) > 1:
            best = weight.setdefault(key, {})
            best[code] = max(best.get(code, 0), value)

    for row in _territories():
        code, _, part = str(row["code"]).upper().partition("-")
        if len(code) != 2 or code in ("ZZ", "UN", "EU"):
            continue
        whole = not part
        for name in _texts(row, "name", "full_name") + ([code, *_texts(row, "alpha3")] if whole else []):
            weigh(name, code, 8 + whole)
        for name in _texts(row, "names_strong"):
            weigh(name, code, 6 + whole)
        # Among the weak names of two or three letters are far more slips than names.
        for field, value in (("names_weak", 3 if whole else 2), ("places", 1)):
            for name in _texts(row, field):
                if len(name) > 3 or not name.isascii():
                    weigh(name, code, value)
    for country in import_module("iso3166").countries:
        for name in (country.name, country.apolitical_name, country.alpha2, country.alpha3, country.numeric):
            weigh(name, country.alpha2, 9)
    table = {}
    for key, codes in weight.items():
        top = max(codes.values())
        winners = [code for code, value in codes.items() if value == top]
        if len(winners) == 1:
            table[key] = winners[0]
    return table | {place_key(name): code for name, code in _MORE_COUNTRIES.items()}


def _iso_subdivisions() -> dict[str, dict[str, object]]:
    """ISO 3166-2 code -> the entry of the package `iso3166-2`."""
    # Only its table: the package itself would need further packages.
    spec = find_spec("iso3166_2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("iso3166_2")
    text = Path(spec.origin).with_name("iso3166-2.json").read_text(encoding="utf-8")
    return {code: entry for country in json.loads(text).values() for code, entry in country.items()}


def _readings(name: str) -> set[str]:
    """The name, without and within its brackets, and `Madrid, Comunidad de` turned round."""
    found = {name, _BRACKETS.sub("", name), *_BRACKETS.findall(name)}
    return found | {f"{rest} {first}" for first, comma, rest in (n.partition(", ") for n in found) if comma}


def _iso_spellings(entries: dict[str, dict[str, object]]) -> Iterator[tuple[str, str, int, bool]]:
    """(name, code, rank, whether it is a name rather than a nickname)."""
    for code, entry in entries.items():
        for name in _readings(str(entry["name"])):
            yield name, code, _NAME, True
        for name, language in _LOCAL_NAME.findall(str(entry["localOtherName"] or "")):
            # English entries of several words are mostly nicknames ("The Golden State").
            yield name, code, _LOCAL, language != "eng" or " " not in name
        for old, new in _RENAMED.findall(json.dumps(entry["history"] or [])):
            if old not in entries and new == code:
                yield old, code, _WEAK, True
                yield old[3:], code, _WEAK, True


def _rigour_spellings(entries: dict[str, dict[str, object]]) -> Iterator[tuple[str, str, int, bool]]:
    for row in _territories():
        code = str(row["code"]).upper()
        if code not in entries:
            continue
        for fields, rank in ((("name", "names_strong"), _NAME), (("names_weak",), _WEAK), (("places",), _INSIDE)):
            for name in _texts(row, *fields):
                yield name, code, rank, rank != _INSIDE


def _curated_spellings() -> Iterator[tuple[str, str, int, bool]]:
    for country, spellings in _MORE_SUBDIVISIONS.items():
        for spelling, _, suffix in (pair.partition("=") for pair in spellings.split()):
            yield spelling.replace("_", " "), f"{country}-{suffix}", _LOCAL, True


def _chosen(ranks: dict[str, int], parents: dict[str, str]) -> str | None:
    """The one code of a spelling within a country: the best; of equals the one above the others; else none."""
    top = max(ranks.values())
    best = {code for code, rank in ranks.items() if rank == top}
    above = [code for code in best if all(other == code or parents.get(other) == code for other in best)]
    return above[0] if len(above) == 1 else None


def subdivisions(country_table: dict[str, str]) -> list[tuple[str, ...]]:
    """Rows of `SUBDIVISION_HEADER`: key of a spelling, ISO 3166-2 code, code of the subdivision above or empty, and `1` if the
    spelling stands for no other subdivision or country in the world.

    Every code has one row at least, the one of its own name or an empty one.
    """
    entries = _iso_subdivisions()
    parents = {code: str(entry["parentCode"]) for code, entry in entries.items() if entry["parentCode"] in entries}
    ranks: dict[tuple[str, str], dict[str, int]] = {}
    proper: set[tuple[str, str]] = set()
    for source in (_iso_spellings(entries), _rigour_spellings(entries), _curated_spellings()):
        for name, code, rank, is_name in source:
            for key in {place_key(name), place_key(name.translate(_UMLAUTS))} - {""}:
                best = ranks.setdefault((key, code[:2]), {})
                best[code] = max(best.get(code, 0), rank)
                if is_name:
                    proper.add((key, code[:2]))
    holders: dict[str, set[str]] = {}
    for key, country in ranks:
        holders.setdefault(key, set()).add(country)
    rows: set[tuple[str, ...]] = set()
    for (key, country), codes in ranks.items():
        chosen = _chosen(codes, parents)
        if chosen is not None:
            alone = len(holders[key]) == 1 and country_table.get(key, country) == country
            anywhere = alone and (key, country) in proper and len(key) > 4 and not re.search(r"\d", key)
            rows.add((key, chosen, parents.get(chosen, ""), "1" if anywhere else ""))
    named = {row[1] for row in rows}
    rows |= {("", code, parents.get(code, ""), "") for code in entries if code not in named}
    return sorted(rows)


def _write(name: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with (DATA / name).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Write both tables, sorted, so that a change shows as a small diff."""
    table = countries()
    _write("countries.csv", COUNTRY_HEADER, sorted(table.items()))
    _write("subdivisions.csv", SUBDIVISION_HEADER, subdivisions(table))


if __name__ == "__main__":
    main()
