"""Patterns that divide names into factors: "{verb} {object} [with {tool}]" (docs/names.md).

`Grammar` converts a pattern to a regular expression and reads names with it. `propose` guesses a
pattern from names. Terms in this file: a slot is "{verb}", a group is "[with {tool}]", and a token
is a slot, a bracket, or the characters between them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from fact_clip.core import Factors, InputError, Names

PARTICLES = ("up", "down", "off", "on", "out", "in", "away", "over", "back", "apart", "together")
"""Words that belong to the verb before them, unless they occur in the pattern."""

# Slot of the words after a preposition. `propose` writes the groups in this order.
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

_MAX_NAME = 400  # characters; the regular expression would take too long for a longer name
# Characters, {slots}, and [groups], which do not contain each other.
_WELL_FORMED = re.compile(r"(?:[^][{}]|\{\w*\}|\[(?:[^][{}]|\{\w*\})*\])*")
_SLOT = "\0"  # replaces a slot while the words of a pattern are collected


@dataclass(frozen=True)
class Grammar:
    """A pattern that divides names into factors (docs/names.md, Your own names).

    A malformed pattern raises an InputError, and so does a name that does not fit the pattern.

    Args:
        pattern: Slots in braces and optional groups in brackets. If it has underscores and no
            spaces, they stand for spaces in names with underscores.
        none: Names without any factor, such as the background.
        words: Replacements of factors, by the factor as it was read.
        underscores: Whether "_" in names is the same as a space.
    """

    pattern: str
    none: Names = ()
    words: Mapping[str, str] = field(default_factory=dict)
    underscores: bool = False

    def __post_init__(self) -> None:
        # The pattern may still be malformed. The slots are wrong then, but `_slots` raises nothing,
        # and the first condition below reports the pattern.
        slot_counts = Counter(_slots(self.pattern))
        # slots outside of groups, which every name fills
        required = set(_slots(re.sub(r"\[[^\]]*\]", "", self.pattern))) - {""}
        repeated = [slot for slot in slot_counts if slot in required and slot_counts[slot] > 1]
        problem = ""
        if not _WELL_FORMED.fullmatch(self.pattern):
            problem = "a stray brace or bracket, or a slot that is not a word,"
        elif re.search(r"\}[\[\]]*\{", self.pattern):
            problem = "nothing between two slots"
        elif not self.slots:
            problem = "no slot"
        elif repeated:
            problem = f"{{{repeated[0]}}} twice, not in optional groups alone,"
        if problem:
            fix = 'write it as "{verb} {object} [with {tool}]"'
            raise InputError("data.grammar", f"{problem} in {self.pattern!r}", fix)

    @classmethod
    def of(cls, pattern: str, actions: Iterable[str]) -> "Grammar":
        """Return the grammar of names. Underscores stand for spaces if no name has a space."""
        return cls(pattern, underscores=not any(" " in name for name in actions))

    @cached_property
    def slots(self) -> Names:
        """Return the names of the slots, each once, in the order of the pattern."""
        return tuple(dict.fromkeys(filter(None, _slots(self.pattern))))

    def __call__(self, name: str) -> Factors:
        """Return one factor per slot.

        Args:
            name: Name of an action.

        Returns:
            The factors, None for the slot of an optional group that is missing.
        """
        if name in self.none:
            return (None,) * len(self.slots)
        spaced_name = name
        if self.underscores or _has_underscores_alone(self.pattern):
            spaced_name = name.replace("_", " ")
        spaced_name = " ".join(spaced_name.split())
        match = self._expression.fullmatch(spaced_name) if len(spaced_name) <= _MAX_NAME else None

        factors: dict[str, str] = {}
        if match is not None:
            for slot, part in zip(_slots(self.pattern), match.groups(), strict=True):
                if not slot or part is None:
                    continue
                factor = " ".join(part.replace("_", " ").split())
                factor = self.words.get(factor, factor)
                if slot in factors:
                    factor = ""  # two groups of one slot fit, so the name is rejected below
                factors[slot] = factor
        if not factors or not all(factors.values()):
            raise InputError(f"class {name!r}", f"this name does not fit {self.pattern}")
        return tuple(factors.get(slot) for slot in self.slots)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        r"""Return a regular expression that captures each slot, in the order of the pattern.

        "{verb} {object}" gives `([^ ]+(?: (?:up|down|...)(?= |$))?)\ (.+?)`.
        """
        tokens = _tokens(_with_blanks_inside(self.pattern))
        # "{verb} {object} [with {tool}]" gives "\0 \0 with \0".
        flat = re.sub(r"\{[^{}]*\}", _SLOT, "".join(tokens))
        flat = re.sub(r"[][]", "", flat)
        # These are the words of the pattern, escaped.
        fixed_words = [re.escape(word) for word in flat.split() if _SLOT not in word]
        # A factor does not begin or end with a word of the pattern.
        # "with" gives (?!(?:with)(?: |$)) and (?<! with).
        no_first = f"(?!(?:{'|'.join(fixed_words)})(?: |$))" if fixed_words else ""
        no_last = "".join(f"(?<! {word})" for word in fixed_words)
        # A factor has no punctuation of the pattern: "{verb}, {object}" gives [^,]+?
        marks = {char for char in flat if not char.isalnum() and char not in (" ", _SLOT)}
        excluded = re.escape("".join(sorted(marks)))
        anything = f"[^{excluded}]+?" if marks else ".+?"
        # A verb next to a slot is one word, with or without a particle: "pick", "pick up".
        fixed_lower = [word.lower() for word in fixed_words]
        particles = "|".join(word for word in PARTICLES if word not in fixed_lower)
        verb = f"[^ {excluded}]+(?: (?:{particles})(?= |$))?"

        expression = ""
        index = -1  # place of the current slot in `flat`
        for token in tokens:
            if token == "[":
                expression += "(?:"
            elif token == "]":
                expression += ")?"
            elif token[0] == "{":
                index = flat.index(_SLOT, index + 1)
                factor = anything
                if token == "{verb}" and _is_beside_slot(flat, index):
                    factor = verb
                expression += f"({no_first}{factor}{no_last})"
            else:
                expression += re.escape(token)
        return re.compile(expression, re.IGNORECASE)


def _slots(pattern: str) -> list[str]:
    """Return the name of each slot. The name of "{}" is "", and its words are dropped."""
    return [token[1:-1] for token in _tokens(pattern) if token[0] == "{"]


def _tokens(pattern: str) -> list[str]:
    """Return the tokens of a pattern.

    "{verb}[ {object}]" gives "{verb}", "[", " ", "{object}" and "]".
    """
    return [token for token in re.split(r"(\{[^{}]*\}|[\[\]])", pattern) if token]


def _has_underscores_alone(pattern: str) -> bool:
    """Return whether a pattern has underscores and no spaces outside its slots."""
    literal = re.sub(r"\{[^{}]*\}", "", pattern)
    return "_" in literal and " " not in literal


def _with_blanks_inside(pattern: str) -> str:
    """Return the pattern with the blanks before and after a group moved into the group.

    A missing group then takes its blank with it. "{verb} {object} [with {tool}]" gives
    "{verb} {object}[ with {tool}]", and "[{hand} hand] {verb} {object}" gives
    "[{hand} hand ]{verb} {object}". Underscores become blanks if the pattern has no blanks, and
    several blanks become one.
    """
    if _has_underscores_alone(pattern):
        pattern = "".join(
            token if token[0] == "{" else token.replace("_", " ") for token in _tokens(pattern)
        )
    pattern = re.sub(r" +\[ *", "[ ", " ".join(pattern.split()))
    # A group at the beginning has no blank before it, so it takes the one after it.
    return re.sub(r"^\[([^\]]*?) *\] +", r"[\1 ]", pattern)


def _is_beside_slot(flat: str, index: int) -> bool:
    """Return whether only spaces are between the slot at `flat[index]` and a different slot."""
    left = flat[:index].rstrip(" ")
    right = flat[index + 1 :].lstrip(" ")
    return left.endswith(_SLOT) or right.startswith(_SLOT)


def propose(actions: Sequence[str]) -> str | None:
    """Guess a pattern that all names fit: a verb, an object, and what follows a preposition.

    A preposition counts if it is inside at least two names.

    Args:
        actions: Names of actions.

    Returns:
        The pattern, or None if no pattern fits all names or if no names share a verb or an object.
    """
    for pattern in _candidates(actions):
        with suppress(InputError):  # a name does not fit, so the next pattern is tried
            grammar = Grammar.of(pattern, actions)
            factors = [grammar(name) for name in actions]
            if _has_repetition(factors, 0) or _has_repetition(factors, 1):  # verb, object
                return pattern
            return None
    return None


def _candidates(actions: Sequence[str]) -> Iterator[str]:
    """Yield patterns of a verb and an object, with and without what follows a preposition."""
    separators = (" ", "_", "-", ",")
    counts = {mark: sum(mark in name for name in actions) for mark in separators}
    mark = max(separators, key=counts.__getitem__)
    if not counts[mark]:
        return
    names = [" ".join(name.split(mark)).split() for name in actions]  # the words of each name
    pattern = f"{{verb}}[{mark}{{object}}]"
    # The object is optional unless every name has a word after the verb that is not a particle.
    if all(set(words[1:]) - {*PARTICLES} for words in names):
        pattern = f"{{verb}}{mark}{{object}}"
    if mark in (" ", "_"):
        inner: Counter[str] = Counter()  # names that contain each word after the first one
        for words in names:
            # A preposition has a verb and an object before it, and something after it.
            inner.update(word.lower() for word in set(words[2:-1]))
        groups = ""
        for word, slot in PREPOSITIONS.items():
            if inner[word] >= 2:
                groups += f"[{mark}{word}{mark}{{{slot}}}]"
        if groups:
            # Write "... [with {tool}]" as people do, not "...[ with {tool}]"; both read the same.
            yield (pattern + groups).replace("[ ", " [")
    yield pattern.replace("[ ", " [")


def _has_repetition(factors: Sequence[Factors], slot: int) -> bool:
    """Return whether two names have the same factor in a slot, ignoring case."""
    names = [factor.lower() for factor in [row[slot] for row in factors] if factor]
    return len(set(names)) < len(names)
