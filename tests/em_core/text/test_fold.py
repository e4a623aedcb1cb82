"""Folding: one plain spelling for the many ways to write the same text."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from em_core.text.fold import fold, fold_all, over_distinct

ANY = settings(deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Nestlé", "nestle"),
        ("Straße", "strasse"),
        ("Škoda Łódź", "skoda lodz"),
        ("İstanbul", "istanbul"),
        ("Ærø Ødegård", "aero odegard"),
        ("Ромашка", "romashka"),
        ("ΟΠΑΠ", "opap"),
        ("AT&T", "at and t"),
        ("Canal+", "canal plus"),
        ("Macy's", "macys"),
        ("Macy’s", "macys"),
        ("Coca-Cola", "coca cola"),
        ("S.A.P.", "sap"),
        ("S. A. P.", "sap"),
        ("S.A", "sa"),
        ("A/S", "as"),
        ("Foo/Bar", "foo bar"),
        ("No. 7", "no 7"),
    ],
)
def test_spellings(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＡＣＭＥ　Ｌｔｄ", "acme ltd"),
        ("ﬁnance", "finance"),
        ("Ⅳ", "iv"),
        ("①", "1"),
        ("½", "1 2"),
        ("ｿﾆｰ", fold("ソニー")),
        ("ﾄﾖﾀ㈱", fold("トヨタ株式会社")),
        ("Foo\u00a0Bar", "foo bar"),
        ("Foo\u00adBar", "foobar"),
        ("Foo\u200bBar", "foobar"),
        ("Ne\u0301stle", "nestle"),
    ],
)
def test_compatible_characters_are_one(text: str, folded: str) -> None:
    assert fold(text) == folded == fold(unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("NestlÃ© S.A.", "nestle sa"),
        ("SociÃ©tÃ© GÃ©nÃ©rale", "societe generale"),
        ("MÃ¼ller GmbH", "muller gmbh"),
        ("Ã…land", "aland"),
        ("Å¡koda", "skoda"),
        ("BÄ™dzin", "bedzin"),
    ],
)
def test_text_that_was_read_in_the_wrong_encoding_is_read_again(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ASSOCIAÇÃO", "associacao"),
        ("ASOCIAÇÃO £5", "asociacao gbp5"),
        ("Škoda Ã", "skoda a"),
        ("ÅB", "ab"),
        ("ÂCME", "acme"),
        ("Åland Ä", "aland a"),
        ("São Ãlvaro", "sao alvaro"),
    ],
)
def test_text_that_only_looks_like_it_is_not_harmed(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize("text", ["Íberia", "Ýmir", "Łódź"])
def test_every_letter_that_was_read_in_the_wrong_encoding(text: str) -> None:
    wrong = "".join(bytes([b]).decode("cp1252", errors="ignore") or chr(b) for b in text.encode())
    assert wrong != text and fold(wrong) == fold(text)


@given(st.text(alphabet="áàâäãåçéèêëñóòôöõøúùûüß abcdefgh", min_size=1, max_size=12))
@ANY
def test_western_text_survives_the_wrong_encoding(text: str) -> None:
    assert fold(text.encode().decode("cp1252")) == fold(text)


GLUED = [
    ("株式会社日立", "kk"),
    ("日立株式会社", "kk"),
    ("日立㈱", "kk"),
    ("㈱日立", "kk"),
    ("(株)日立", "kk"),
    ("日立（株）", "kk"),
    ("日立株式會社", "kk"),
    ("日立有限会社", "yk"),
    ("合同会社日立", "gk"),
    ("日立グループ", "group"),
    ("日立ホールディングス", "holdings"),
    ("日立ホールディングス株式会社", "holdings kk"),
    ("주식회사 삼성", "jusik hoesa"),
    ("삼성(주)", "jusik hoesa"),
    ("삼성유한회사", "yuhan hoesa"),
    ("삼성그룹", "group"),
    ("三星有限公司", "co ltd"),
    ("三星股份有限公司", "co ltd"),
    ("三星有限責任公司", "co ltd"),
    ("三星集团有限公司", "group co ltd"),
    ("三星集團控股有限公司", "group holdings co ltd"),
    ("บริษัท ปตท จำกัด", "co ltd"),
    ("บริษัท ปตท จำกัด (มหาชน)", "pcl"),
    ("بنك ذ.م.م", "llc"),
    ("شركة بنك المحدودة", "ltd"),
    ('בנק בע"מ', "ltd"),
    ("בנק בע״מ", "ltd"),
    ("შპს რუსთავი", "llc"),
    ("ՍՊԸ Երևան", "llc"),
]


@pytest.mark.parametrize(("text", "words"), GLUED)
def test_a_form_that_its_script_glues_to_the_name_becomes_words(text: str, words: str) -> None:
    assert fold(text).endswith(f" {words}")
    assert fold(text).removesuffix(words).strip()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("株式会社日立", "日立株式会社"),
        ("(주)삼성", "삼성 주식회사"),
        ("شركة المراعي", "المراعي"),
        ("三星電子", "三星電子 "),
    ],
)
def test_where_the_glued_form_stands_makes_no_other_text(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    "text",
    ["株式会社", "有限公司", "公司公司", "分公司", "集团有限公司", "(株)", "㈱", "グループ", "주식회사", "จำกัด", "บริษัท", "شركة",
     'בע"מ', "შპს"],
)  # fmt: skip
def test_a_glued_form_alone_keeps_something(text: str) -> None:
    assert fold(text)


@pytest.mark.parametrize("text", ["ソニー株式会社.", '"ソニー株式会社"', "「ソニー株式会社」", "«ソニー株式会社»"])
def test_punctuation_around_a_glued_form_does_not_matter(text: str) -> None:
    assert fold(text) == fold("ソニー株式会社")


def test_more_blanks_between_initials_do_not_matter() -> None:
    assert fold("E.  W.  Industries") == fold("E. W. Industries")


@pytest.mark.parametrize(
    ("text", "folded"),
    [("J.P. S.A.", "jp sa"), ("G.S.R. S.R.L.", "gsr srl"), ("Foo sp. z o.o. S.K.A.", "foo sp z oo ska")],
)
def test_a_dotted_form_stays_apart_from_dotted_initials(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize("text", ["", " ", "\t\n", "😀", "!!!", "—", "™", "\ud800", "\ue000", "?¿", "·・"])
def test_without_a_letter_or_digit_nothing_is_invented(text: str) -> None:
    assert fold(text) == ("tm" if text == "™" else "")


@given(st.text(max_size=60))
@example("a.b.c. d/e/f 'g' & + ½ 株式会社株式会社")
@ANY
def test_folding_is_idempotent_and_plain(text: str) -> None:
    once = fold(text)
    assert fold(once) == once
    assert once == " ".join(once.split()) and all(c == " " or (c.isascii() and c.isalnum()) for c in once)
    assert once == once.lower()


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=40))
@ANY
def test_case_does_not_matter(text: str) -> None:
    assert fold(text.upper()) == fold(text.lower()) == fold(text)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
@ANY
def test_full_width_is_plain_width(text: str) -> None:
    assert fold("".join("\u3000" if c == " " else chr(ord(c) + 0xFEE0) for c in text)) == fold(text)


@given(
    st.text(alphabet=st.characters(categories=("L", "Nd"), max_codepoint=0x24F, exclude_characters="ƸƹɁɂ"), min_size=1)
)
@ANY
def test_latin_letters_and_digits_never_fold_to_nothing(text: str) -> None:
    assert fold(text)


VALUES = st.lists(
    st.one_of(st.none(), st.just(float("nan")), st.text(max_size=8), st.sampled_from(["a", "B"])), max_size=12
)


@given(VALUES)
@ANY
def test_a_column_folds_as_its_values_do(values: list[object]) -> None:
    folded = fold_all(values)
    assert folded.dtype == object
    assert folded.tolist() == [fold(v) if isinstance(v, str) else "" for v in values]


def test_a_function_sees_each_text_once() -> None:
    seen: list[str] = []

    def remember(text: str) -> int:
        seen.append(text)
        return len(text)

    assert over_distinct(["aa", None, "b", "aa", np.nan], remember, -1).tolist() == [2, -1, 1, 2, -1]
    assert seen == ["aa", "b"]
