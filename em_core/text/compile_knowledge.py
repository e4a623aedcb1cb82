"""Compile `data/legal_forms.csv` and `data/countries.csv` out of rigour's tables.

Run it when the tables should be renewed: `python -m em_core.text.compile_knowledge PATH`, where PATH is an unpacked wheel of
rigour 1.x (MIT licence; its legal forms rest on ISO 20275 and Wikipedia, its territories on Wikidata). The compiled tables
ship with the package, because rigour itself needs PyICU, which has no binary wheels and so asks every machine for a compiler.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path

from em_core.text.fold import fold
from em_core.text.places import place_key

DATA = Path(__file__).parent / "data"
# Spellings that rigour 1.x does not carry.
_MORE_FORMS = {
    "tbk": ("tbk", "jsc"),
    "pvt": ("pvtltd", "llc"),
    "pvt ltd": ("pvtltd", "llc"),
    "private limited": ("pvtltd", "llc"),
    "p ltd": ("pvtltd", "llc"),
    "pty": ("ptyltd", "llc"),
    "corp": ("corp", "llc"),
    "co": ("co", ""),
    "company": ("co", ""),
    "companies": ("co", ""),
    "co ltd": ("coltd", "llc"),
    "company limited": ("coltd", "llc"),
    "cos": ("co", ""),
    "yk": ("yk", "llc"),
    "gk": ("gk", "llc"),
    "kk": ("kk", "jsc"),
    "asa": ("asa", "jsc"),
    "se": ("se", "jsc"),
    "kgaa": ("kgaa", "lp"),
    "berhad": ("bhd", "jsc"),
    "bhd": ("bhd", "jsc"),
}
# Spellings of one or two letters that are forms far more often than anything else; the other short ones are dropped.
_SHORT_FORMS = frozenset(
    "ab ad ae ag ao as bt bv co cv eg ek ev hf kb kd kg kk ks lp nv oe oo ou oy pt rt sa sc se sk sl ug".split()
)
# Words that name something else far more often than a form.
_NOT_FORMS = {
    "bank",
    "group",
    "fund",
    "holding",
    "holdings",
    "trust",
    "foundation",
    "school",
    "university",
    "church",
    "international",
}


def _load_specs(path: Path) -> list[dict[str, object]]:
    sys.path.insert(0, str(path))
    spec = importlib.util.spec_from_file_location("org_types", path / "rigour" / "data" / "names" / "org_types.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.ORG_TYPES)


def legal_forms(path: Path) -> dict[str, tuple[str, str]]:
    """Folded spelling -> (form, class): `gesellschaft mit beschrankter haftung` -> (`gmbh`, `llc`)."""
    table: dict[str, tuple[str, str]] = {}
    for spec in _load_specs(path):
        names = [str(spec[k]) for k in ("compare", "display") if spec.get(k)]
        aliases = [str(a) for a in spec["aliases"]]  # type: ignore[attr-defined]
        generic = str(spec.get("generic") or "").lower()
        form = fold(names[0]).replace(" ", "") if names else generic
        for spelling in {fold(s) for s in names + aliases}:
            if spelling not in _NOT_FORMS and (len(spelling) > 2 or spelling in _SHORT_FORMS):
                table.setdefault(spelling, (form, generic))
    return table | _MORE_FORMS


def countries(path: Path) -> dict[str, str]:
    """Folded country name, alpha-2 or alpha-3 code -> alpha-2; names that two countries share are left out."""
    lines = (path / "rigour" / "data" / "territories" / "data.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if not row.get("is_historical")]
    weight: dict[str, dict[str, int]] = {}
    for row in rows:
        code = row["code"].split("-")[0].upper()
        if len(code) != 2 or code in ("ZZ", "UN", "EU"):
            continue
        whole = "-" not in row["code"]
        strong = [row["name"], row.get("full_name"), row.get("alpha3") if whole else None, code if whole else None]
        for rank, names in ((4, strong), (3, row.get("names_strong", [])), (1, row.get("names_weak", []))):
            for name in names:
                if name and (whole or rank > 1):
                    key = place_key(name)
                    if len(key) > 1:
                        best = weight.setdefault(key, {})
                        best[code] = max(best.get(code, 0), 2 * rank + whole)
    table = {}
    for key, codes in weight.items():
        top = max(codes.values())
        winners = [code for code, value in codes.items() if value == top]
        if len(winners) == 1:
            table[key] = winners[0]
    return table | {
        "uk": "GB",
        "usa": "US",
        "uae": "AE",
        "south korea": "KR",
        "north korea": "KP",
        "great britain": "GB",
    }


def main(path: Path) -> None:
    """Write both tables, sorted, so that a change shows as a small diff."""
    DATA.mkdir(exist_ok=True)
    with (DATA / "legal_forms.csv").open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle, lineterminator="\n")
        rows.writerow(("spelling", "form", "class"))
        rows.writerows((spelling, *form) for spelling, form in sorted(legal_forms(path).items()))
    with (DATA / "countries.csv").open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle, lineterminator="\n")
        rows.writerow(("name", "alpha2"))
        rows.writerows(sorted(countries(path).items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
