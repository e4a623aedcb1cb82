"""Noise on the letters of a company name: typing, scanning, encoding, punctuation, blanks, case and width.

The same contract as in `noise_words`: the name itself where an operator does not apply, never an empty name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from anyascii import anyascii

from em_core.pairs.noise_lexicon import abbreviations, bare, split_form, squeeze
from em_core.pairs.noise_words import Scene, cut_word, without_vowels

# Letters beside each other on a QWERTY keyboard.
_KEYS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl", "p": "ol",
    "a": "qsz", "s": "awdx", "d": "sefc", "f": "drgv", "g": "fthb", "h": "gyjn", "j": "hukm", "k": "jil", "l": "kop",
    "z": "asx", "x": "zsc", "c": "xdv", "v": "cfb", "b": "vgn", "n": "bhm", "m": "nj",
}  # fmt: skip
# Shapes that a scanner takes for each other.
_SHAPES = (
    ("O", "0"), ("0", "O"), ("l", "1"), ("I", "1"), ("I", "l"), ("1", "I"), ("S", "5"), ("5", "S"), ("B", "8"), ("8", "B"), ("rn", "m"),
    ("m", "rn"), ("RN", "M"), ("cl", "d"), ("vv", "w"), ("w", "vv"), ("Z", "2"), ("G", "6"), ("E", "F"), ("e", "c"), ("h", "b"),
    ("ll", "11"), ("O", "Q"), ("D", "O"), ("U", "V"), ("VV", "W"), ("li", "h"), ("tt", "it"), ("a", "o"), ("g", "q"), ("i", "l"),
    ("t", "f"),
)  # fmt: skip
_GERMAN = str.maketrans(
    {
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "Ä": "AE",
        "Ö": "OE",
        "Ü": "UE",
        "ß": "ss",
        "æ": "ae",
        "ø": "oe",
        "å": "aa",
        "Å": "AA",
        "Ø": "OE",
    }
)
_PUNCTUATION = re.compile(r"[^\w\s&+]|_")
_BLANKS = re.compile(r"\s+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _solid(name: str, fallback: str) -> str:
    """The name with single blanks; the fallback where no letter or digit is left."""
    text = _BLANKS.sub(" ", name).strip()
    return text if any(letter.isalnum() for letter in text) else fallback


def typo(name: str, scene: Scene) -> str:
    """One or two slips of the fingers inside words: neighbour key, swapped, missing or doubled letter."""
    dice = scene.dice
    text = name
    for _ in range(1 + dice.chance(0.2)):
        spots = [
            match.start() + offset
            for match in re.finditer(r"[^\W\d_]{4,}", text)
            for offset in range(1, len(match.group()))
        ]
        if not spots:
            return text
        # The first letter of a name is seldom wrong.
        spot = dice.pick(spots) if spots[0] != 1 or not dice.chance(0.06) else 0
        letter, roll = text[spot], dice.uniform()
        if roll < 0.3 and letter.lower() in _KEYS:
            new = dice.pick(_KEYS[letter.lower()])
            text = text[:spot] + (new.upper() if letter.isupper() else new) + text[spot + 1 :]
        elif roll < 0.55 and spot + 1 < len(text) and text[spot + 1].isalpha() and text[spot + 1] != letter:
            text = text[:spot] + text[spot + 1] + letter + text[spot + 2 :]
        elif roll < 0.8:
            text = text[:spot] + text[spot + 1 :]
        else:
            text = text[:spot] + letter + text[spot:]
    return text


def ocr(name: str, scene: Scene) -> str:
    """One to three shapes misread by a scanner."""
    text = name
    for _ in range(1 + scene.dice.chance(0.35) + scene.dice.chance(0.15)):
        present = [pair for pair in _SHAPES if pair[0] in text]
        if not present:
            return text
        old, new = scene.dice.pick(present)
        starts = [match.start() for match in re.finditer(re.escape(old), text)]
        start = scene.dice.pick(starts)
        text = text[:start] + new + text[start + len(old) :]
    return text


def folded(name: str, scene: Scene) -> str:
    """Accents and scripts made ASCII: transliterated, the German way, dropped, or misread encoding."""
    if name.isascii():
        return name
    roll = scene.dice.uniform()
    if roll < 0.15:
        name_german = name.translate(_GERMAN)
        return _solid(name_german if name_german.isascii() else anyascii(name_german), name)
    if roll < 0.22:
        dropped = _solid(name.encode("ascii", "ignore").decode(), "")
        return dropped if len(squeeze(dropped)) > len(squeeze(name)) / 2 else _solid(anyascii(name), name)
    if roll < 0.27:
        return _solid(name.encode("utf-8").decode("cp1252", "ignore"), name)
    return _solid(anyascii(name), name)


def transliterated(name: str, scene: Scene) -> str:
    """What a system that stores ASCII alone makes of the name."""
    if name.isascii():
        return name
    text = folded(name, scene) if scene.dice.chance(0.2) else name
    return _solid(anyascii(text), name)


def bare_punctuation(name: str, scene: Scene) -> str:
    """No punctuation: U.S. Steel Corp. -> US STEEL CORP."""
    joined = re.sub(r"(?<=\b\w)\.\s?(?=\w\b)", "", name)
    return _solid(_PUNCTUATION.sub(" ", joined.replace(".", "").replace("'", "").replace("’", "")), name)


def _ampersand(name: str, scene: Scene) -> str:
    if "&" in name:
        return _solid(
            name.replace("&", scene.dice.pick((" and ", " + ", " und " if scene.country in ("DE", "AT") else " and "))),
            name,
        )
    return (
        re.sub(r"\b(and|und|et|y|e)\b", "&", name, count=1, flags=re.IGNORECASE)
        if re.search(r" and ", name, re.IGNORECASE)
        else name
    )


def _hyphen(name: str, scene: Scene) -> str:
    if "-" in name:
        return _solid(name.replace("-", scene.dice.pick((" ", "", " - "))), name)
    words = split_form(name).body.split()
    if len(words) < 2 or scene.dice.chance(0.7):
        return name
    return name.replace(f"{words[0]} {words[1]}", f"{words[0]}-{words[1]}", 1)


def _comma(name: str, scene: Scene) -> str:
    if "," in name:
        return _solid(name.replace(",", ""), name)
    parts = split_form(name)
    return f"{parts.body}, {parts.written}" if parts.form is not None and not parts.leads else name


def _stops(name: str, scene: Scene) -> str:
    if "." in name:
        return _solid(name.replace(".", ""), name)
    words = name.split()
    if words[-1].isupper() and 2 <= len(words[-1]) <= 4 and words[-1].isalpha() and len(words) > 1:
        return " ".join(words[:-1]) + " " + ".".join(words[-1]) + "."
    return name + "." if 2 <= len(words[-1]) <= 4 and words[-1].isalpha() and len(words) > 1 else name


def _double_blank(name: str, scene: Scene) -> str:
    blanks = [position for position, letter in enumerate(name) if letter == " "]
    if not blanks:
        return name
    spot = scene.dice.pick(blanks)
    return name[:spot] + "  " + name[spot + 1 :]


def _apostrophe(name: str, scene: Scene) -> str:
    return _solid(re.sub(r"['’`]", scene.dice.pick(("", "`", "’")), name), name)


_PUNCTUATIONS: tuple[Callable[[str, Scene], str], ...] = (
    bare_punctuation, _ampersand, _hyphen, _comma, _stops, _double_blank, _apostrophe, _comma, _stops, _ampersand,
)  # fmt: skip


def punctuation(name: str, scene: Scene) -> str:
    """Commas, stops, hyphens, ampersands and blanks as another writer sets them."""
    for change in scene.dice.shuffled(_PUNCTUATIONS):
        text = change(name, scene)
        if text != name:
            return text
    return name


def glued(name: str, scene: Scene) -> str:
    """One blank of the name proper lost (seldom all of them): Credit Bureau -> CreditBureau."""
    parts = split_form(name)
    words = parts.body.split()
    if len(words) < 2:
        return name
    if scene.dice.chance(0.15):
        body = "".join(words)
    else:
        position = scene.dice.below(len(words) - 1)
        body = " ".join([*words[:position], words[position] + words[position + 1], *words[position + 2 :]])
    return f"{parts.written} {body}" if parts.leads else body + name[len(parts.body) :]


def parted(name: str, scene: Scene) -> str:
    """A blank inside a word: PetroChina -> Petro China."""
    camel = [match.start() for match in _CAMEL.finditer(name)]
    if camel:
        spot = scene.dice.pick(camel)
    else:
        long = list(re.finditer(r"[^\W\d_]{7,}", name))
        if not long:
            return name
        match = scene.dice.pick(long)
        spot = match.start() + 3 + scene.dice.below(len(match.group()) - 5)
    return f"{name[:spot]} {name[spot:]}"


def cased(name: str, style: str) -> str:
    """`upper`, `lower`, `title`; any other style keeps the name."""
    if style == "upper":
        return name.upper()
    if style == "lower":
        return name.lower()
    if style == "title":
        return " ".join(
            word[:1].upper() + word[1:].lower() if word.isalpha() and len(word) > 3 else word
            for word in name.split(" ")
        )
    return name


def fitted(name: str, width: int, scene: Scene, drop_words: bool) -> str:
    """The name in `width` characters as a clerk makes it fit: abbreviate, shorten long words, or leave out the last ones; then cut."""
    words = name.split()
    dotted = scene.dice.chance(scene.dotted)
    dot = "." if dotted else ""

    def length() -> int:
        return len(_joined(words, dotted))

    if length() > width and drop_words:
        while len(words) > 2 and length() > width:
            words.pop()
    for position in range(len(words) - 1, 0, -1):
        if length() <= width:
            break
        short = abbreviations().get(bare(words[position]))
        if short:
            text = scene.dice.pick_early(short)
            words[position] = (text if words[position].isupper() else text.capitalize()) + (
                dot if text.isalpha() else ""
            )
    order = sorted(range(len(words)), key=lambda position: (position == 0, -len(words[position]), -position))
    for position in order:
        excess = length() - width
        word = words[position]
        if excess <= 0:
            break
        if len(word) > 4 and word.isalpha():
            bones = without_vowels(word)
            if scene.dice.chance(0.15) and len(bones) <= len(word) - excess:
                words[position] = bones
            else:
                words[position] = cut_word(word, max(3, len(word) - excess - len(dot))) + dot
    return _joined(words, dotted)[:width].strip() or name[:width]


def _joined(words: list[str], dotted: bool) -> str:
    """Words with blanks, none after an abbreviation's full stop."""
    text = " ".join(words)
    return re.sub(r"(?<=[A-Za-z]{3}\.) (?=\S)", "", text) if dotted else text
