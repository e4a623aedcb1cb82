"""What a feature says, in few words: the sentence pieces of reasons and explanations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit


def _two(agrees: str, differs: str) -> Callable[[float], str]:
    return lambda value: agrees if value >= 0.5 else differs


def _alike(what: str, scale: float = 1.0) -> Callable[[float], str]:
    return lambda value: f"{what} {value * scale:.0f} % alike"


def _gap(what: str, scale: float = 1.0) -> Callable[[float], str]:
    def say(value: float) -> str:
        points = round(value * scale)
        if points == 0:
            return f"{what} no closer than another candidate"
        many = "1 point" if abs(points) == 1 else f"{abs(points)} points"
        return f"{what} {many} {'closer than' if points > 0 else 'behind'} the best other candidate"

    return say


def _lacks(who: str, whose: str) -> Callable[[float], str]:
    return lambda value: (
        f"{who} has every word of {whose}" if value <= 0 else f"{who} lacks a word of {whose} (rarity {value:.1f})"
    )


def _forms(value: float) -> str:
    if value >= 0.9:
        return "same legal form"
    return "legal forms written for one another" if value >= 0.5 else "legal forms exclude each other"


def _prefix(value: float) -> str:
    return f"{value * 100:.0f} % of the shorter name is a common beginning"


def _shares(who: str, whose: str) -> Callable[[float], str]:
    return lambda value: f"{who} shares {value * 100:.0f} % of {whose}'s words by rarity"


def _explains(who: str, whose: str) -> Callable[[float], str]:
    return lambda value: (
        f"{who} explains {value * 100:.0f} % of {whose}'s words by rarity, abbreviations and slips allowed"
    )


def _unexplained(whose: str, who: str) -> Callable[[float], str]:
    return lambda value: (
        f"every word of {whose} is found in {who}, abbreviations and slips allowed"
        if value <= 0
        else f"a word of {whose} is not explained by {who} (rarity {value:.1f})"
    )


def _equal_or(same: str, what: str) -> Callable[[float], str]:
    return lambda value: same if value >= 100 else f"{what} {value:.0f} % alike"


def _length(value: float) -> str:
    if round(value) == 0:
        return "names equally long"
    return f"the candidate's name {abs(value):.0f} letters {'longer' if value > 0 else 'shorter'}"


def _others(value: float) -> str:
    return "no other entity of this name" if value < 1.5 else f"{value:.0f} entities of this name"


def _crowd(value: float) -> str:
    return "no other candidate about as close" if value < 1.5 else f"{value:.0f} candidates about equally close"


class Words(NamedTuple):
    """How a feature is told: `what` it compares, `say` of a value, and from where on a value plainly speaks for or against.

    `least`, `most`: a value of at least `least` may be told as a reason for the candidate, one of at most `most` as a reason against;
    by default never. With `lower_is_better` the sides change.
    """

    what: str
    say: Callable[[float], str]
    least: float = math.inf
    most: float = -math.inf
    lower_is_better: bool = False


# Trees also learn from lengths, crowds and corners that no reader would call a reason: they count in an explanation, not among the reasons.
WORDS: dict[str, Words] = {
    "lexical": Words("letters of the names", _alike("letters of the whole names", 100), 0.5, 0.9),
    "vector": Words("meaning of the names", _alike("meaning of the names", 100), 0.5, 0.9),
    "rank": Words("place among the candidates", lambda value: f"found in place {value + 1:.0f}", 0, 1, True),
    "lexical_gap": Words("letters beside other candidates", _gap("letters", 100), 0.05, 0.01),
    "vector_gap": Words("meaning beside other candidates", _gap("meaning", 100), 0.05, 0.01),
    "crowd": Words("other candidates", _crowd, 1, 2, True),
    "core_ratio": Words("names without legal form", _alike("names without legal form"), 70, 95),
    "core_gap": Words("name beside other candidates", _gap("name without legal form"), 5, 1),
    "core_sorted": Words("names without legal form", _alike("names with sorted words"), 70, 95),
    "core_partial": Words("names without legal form", _alike("the shorter name inside the longer one"), 70, 95),
    "core_words": Words("words of the names", _alike("words of the names"), 70, 95),
    "core_jaro": Words("beginnings of the names", _alike("names, beginnings above all,", 100), 0.8, 0.95),
    "compact_ratio": Words("names without blanks", _alike("names without blanks"), 70, 95),
    "full_ratio": Words("whole names", _alike("whole names"), 70, 95),
    "prefix": Words("beginnings of the names", _prefix, 0.3, 0.9),
    "shared_query": Words("words of the record's name", _shares("the candidate", "the record"), 0.5, 0.9),
    "shared_entity": Words("words of the candidate's name", _shares("the record", "the candidate"), 0.5, 0.9),
    "rarest_missing_query": Words("words of the record's name", _lacks("the candidate", "the record"), 0, 1, True),
    "rarest_missing_entity": Words("words of the candidate's name", _lacks("the record", "the candidate"), 0, 1, True),
    "aligned_query": Words("words of the record's name", _explains("the candidate", "the record"), 0.5, 0.9),
    "aligned_entity": Words("words of the candidate's name", _explains("the record", "the candidate"), 0.5, 0.9),
    "unexplained_query": Words("words of the record's name", _unexplained("the record", "the candidate"), 0, 1, True),
    "unexplained_entity": Words("words of the candidate's name", _unexplained("the candidate", "the record"), 0, 1, True),
    "aligned_gap": Words("words beside other candidates", _gap("words, abbreviations and slips allowed,", 50), 0.05, 0.01),
    "rarity_query": Words("rarity of the record's name", lambda value: f"rarity {value:.1f} of the record's words in total"),
    "length_query": Words("the record's name", lambda value: f"{value:.0f} letters in the record's name"),
    "length_gap": Words("lengths of the names", _length),
    "same_form": Words("legal form", _two("same legal form", "another legal form"), 0.5, 0.5),
    "same_kind": Words("class of legal form", _two("same class of legal form", "another class of legal form"), 0.5, 0.5),
    "same_numbers": Words("numbers in the name", _two("same numbers in the name", "other numbers in the name"), 0.5, 0.5),
    "namesakes": Words("namesakes", _others, 1, 2, True),
    "same_country": Words("country", _two("same country", "another country"), 0.5, 0.5),
    "same_region": Words("region", _two("same region", "another region"), 0.5, 0.5),
    "same_city": Words("city", _equal_or("same city", "cities"), 70, 90),
    "same_postal_code": Words("postal code", _two("same postal code", "another postal code"), 0.5, 0.5),
    "same_domain": Words("website", _two("same website", "another website"), 0.5, 0.5),
    "same_industry": Words("industry", _equal_or("same industry", "industries"), 70, 90),
    "same_ticker": Words("ticker", _two("same ticker", "another ticker"), 0.5, 0.5),
    "same_identifier": Words("identifiers", _two("an identifier agrees", "LEI or CIK differs"), 0.5, 0.5),
    "same_designators": Words("designators", _two("same designators", "other designators"), 0.5, 0.5),
    "same_class": Words("share class", _two("same share class", "another share class"), 0.5, 0.5),
    "acronym": Words("acronym", _two("one name is the acronym of the other", "neither is the acronym of the other"), 0.5),
    "form_agreement": Words("legal form", _forms, 0.5, 0.5),
    "country_of_form": Words(
        "country of the legal form",
        _two("the record's legal form exists in the candidate's country", "the record's legal form is unknown in the candidate's country"),
        0.5, 0.5,
    ),
    "pair_logit": Words("the pair alone", lambda value: f"probability {expit(value):.2f} of the pair alone", 0, 0),
    "pair_gap": Words("the pair beside other candidates", _gap("judged alone", 100), 0.05, 0.01),
    "mass": Words("other candidates", lambda value: f"probability {value:.2f} of all candidates together, each judged alone"),
    "pair_rank": Words("place by the pair alone", lambda value: f"place {value:.0f} by the pair alone", 1, 2, True),
    "ditto_logit": Words("Ditto", lambda value: f"Ditto's probability {expit(value):.2f}", 0, 0),
    "ditto_gap": Words("Ditto's other answers", _gap("Ditto", 100), 0.05, 0.01),
}  # fmt: skip


def say(feature: str, value: float) -> str:
    """A feature's value in words; a missing value (NaN) was not compared and says nothing else."""
    words = WORDS[feature]
    return f"{words.what} not compared" if math.isnan(value) else words.say(value)


def speaks(features: Sequence[str], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((r, f), (r, f)) bool: which values (r, f) of the features may be told as reasons for, and against, the candidate; NaN never."""
    words = [WORDS[feature] for feature in features]
    sign = np.array([-1.0 if w.lower_is_better else 1.0 for w in words])
    return values * sign >= np.array([w.least for w in words]) * sign, values * sign <= np.array(
        [w.most for w in words]
    ) * sign
