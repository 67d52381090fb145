"""How names get parts: patterns such as "{verb} {object} [with {tool}]" (docs/names.md, Factors)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from fact_clip.core import ConfigKey, Factors, InputError

PARTICLES = ("up", "down", "off", "on", "out", "in", "away", "over", "back", "apart", "together")
"""Words that belong to the verb before them, unless they are words of the pattern."""

_MAX_NAME = 400  # characters; a longer one would be read in too many ways
_PATTERN = re.compile(r"(?:[^][{}]|\{\w*\}|\[(?:[^][{}]|\{\w*\})*\])*")
_SLOT = "\0"  # stands for a slot where the words of a pattern are looked at


@dataclass(frozen=True)
class Grammar:
    """A pattern that cuts names into factors (docs/names.md, Names of your own); called with a name, it gives them.

    Malformed patterns are InputErrors, and so are names that do not parse.
    """

    pattern: (
        str  # if it has underscores and no blanks, they are blanks in names that are written so
    )
    none: tuple[str, ...] = ()  # names without any factor, such as the background
    words: Mapping[str, str] = field(default_factory=dict)  # factor -> what to call it
    underscores: bool = False  # names have "_" where the pattern has blanks; both are then the same

    def __post_init__(self) -> None:
        pattern = self.pattern
        slots, required = _slots(pattern), _slots(re.sub(r"\[[^\]]*\]", "", pattern))
        twice = next((slot for slot in required if slot and slots.count(slot) > 1), None)
        if not _PATTERN.fullmatch(pattern):
            problem = "a stray brace or bracket, or a slot that is not a word,"
        elif re.search(r"\}[\[\]]*\{", pattern):
            problem = "nothing between two slots"
        elif not any(slots):
            problem = "no slot"
        elif twice is not None:
            problem = f"{{{twice}}} twice, not in optional groups alone,"
        else:
            return
        fix = 'write it as "{verb} {object} [with {tool}]"'
        raise InputError(ConfigKey("data.grammar"), f"{problem} in {pattern!r}", fix)

    @classmethod
    def of(cls, pattern: str, actions: Iterable[str]) -> Grammar:
        """Return the grammar of some names: where none of them has a blank, their underscores are blanks."""
        return cls(pattern, underscores=not any(" " in name for name in actions))

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The names of the slots, each once, in the order of the pattern."""
        return tuple(dict.fromkeys(filter(None, _slots(self.pattern))))

    def __call__(self, name: str) -> Factors:
        """Return one factor per slot; an InputError for a name that does not parse."""
        if name in self.none:
            return (None,) * len(self.slots)
        blank = self.underscores or _has_underscores_alone(self.pattern)
        words = " ".join((name.replace("_", " ") if blank else name).split())
        match = self._expression.fullmatch(words) if len(words) <= _MAX_NAME else None
        factors: dict[str, str] = {}
        parts = () if match is None else zip(_slots(self.pattern), match.groups(), strict=True)
        for slot, text in parts:
            if slot and text is not None:
                part = " ".join(text.replace("_", " ").split())
                # two groups of one slot fit, and nothing says which one is meant
                factors[slot] = "" if slot in factors else self.words.get(part, part)
        if not factors or not all(factors.values()):
            raise InputError(f"class {name!r}", f"this name does not fit {self.pattern}")
        return tuple(factors.get(slot) for slot in self.slots)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        """A regular expression with one group per part, in the order of the pattern."""
        tokens = _tokens(_with_blanks_inside(self.pattern))
        bare = [token for token in tokens if token not in "[]"]
        flat = "".join(_SLOT if token[0] == "{" else token for token in bare)
        words = [re.escape(word) for word in flat.split() if _SLOT not in word]
        marks = re.escape(
            "".join(
                sorted({char for char in flat if not char.isalnum() and char not in f" {_SLOT}"})
            )
        )
        no_first = f"(?!(?:{'|'.join(words)})(?: |$))" if words else ""
        no_last = "".join(f"(?<! {word})" for word in words)
        particles = "|".join(
            word for word in PARTICLES if word not in (lower.lower() for lower in words)
        )
        any_text, verb = (
            f"[^{marks}]+?" if marks else ".+?",
            f"[^ {marks}]+(?: (?:{particles})(?= |$))?",
        )
        parts, index = list[str](), -1  # of the token among the bare ones
        for token in tokens:
            index += token not in "[]"
            if token[0] == "{":
                alone = token != "{verb}" or not _stands_beside_a_slot(bare, index)
                parts.append(f"{no_first}({any_text if alone else verb}){no_last}")
            else:
                parts.append({"[": "(?:", "]": ")?"}.get(token) or re.escape(token))
        return re.compile("".join(parts), re.IGNORECASE)


def _tokens(pattern: str) -> list[str]:
    """Return slots with their braces, brackets, and the text between them."""
    return [token for token in re.split(r"(\{[^{}]*\}|[\[\]])", pattern) if token]


def _slots(pattern: str) -> list[str]:
    """Return the name of each part, "" for one that is dropped."""
    return [token[1:-1] for token in _tokens(pattern) if token[0] == "{"]


def _has_underscores_alone(pattern: str) -> bool:
    literal = re.sub(r"\{[^{}]*\}", "", pattern)
    return "_" in literal and " " not in literal


def _with_blanks_inside(pattern: str) -> str:
    """Return the pattern with blanks for underscores, and blanks moved into the group that goes missing with them."""
    if _has_underscores_alone(pattern):
        pattern = "".join(
            token if token[0] == "{" else token.replace("_", " ") for token in _tokens(pattern)
        )
    pattern = re.sub(r" +\[ *", "[ ", " ".join(pattern.split()))
    return re.sub(r"^\[([^\]]*?) *\] +", r"[\1 ]", pattern)


def _stands_beside_a_slot(tokens: Sequence[str], index: int) -> bool:
    """Whether nothing but a blank lies between this slot and another one; `tokens` without brackets."""
    before, after = tokens[:index][::-1], tokens[index + 1 :]
    return any(
        next((token for token in side if token != " "), "")[:1] == "{" for side in (before, after)
    )


# What usually follows a preposition; in the order in which they stand in a name.
PREPOSITIONS = {
    "from": "source",
    "into": "target",
    "onto": "target",
    "in": "target",
    "on": "target",
    "to": "target",
    "with": "tool",
    "using": "tool",
}


def propose(actions: Sequence[str]) -> str | None:
    """Guess a pattern that all of these names fit: a verb, an object, and what follows a preposition.

    A preposition counts where it stands inside at least two names. None where no two names share a word in one slot.
    """
    for pattern in _candidates(actions):
        with suppress(InputError):  # a name that does not parse
            columns = list(zip(*map(Grammar.of(pattern, actions), actions), strict=True))[:2]
            shared = any(
                len({*column} - {None}) < sum(factor is not None for factor in column)
                for column in columns
            )
            return pattern if shared else None
    return None


def _candidates(actions: Sequence[str]) -> list[str]:
    """Return patterns of a verb and an object, with and without what follows a preposition in two names or more."""
    marks = Counter({mark: sum(mark in name for name in actions) for mark in (" ", "_", "-", ",")})
    mark, count = marks.most_common(1)[0]
    if not count:
        return []
    words = [" ".join(name.split(mark)).split() for name in actions]
    core = (
        f"{{verb}}{mark}{{object}}"
        if all(len(words_) > 1 for words_ in words)
        else f"{{verb}}[{mark}{{object}}]"
    )
    inner = Counter(word.lower() for words_ in words for word in set(words_[2:-1]))
    groups = "".join(
        f"[{mark}{word}{mark}{{{slot}}}]"
        for word, slot in PREPOSITIONS.items()
        if inner[word] >= 2 and mark in (" ", "_")
    )
    return [
        pattern.replace("[ ", " [") for pattern in ((core + groups, core) if groups else (core,))
    ]
