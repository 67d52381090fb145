"""Wording of messages: suggested names, shortened lists, visible characters."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

MAX_PART = 400  # characters of each part of a message; the middle of a longer one is omitted
MAX_NAME = 1000  # characters of the name of a class
MAX_LISTED = 12  # names that a message lists; the others are counted

# Control characters, line ends, halves of surrogate pairs, and characters without width, such as
# marks of the writing direction, byte-order marks and soft hyphens. The joiners U+200C and U+200D
# are excluded, because Persian and emoji use them.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_JOINERS = "\u200c\u200d"


def printable(string: str) -> str:
    """Return a string as one line for a terminal, with invisible characters escaped."""
    if "\n" in string or "\r" in string:
        string = " ".join(string.splitlines())
    return _INVISIBLE.sub(lambda sign: ascii(sign[0])[1:-1], string)


def shortened(string: str) -> str:
    """Return the string, or its beginning and its end if it is very long."""
    if len(string) <= MAX_PART:
        return string
    half = MAX_PART // 2
    return f"{string[:half]} ... {string[-half:]}"


def sentence(problem: str, fix: str = "") -> str:
    """Join a problem and a fix into text such as "no class 'por'. Did you mean 'pour'?"."""
    if not fix:
        return problem

    first_word = fix.partition(" ")[0]
    if first_word.isalpha():
        fix = fix[0].upper() + fix[1:]
    if not problem.endswith((".", "?")):
        problem += "."
    if not fix.endswith((".", "?", "!")):
        fix += "."
    return f"{problem} {fix}"


def pydantic_problem(message: str) -> str:
    """Return a message of pydantic without its prefix and in lower case."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def join_names(names: Iterable[object], count: int | None = None) -> str:
    """Join names for a message: "a, b, and 7 more".

    Args:
        names: Names to join.
        count: Total number of names, if `names` has only the first ones.
    """
    strings = list(map(str, names))
    joined = ", ".join(strings[:MAX_LISTED])
    surplus = (count or len(strings)) - MAX_LISTED
    if surplus > 0:
        joined += f", and {surplus:,} more"
    return joined


def suggest(name: str, names: Iterable[str], cutoff: float = 0.0) -> str:
    """Suggest the most similar name, such as "did you mean 'pour'?".

    Args:
        name: Unknown name.
        names: Existing names. If several are spelled alike, the first one is suggested.
        cutoff: Lowest similarity of a suggestion, 0 to 1.

    Returns:
        The suggestion, or "" if no name is similar enough.
    """
    by_spelling = {spelling_key(candidate): candidate for candidate in reversed(list(names))}
    key = spelling_key(name[:MAX_NAME])
    closest = difflib.get_close_matches(key, by_spelling, n=1, cutoff=cutoff)
    if not closest:
        return ""
    return f"did you mean {by_spelling[closest[0]]!r}?"


def is_name(value: object, *, legacy: bool = False) -> bool:
    """Return whether a value can be the name of a class: one line of visible characters.

    If `legacy` is true, characters of Windows code pages that were read as latin-1 are allowed.
    """
    if not isinstance(value, str) or len(value) > MAX_NAME:
        return False
    if not value.strip().strip(_JOINERS):
        return False
    if legacy:
        value = re.sub("[\x0b\x0c\x80-\x9f]", "", value)
    return _INVISIBLE.search(value) is None


def describe_invalid_name(value: object) -> str:
    """Return the reason why a value that `is_name` rejects cannot be a name."""
    if not isinstance(value, str):
        return f"{value!r}, not a name"
    if len(value) > MAX_NAME:
        return f"a name of {len(value):,} characters, {value[:40]!r}..."
    if not value.strip():
        return f"a blank name, {value!r}"
    return f"control or invisible characters in {value!r}"


def normalize(name: str) -> str:
    """Return a name in NFC form with single spaces, so that names that look the same are equal."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def spelling_key(name: str) -> str:
    """Return a key that is equal for names that differ only in case, underscores and spaces."""
    return normalize(name.replace("_", " ")).casefold()
