"""Names: what a person would call the same, and what must stay apart."""

from __future__ import annotations

from random import Random

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from em_core.text.fold import fold
from em_core.text.knowledge import form_details, forms_by_first_word, forms_by_last_word
from em_core.text.name_table import name_table
from em_core.text.names import NO_NAME, ParsedName, acronym, parse_name, parse_names, script_of

ANY = settings(deadline=None, max_examples=150)

KEPT_WHOLE = [
    "Company",
    "Limited Brands",
    "SA Recycling",
    "AG Mortgage Investment Trust",
    "LP Building",
    "Co-Operative Bank",
    "AMBA",
    "N.V.",
]


@pytest.mark.parametrize("name", KEPT_WHOLE)
def test_a_form_is_stripped_at_the_ends_only_and_never_to_nothing(name: str) -> None:
    assert parse_name(name).core == fold(name)


@pytest.mark.parametrize(
    ("name", "core", "form"),
    [
        ("Siemens Aktiengesellschaft", "siemens", "ag"),
        ("Nestlé S.A.", "nestle", "sa"),
        ("Foo Bar Co., Ltd.", "foo bar", "coltd"),
        ("ООО Ромашка", "romashka", "ooo"),
        ("PT Bank Mandiri Tbk", "bank mandiri", "tbk"),
        ("The Coca-Cola Company", "coca cola", "co"),
        ("ＡＣＭＥ　Ｌｔｄ", "acme", "ltd"),
        ("GmbH & Co. KG Müller", "muller", "gmbhcokg"),
        ("Rolandi Auto - S.P.A.", "rolandi auto", "spa"),
        ("AB Volvo", "volvo", "ab"),
        ("Foo Ltd Ltd", "foo", "ltd"),
        ("Foo & Sons Ltd", "foo and sons", "ltd"),
        ("Foo and Co", "foo", "co"),
        ("Foo Ltd, The", "foo", "ltd"),
        ("The The", "the", ""),
        ("Foo S. de R.L. de C.V.", "foo", "srlcv"),
        ("Foo Holding GmbH & Co KG", "foo", "gmbhcokg"),
    ],
)
def test_core_and_legal_form(name: str, core: str, form: str) -> None:
    parsed = parse_name(name)
    assert (parsed.core, parsed.form) == (core, form)


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("A. O. Smith Corporation", "ao smith"),
        ("AO World plc", "ao world"),
        ("GK Software SE", "gk software"),
        ("CV Sciences Inc", "cv sciences"),
        ("SIA Engineering Co Ltd", "sia engineering"),
    ],
)
def test_initials_in_front_of_a_name_with_a_form_stay(name: str, core: str) -> None:
    assert parse_name(name).core == core


@pytest.mark.parametrize("name", ["株式会社日立製作所", "三星电子有限公司", "(주)삼성"])
def test_glued_cjk_forms_leave_the_name(name: str) -> None:
    parsed = parse_name(name)
    assert parsed.form and parsed.core and parsed.core != parsed.full


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("ONOFF AG  INH O.N.", "onoff"),
        ("Vodafone Group PLC ORD USD0.20 20/21", "vodafone"),
        ("HEALTHCARE RLTY TR. DL-01", "healthcare rlty tr"),
        ("Foo Trading d/b/a Bar", "foo trading"),
        ("Mobico formerly National Express", "mobico"),
        ("Acme c/o Smith & Sons", "acme"),
    ],
)
def test_noise_around_the_name_goes(name: str, core: str) -> None:
    assert parse_name(name).core == core


@pytest.mark.parametrize(
    ("name", "core", "also"),
    [
        ("Foo dba Bar", "foo", (("trading_as", "Bar"),)),
        ("Foo d.b.a. Bar", "foo", (("trading_as", "Bar"),)),
        ("Foo T/A Bar", "foo", (("trading_as", "Bar"),)),
        ("Foo Ltd trading as Bar", "foo", (("trading_as", "Bar"),)),
        ("Foo, doing business as Bar Inc.", "foo", (("trading_as", "Bar Inc."),)),
        ("Foo (dba Bar)", "foo", (("trading_as", "Bar"),)),
        ("Foo f/k/a Bar", "foo", (("formerly", "Bar"),)),
        ("Foo (formerly Bar (UK) Ltd)", "foo", (("formerly", "Bar (UK) Ltd"),)),
        ("Foo AG vormals Bar AG", "foo", (("formerly", "Bar AG"),)),
        ("Foo anciennement Bar", "foo", (("formerly", "Bar"),)),
        ("Foo formerly known as Bar", "foo", (("formerly", "Bar"),)),
        ("Foo a/k/a Bar", "foo", (("also", "Bar"),)),
        ("Foo c/o Bar", "foo", (("care_of", "Bar"),)),
        ("Foo dba Bar formerly Baz Ltd", "foo", (("trading_as", "Bar"), ("formerly", "Baz Ltd"))),
        ("Foo f/k/a Bar d/b/a Baz", "foo", (("formerly", "Bar"), ("trading_as", "Baz"))),
        ("Foo aka Bar a/k/a Baz", "foo", (("also", "Bar"), ("also", "Baz"))),
        ("Foo dba", "foo", ()),
        ("dba Foo", "dba foo", ()),
        ("Formerly Yours Inc", "formerly yours", ()),
        ("Adbandana Ltd", "adbandana", ()),
    ],
)
def test_other_names_inside_the_text(name: str, core: str, also: tuple[tuple[str, str], ...]) -> None:
    parsed = parse_name(name)
    assert (parsed.core, parsed.also) == (core, also)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Foo trading  as Bar", "Foo trading as Bar"),
        ("Foo trading\u00a0as Bar", "Foo trading as Bar"),
        ("Ｆｏｏ　ｆｏｒｍｅｒｌｙ　Ｂａｒ", "Foo formerly Bar"),
        ("Ｆｏｏ　ｔ／ａ　Ｂａｒ", "Foo t/a Bar"),
        ("ＦＯＯ　ＣＯＲＰ　／ＤＥ／", "FOO CORP /DE/"),
        ("Foo AG， London Branch Office", "Foo AG, London Branch Office"),
    ],
)
def test_width_and_blanks_do_not_hide_a_tail(one: str, other: str) -> None:
    assert parse_name(one).core == parse_name(other).core
    assert parse_name(one).designators == parse_name(other).designators


@pytest.mark.parametrize(
    ("name", "core", "form"),
    [
        ("BANK OF AMERICA CORP /DE/", "bank of america", "corp"),
        ("FOO INC /CA", "foo", "inc"),
        ("FOO CORP/DE", "foo", "corp"),
        ("FOO LLC/TX/", "foo", "llc"),
        ("FOO INC /NEW/", "foo", "inc"),
        ("FOO /ADR/", "foo", ""),
        ("FOO A/S /DE/", "foo", "as"),
        ("FOO A/S", "foo", "as"),
        ("FOO S/A", "foo", "sa"),
        ("/DE/", "de", ""),
    ],
)
def test_the_state_of_a_registrant_goes(name: str, core: str, form: str) -> None:
    parsed = parse_name(name)
    assert (parsed.core, parsed.form) == (core, form)


def test_a_second_form_behind_a_stroke_is_no_state() -> None:
    assert parse_name("FOO SA/NV").form == parse_name("Foo sa/nv").form


@pytest.mark.parametrize(
    ("name", "core", "form", "codes"),
    [
        ("Deutsche Bank AG, London Branch", "deutsche bank", "ag", "branch"),
        ("Deutsche Bank AG London Branch", "deutsche bank", "ag", "branch"),
        ("Deutsche Bank AG (London Branch)", "deutsche bank", "ag", "branch"),
        ("Deutsche Bank AG - Zweigniederlassung Zürich", "deutsche bank", "ag", "branch"),
        ("Foo (UK) Ltd", "foo", "ltd", "country:GB"),
        ("Foo（UK）Ltd", "foo", "ltd", "country:GB"),
        ("Foo (Holdings) Ltd", "foo", "ltd", "holding"),
        ("Foo Holdings (UK) Ltd", "foo", "ltd", "country:GB holding"),
        ("Foo Ltd (in liquidation)", "foo", "ltd", "liquidation"),
        ("Foo Ltd No. 2", "foo", "ltd", "number:2"),
        ("Foo No. 2 Ltd", "foo", "ltd", "number:2"),
        ("(Foo) Ltd", "foo", "ltd", ""),
        ("Foo (Bar) Ltd", "foo bar", "ltd", ""),
        ("Foo () Ltd", "foo", "ltd", ""),
        ("Branch Banking & Trust", "branch banking and trust", "", ""),
    ],
)
def test_branches_and_brackets(name: str, core: str, form: str, codes: str) -> None:
    parsed = parse_name(name)
    assert (parsed.core, parsed.form, parsed.designators) == (core, form, codes)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Nestlé", "Nestle"),
        ("AT&T", "AT and T"),
        ("Coca-Cola", "coca  cola"),
        ("S.A.P.", "SAP"),
        ("Macy's", "Macys"),
    ],
)
def test_spellings_that_fold_together(left: str, right: str) -> None:
    assert fold(left) == fold(right)


# A form with stops, and the same form without.
FORMS = [
    ("S.A.", "SA"), ("S. A.", "SA"), ("N.V.", "NV"), ("B.V.", "BV"), ("A.G.", "AG"), ("A/S", "AS"), ("A.B.", "AB"), ("L.L.C.", "LLC"),
    ("L. L. C.", "LLC"), ("L.L.P.", "LLP"), ("L.P.", "LP"), ("P.L.C.", "PLC"), ("S.p.A.", "SpA"), ("S.r.l.", "SRL"), ("S.A.S.", "SAS"),
    ("S.à r.l.", "Sarl"), ("G.m.b.H.", "GmbH"), ("G.m.b.H. & Co. KG", "GmbH und Co KG"), ("K.K.", "KK"), ("Inc.", "Inc"),
    ("Ltd.", "Ltd"), ("Corp.", "Corp"), ("Co., Ltd.", "Co Ltd"), ("Pty. Ltd.", "Pty Ltd"), ("(Pty) Ltd.", "Pty Ltd"),
    ("S.A. de C.V.", "SA de CV"), ("d.o.o.", "doo"), ("s.r.o.", "sro"), ("Sp. z o.o.", "sp zoo"), ("a.s.", "as"), ("A.Ş.", "AS"),
    ("Ltda.", "Ltda"), ("Kft.", "Kft"), ("Sdn. Bhd.", "Sdn Bhd"), ("O.O.O.", "OOO"), ("e.V.", "eV"),
]  # fmt: skip


@pytest.mark.parametrize(("dotted", "plain"), FORMS)
@pytest.mark.parametrize("base", ["Acme", "Acme Beta", "Müller & Söhne", "Orange 7"])
def test_stops_commas_blanks_and_case_of_a_form_do_not_matter(base: str, dotted: str, plain: str) -> None:
    wanted = parse_name(f"{base} {plain}")
    assert wanted.core == fold(base) and wanted.form
    for form in (dotted, plain):
        for text in (f"{base} {form}", f"{base}, {form}", f"  {base}   {form}  ", f"{base}\t{form}\n"):
            for name in (text, text.upper(), text.lower()):
                assert parse_name(name)[1:7] == wanted[1:7], name


@pytest.mark.parametrize("name", ["", " ", "😀", "!!!", "—"])
def test_a_name_without_letters_is_empty_not_invented(name: str) -> None:
    assert parse_name(name) == NO_NAME


PARTS = (
    "Acme Beta the and of & Ltd Inc AG S.A. N.V. L.L.C. GmbH Co KG Holding Group Fund II No 3 10 Class A Series B (UK) India in "
    "liquidation ORD ADR cl com USD0.20 DL-,01 dba formerly c/o t/a /DE/ A/S ООО PT AB Bank ( ) , - "
    "株式会社 有限公司 集团 Ромашка Straße NestlÃ©"
).split()
WRITTEN = st.one_of(
    st.text(max_size=50),
    st.lists(st.sampled_from([*PARTS, ", London Branch"]), min_size=1, max_size=8).map(" ".join),
)


@given(WRITTEN)
@example("\ud800")
@example("(" * 500 + ")" * 500)
@ANY
def test_any_text_parses(text: str) -> None:
    parsed = parse_name(text)
    assert parsed.full == fold(text)
    assert bool(parsed.core) == bool(parsed.full)
    assert fold(parsed.core) == parsed.core
    assert parsed.form == "" or parsed.form in form_details()
    assert (parsed.form != "") or (parsed.kind, parsed.jurisdictions) == ("", "")
    assert all(relation and name == name.strip() and name for relation, name in parsed.also)


# Words that are no part of a form, designator or description wherever they stand.
PLAIN = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=9).filter(
    lambda word: (
        word not in forms_by_first_word()
        and word not in forms_by_last_word()
        and parse_name(f"xyzzy {word}").core == f"xyzzy {word}"
    )
)
ORDINARY = st.lists(PLAIN, min_size=1, max_size=4).map(" ".join)
ENDS = st.sampled_from(
    ["", " Ltd", ", Inc.", " S.A.", " GmbH & Co. KG", " Holding AG", " (UK) Ltd", " plc ORD USD0.20", " Corp /DE/"]
)


@given(ORDINARY, ENDS)
@ANY
def test_a_core_of_ordinary_words_is_its_own_core(name: str, end: str) -> None:
    """A core may itself begin or end like a form (`AS Roma`): the promise is for words that are no form."""
    core = parse_name(name + end).core
    assert core == name
    assert parse_name(core).core == core


@given(ORDINARY, ENDS)
@ANY
def test_a_name_is_the_same_in_any_width_and_case(name: str, end: str) -> None:
    plain = parse_name(name + end)
    for text in (f"  {name}  {end.strip(',')} ", f"{name}{end}".upper()):
        assert parse_name(text)[1:7] == plain[1:7]
    if "/" not in end:
        wide = "".join("\u3000" if c == " " else chr(ord(c) + 0xFEE0) for c in name + end)
        assert parse_name(wide)[:9] == plain[:9] and parse_name(wide).script == "Latn"
        assert parse_name((name + end).lower())[1:7] == plain[1:7]


@pytest.mark.parametrize(
    "spellings",
    [
        ("Nestlé S.A.", "Nestle SA", "NESTLÉ, S.A.", "Ｎｅｓｔｌé　Ｓ．Ａ．", "Nestle\u0301 SA"),
        ("Müller Söhne GmbH", "Muller Sohne GmbH", "MÜLLER SÖHNE G.M.B.H.", "Ｍｕｌｌｅｒ　Ｓｏｈｎｅ　ＧｍｂＨ"),
        ("日立製作所株式会社", "株式会社日立製作所", "㈱日立製作所", "日立製作所（株）"),
        ("ПАО Газпром", "ПАО «Газпром»", "PAO Gazprom"),
        ("삼성전자 주식회사", "(주)삼성전자", "㈜삼성전자"),
    ],
)
def test_one_name_in_several_spellings_has_one_key(spellings: tuple[str, ...]) -> None:
    keys = name_table(pd.Series(spellings, dtype=object).to_numpy())["name_key"]
    assert keys[0] and set(keys) == {keys[0]}


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Acme", "Latn"), ("Ａｃｍｅ", "Latn"), ("Œuvre", "Latn"), ("ª º", "Latn"), ("Ромашка", "Cyrl"), ("ΟΠΑΠ", "Grek"),
        ("日立", "Hani"), ("トヨタ", "Jpan"), ("ﾄﾖﾀ", "Jpan"), ("ひたち", "Jpan"), ("日立グループ", "Jpan"),
        ("삼성", "Hang"), ("ปตท", "Thai"),
        ("المراعي", "Arab"), ("בנק", "Hebr"), ("टाटा", "Deva"), ("შპს", "Geor"), ("ՍՊԸ", "Armn"), ("", "Zyyy"), ("123 !", "Zyyy"),
        ("😀", "Zyyy"),
        ("Газпром OAO plc", "Cyrl"), ("PAO Газ", "Cyrl"), ("Acme 日", "Latn"), ("Ϣ", "Zzzz"),
    ],
)  # fmt: skip
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script
    assert parse_name(text).script == script


@given(st.text(max_size=30))
@ANY
def test_a_script_needs_a_letter(text: str) -> None:
    assert (script_of(text) == "Zyyy") == (not any(c.isalpha() for c in text))
    assert script_of(text[::-1]) == script_of(text)


@pytest.mark.parametrize(
    ("core", "initials"),
    [
        ("international business machines", "ibm"),
        ("bank of america", "ba"),
        ("procter and gamble", "pg"),
        ("siemens", ""),
        ("of the", ""),
        ("bank of", ""),
        ("", ""),
        ("3 m", "3m"),
    ],
)
def test_acronyms(core: str, initials: str) -> None:
    assert acronym(core) == initials


def test_rio_tinto_stays_two_firms() -> None:
    plc, ltd = parse_name("Rio Tinto plc"), parse_name("Rio Tinto Ltd")
    assert plc.core == ltd.core and plc.full != ltd.full and plc.form != ltd.form


@given(st.lists(st.one_of(st.none(), WRITTEN), max_size=8), st.randoms(use_true_random=False))
@ANY
def test_a_table_says_what_single_names_do_in_any_order(names: list[str | None], random: Random) -> None:
    frame = parse_names(names)
    assert list(frame.columns) == list(ParsedName._fields)
    alone = [NO_NAME if name is None else parse_name(name) for name in names]
    assert [ParsedName(*row) for row in frame.itertuples(index=False, name=None)] == alone
    order = list(range(len(names)))
    random.shuffle(order)
    again = parse_names([names[i] for i in [*order, *order]])
    assert [ParsedName(*row) for row in again.itertuples(index=False, name=None)] == [
        alone[i] for i in [*order, *order]
    ]


def test_missing_names_and_order() -> None:
    frame = parse_names(["Beta GmbH", None, float("nan"), "Alpha Inc", "Beta GmbH"])
    assert frame["core"].tolist() == ["beta", "", "", "alpha", "beta"]


def test_a_name_of_two_thousand_letters() -> None:
    assert parse_name("A very long name " * 125).core
