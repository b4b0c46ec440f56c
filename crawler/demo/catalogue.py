"""The bookshop's stock: invented books, the same ones every time.

Only `Random.random` is used: of all its methods it alone is promised to give the same
numbers in every version of Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

# Sizes differ so that a category has one, two or three listing pages. In all 240 books.
CATEGORIES = {
    "Mystery": 52,
    "Travel": 41,
    "Poetry": 33,
    "History": 28,
    "Cookery": 24,
    "Science": 20,
    "Gardening": 16,
    "Essays": 12,
    "Music": 9,
    "Maps": 5,
}

_SEED = 1851
_ADJECTIVES = (
    *("amber", "borrowed", "copper", "distant", "eleventh", "faded", "gentle", "hollow"),
    *("idle", "jagged", "kindly", "lost", "midnight", "narrow", "open", "patient"),
    *("quiet", "restless", "salted", "tidal", "unwritten", "velvet", "wandering", "yellow"),
)
_NOUNS = (
    *("almanac", "bridge", "compass", "door", "echo", "ferry", "garden", "harbour"),
    *("island", "journey", "kettle", "lantern", "mirror", "notebook", "orchard", "piano"),
    *("quarry", "river", "staircase", "telescope", "umbrella", "valley", "window", "yard"),
)
_FIRST_SYLLABLES = ("Al", "Bren", "Cor", "Dun", "Els", "Fen", "Gal", "Hol", "Isk", "Lor")
_LAST_SYLLABLES = ("bury", "dale", "ford", "gate", "holm", "mere", "more", "wick")
_TITLES = (
    "The {Adjective} {Noun}",
    "The {Noun} of {place}",
    "One {Noun} for {place}",
    "{Adjective} Days in {place}",
    "My {Adjective} {Noun}",
)
_SUBTITLES = (
    "Notes from {place}",
    "With a New Preface",
    "A Year beside the {Noun}",
    "And Other {Adjective} Tales",
)
_SENTENCES = (
    "Everyone in {place} knows about the {noun}, and nobody will say why.",
    "It begins with the {adjective} {noun} and ends somewhere near {place}.",
    "The chapters on the {noun} are worth the price alone.",
    "Three friends leave {place} to look for the {adjective} {noun}.",
    "First printed in {place}, and now in this {adjective} new edition.",
    "There are no heroes here: only the {noun}, and those who mend it.",
)
_TAGS = ("classic", "illustrated", "new", "paperback", "prize", "short", "signed", "translated")


@dataclass(frozen=True, slots=True)
class Book:
    """One book of the shop."""

    number: int  # from 1; its page is /books/<number>/
    category: str
    title: str
    subtitle: str | None  # two of three books have one
    pence: int
    rating: int  # 1 to 5
    stock: int  # 0 is out of stock
    description: str
    tags: tuple[str, ...]  # none to three


def books() -> list[Book]:
    """Return every book, in the order of their numbers; categories are mixed."""
    random = Random(_SEED)  # noqa: S311 - repeatable is the point
    shelf = [category for category, size in CATEGORIES.items() for _ in range(size)]
    shelf = [category for _, category in sorted((random.random(), c) for c in shelf)]
    titles: set[str] = set()
    return [
        _book(random, number, category, titles) for number, category in enumerate(shelf, start=1)
    ]


def _book(random: Random, number: int, category: str, taken: set[str]) -> Book:
    title = _phrase(random, _TITLES)
    while title in taken:
        title = _phrase(random, _TITLES)
    taken.add(title)
    return Book(
        number=number,
        category=category,
        title=title,
        subtitle=_phrase(random, _SUBTITLES) if number % 3 else None,
        pence=499 + _below(random, 3500),
        rating=1 + _below(random, 5),
        stock=_below(random, 20),
        description=" ".join(_phrase(random, _SENTENCES) for _ in range(2 + _below(random, 3))),
        tags=tuple(sorted({_pick(random, _TAGS) for _ in range(_below(random, 4))})),
    )


def _phrase(random: Random, patterns: Sequence[str]) -> str:
    """A pattern with words in it; `{Noun}` is a noun with a capital letter."""
    pattern, adjective, noun = (_pick(random, w) for w in (patterns, _ADJECTIVES, _NOUNS))
    return pattern.format(
        adjective=adjective,
        Adjective=adjective.capitalize(),
        noun=noun,
        Noun=noun.capitalize(),
        place=_pick(random, _FIRST_SYLLABLES) + _pick(random, _LAST_SYLLABLES),
    )


def _pick(random: Random, choices: Sequence[str]) -> str:
    return choices[_below(random, len(choices))]


def _below(random: Random, end: int) -> int:
    return int(random.random() * end)
