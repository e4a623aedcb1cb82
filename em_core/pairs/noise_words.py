"""Noise on the words of a company name: legal form, abbreviations, order, what is left out and what is glued on.

An operator takes a name and its `Scene` and returns the new name; it returns the name itself where it does not apply.
None returns an empty name.
"""

from __future__ import annotations

from dataclasses import dataclass

from em_core.pairs.noise_lexicon import (
    SplitName,
    abbreviations,
    bare,
    countries,
    expansions,
    form_table,
    generic_words,
    split_form,
    squeeze,
    tails,
    translations,
    usual_forms,
)
from em_core.pairs.noise_random import Dice

_VOWELS = frozenset("AEIOUaeiou")


@dataclass(slots=True)
class Scene:
    """What an operator may look at: the record's own dice and attributes, and the channel's habit."""

    dice: Dice
    country: str | None = None
    city: str | None = None
    aliases: tuple[str, ...] = ()
    dotted: float = 0.5  # share of abbreviations that end in a full stop


def like(model: str, text: str) -> str:
    """`text` in the letter case of `model`, where that is all upper or all lower."""
    if model.isupper():
        return text.upper()
    return text.lower() if model.islower() else text


def _word_like(word: str, short: str) -> str:
    cased = like(word, short)
    return cased if cased != short or not word[:1].isupper() or word.isupper() else short.capitalize()


def _ending(word: str) -> str:
    return "," if word.endswith(",") else ""


def _with_form(name: str, parts: SplitName, spelling: str) -> str:
    styled = like(name, spelling)
    if styled.startswith(","):
        return parts.body + styled
    if parts.leads:
        return f"{styled} {parts.body}"
    comma = "," if parts.written and name[len(parts.body) : len(parts.body) + 1] == "," else ""
    return f"{parts.body}{comma} {styled}"


def legal_short(name: str, scene: Scene) -> str:
    """The form in its plain short spelling: Limited -> Ltd."""
    parts = split_form(name)
    return name if parts.form is None else _with_form(name, parts, parts.form.spellings[0])


def legal_written(name: str, scene: Scene) -> str:
    """The same form written another way: GmbH -> Gesellschaft mbH."""
    parts = split_form(name)
    if parts.form is None:
        return name
    others = [spelling for spelling in parts.form.spellings if like(name, spelling) != parts.written]
    return _with_form(name, parts, scene.dice.pick_early(others)) if others else name


def legal_dropped(name: str, scene: Scene) -> str:
    """No form."""
    return split_form(name).body


def legal_changed(name: str, scene: Scene) -> str:
    """Another form: translated, guessed, or taken for a sister form."""
    parts = split_form(name)
    if parts.form is None:
        return name
    if scene.dice.chance(0.7):
        choice = [
            text for text in translations()[parts.form.kind] if squeeze(text) not in map(squeeze, parts.form.spellings)
        ]
    else:
        sisters = [form for form in form_table().values() if form.kind == parts.form.kind and form is not parts.form]
        choice = [form.spellings[0] for form in sisters]
    return _with_form(name, parts, scene.dice.pick(choice))


def legal_added(name: str, scene: Scene) -> str:
    """A usual form of the country on a name that has none."""
    parts = split_form(name)
    if parts.form is not None:
        return name
    usual = usual_forms()
    return _with_form(name, parts, scene.dice.pick_early(usual.get(scene.country or "", usual[""])))


def _rebuild(name: str, parts: SplitName, words: list[str]) -> str:
    """The name with other body words; the name itself if nothing would be left."""
    body = " ".join(words).strip(" ,-&")
    if not squeeze(body):
        return name
    if parts.form is None:
        return body
    if parts.leads:
        return f"{parts.written} {body}"
    return body + name[len(parts.body) :]


def _replace_words(name: str, scene: Scene, table: dict[str, tuple[str, ...]], share: float) -> str:
    parts = split_form(name)
    words = parts.body.split()
    hits = [position for position, word in enumerate(words) if bare(word) in table]
    if hits and hits[0] == 0 and scene.dice.chance(0.7):
        hits = hits[1:]  # writers spare the first word
    if not hits or len(words) + (parts.form is not None) < 2:
        return name
    sure = scene.dice.pick(hits)
    dotted = scene.dice.chance(scene.dotted)
    for position in hits:
        if position == sure or scene.dice.chance(share):
            short = scene.dice.pick_early(table[bare(words[position])])
            dot = "." if dotted and short.isalpha() and table is abbreviations() else ""
            words[position] = _word_like(words[position], short) + dot + _ending(words[position])
    return _rebuild(name, parts, words)


def abbreviated(name: str, scene: Scene) -> str:
    """Common words in their usual short form: International -> Intl."""
    return _replace_words(name, scene, abbreviations(), 0.6)


def expanded(name: str, scene: Scene) -> str:
    """Short forms written out: Intl -> International."""
    return _replace_words(name, scene, expansions(), 0.6)


def cut_word(word: str, length: int) -> str:
    """The first letters of a word, at most `length`, ending in a consonant where that costs no more than one letter."""
    cut = word[:length]
    return cut[:-1] if len(cut) > 3 and cut[-1] in _VOWELS and cut[-2] not in _VOWELS else cut


def without_vowels(word: str) -> str:
    """First letter and consonants."""
    return word[:1] + "".join(letter for letter in word[1:] if letter not in _VOWELS)


def shortened(name: str, scene: Scene) -> str:
    """One or two long words cut or without vowels, as short names of exchanges have: Ceragon Networks -> CERAG.NETW."""
    parts = split_form(name)
    words = parts.body.split()
    long = [position for position, word in enumerate(words) if len(word) > 5 and word.isalpha()]
    if len(long) > 1 and long[0] == 0 and scene.dice.chance(0.8):
        long = long[1:]
    for position in scene.dice.shuffled(long)[: 1 + scene.dice.chance(0.3)]:
        word = words[position]
        bones = without_vowels(word)
        if 3 <= len(bones) <= len(word) - 2 and scene.dice.chance(0.3):
            words[position] = bones
        else:
            words[position] = cut_word(word, 3 + scene.dice.below(len(word) - 4)) + (
                "." if scene.dice.chance(scene.dotted) else ""
            )
    return _rebuild(name, parts, words) if long else name


def inflected(name: str, scene: Scene) -> str:
    """Plural and singular taken for each other: Resources -> Resource."""
    parts = split_form(name)
    words = parts.body.split()
    plain = [position for position, word in enumerate(words) if len(word) > 4 and word.isascii() and word.isalpha()]
    if not plain:
        return name
    position = scene.dice.pick(plain[1:] or plain)
    word = words[position]
    upper = word.isupper()
    if word[-3:].lower() == "ies":
        new = word[:-3] + ("Y" if upper else "y")
    elif word[-1].lower() == "s":
        new = word[:-1]
    elif word[-1].lower() == "y" and word[-2] not in _VOWELS:
        new = word[:-1] + ("IES" if upper else "ies")
    else:
        new = word + ("S" if upper else "s")
    words[position] = new
    return _rebuild(name, parts, words)


def acronym(name: str, scene: Scene) -> str:
    """Initials of three or more words: International Business Machines Corp -> IBM Corp."""
    parts = split_form(name)
    letters = [
        word[0].upper()
        for word in parts.body.split()
        if word[:1].isalpha() and bare(word) not in ("OF", "AND", "THE", "DE")
    ]
    if not 3 <= len(letters) <= 6:
        return name
    short = "".join(letters)
    return _rebuild(name, parts, [short]) if scene.dice.chance(0.5) else short


def word_dropped(name: str, scene: Scene) -> str:
    """One word left out, most often one that says little."""
    parts = split_form(name)
    words = parts.body.split()
    if len(words) < 2:
        return name
    generic = [position for position, word in enumerate(words) if bare(word) in generic_words() and position > 0]
    choice = generic if generic and (len(words) == 2 or scene.dice.chance(0.75)) else list(range(1, len(words)))
    if len(words) == 2 and not generic:
        return name  # the one word left would be anybody's
    dropped = scene.dice.pick(choice)
    return _rebuild(name, parts, words[:dropped] + words[dropped + 1 :])


def word_added(name: str, scene: Scene) -> str:
    """A word that firms often carry, before the form: Group, Holdings."""
    parts = split_form(name)
    word = scene.dice.pick_early(("Group", "Holdings", "International", "Holding", "Co", "Global", "Services"))
    present = {bare(present) for present in parts.body.split()}
    return name if word.upper() in present else _rebuild(name, parts, [parts.body, like(name, word)])


def brand(name: str, scene: Scene) -> str:
    """The first one or two words alone, as people say the name."""
    words = split_form(name).body.split()
    first = bare(words[0])
    # One word is a name only if it is not everybody's: Creative yes, Global no.
    telling = len(first) > 4 and first not in abbreviations() and first not in generic_words()
    keep = 1 if telling and scene.dice.chance(0.4) else 2
    if len(words) > keep and bare(words[keep - 1]) in ("AND", "&", "OF", "THE", "DE", "-", ""):
        keep += 1
    kept = " ".join(words[:keep]).rstrip(" ,-&")
    return kept if len(squeeze(kept)) > 2 else name


def reordered(name: str, scene: Scene) -> str:
    """Words in another order: Walt Disney Company -> Disney (Walt) Company."""
    parts = split_form(name)
    words = parts.body.split()
    dice = scene.dice
    if parts.form is not None and parts.form.leading and dice.chance(0.5):
        return f"{parts.body} {parts.written}" if parts.leads else f"{parts.written} {parts.body}"
    if len(words) < 2:
        return name
    style = dice.below(4)
    if style == 0 and len(words) < 5:
        first = words[0].rstrip(",")
        words = [*words[1:], f"({first})"] if dice.chance(0.5) else [*words[1:-1], words[-1].rstrip(",") + ",", first]
    elif style == 1 and parts.form is not None and not parts.leads:
        return f"{parts.written} {parts.body}"
    else:
        position = dice.below(len(words) - 1)
        words[position], words[position + 1] = words[position + 1].rstrip(","), words[position].rstrip(",")
    return _rebuild(name, parts, words)


def article(name: str, scene: Scene) -> str:
    """A leading The taken off, put last, or added."""
    if name[:4].lower() == "the " and len(name) > 4:
        rest = name[4:].strip()
        style = scene.dice.below(4)
        return rest if style < 2 else rest + (", " if style == 2 else " (") + name[:3] + ("" if style == 2 else ")")
    return like(name, "The ") + name


def _filled(template: str, scene: Scene) -> str:
    """A template with digits and the record's own place; empty where the record lacks what it asks for."""
    country = countries().get(scene.country or "")
    if "{" in template:
        values = {
            "Country": country.english if country else "",
            "CC": country.alpha2 if country else "",
            "Currency": tails()["currencies"].get(scene.country or "", ""),
            "City": scene.city or "",
        }
        for key, value in values.items():
            if "{" + key + "}" in template:
                if not value:
                    return ""
                template = template.replace("{" + key + "}", value)
    if "#" not in template:
        return template
    first = True
    out = []
    for letter in template:
        if letter == "#":
            out.append(str(scene.dice.below(9) + 1 if first else scene.dice.below(10)))
            first = False
        else:
            out.append(letter)
    return "".join(out)


def junk_text(kind: str, scene: Scene) -> str:
    """A tail of one kind, such as ORD GBP0.01 or an account number; may be empty."""
    return _filled(scene.dice.pick(tails()["junk"][kind]), scene)


def prefixed(name: str, scene: Scene) -> str:
    """Something before the name: an account number, Messrs."""
    return _filled(scene.dice.pick(tails()["prefixes"]["account"]), scene) + name


def place(name: str, scene: Scene) -> str:
    """The record's own country or city glued on."""
    text = junk_text("place", scene)
    return f"{name} {like(name, text)}" if text else name


def status(name: str, scene: Scene) -> str:
    """A remark that a system's user left in the name field."""
    text = junk_text("status", scene)
    return f"{name} {like(name, text)}" if text else name


def alias(name: str, scene: Scene) -> str:
    """A former or trade name that the master knows."""
    return scene.dice.pick(scene.aliases) if scene.aliases else name


def other_party(name: str, scene: Scene) -> str:
    """A dba, t/a, c/o or formerly tail."""
    dice, lines = scene.dice, tails()["other_party"]
    invented = f"{dice.pick(lines['first_words'])} {dice.pick(lines['second_words'])}"
    other = dice.pick(scene.aliases) if scene.aliases and dice.chance(0.7) else invented
    short = " ".join(split_form(name).body.split()[:2]).rstrip(" ,-&")
    template = dice.pick(lines["templates"])
    text = template.replace("{Other}", other).replace("{Short}", short).replace("{Person}", dice.pick(lines["persons"]))
    return f"{name} {like(name, text)}"
