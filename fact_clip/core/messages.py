"""How messages are worded: names that are suggested, lists that are cut, characters that a terminal can show."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

MAX_PART = 400  # Characters of each part of a message; the middle of a longer one is left out
MAX_NAME = 1000  # Characters of the name of a class
MAX_LISTED = 12  # Names that a message lists; the rest are counted

# Control characters, other line ends, halves of surrogate pairs, and characters of no width: those that turn the
# direction of writing, byte-order marks, soft hyphens. Persian and emoji use the joiners U+200C and U+200D.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return a text as one line for a terminal; invisible characters are escaped."""
    line = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), line)


def shortened(text: str) -> str:
    """Return the text, or its beginning and its end if it is very long."""
    return text if len(text) <= MAX_PART else f"{text[: MAX_PART // 2]} ... {text[-MAX_PART // 2 :]}"


def sentence(problem: str, fix: str = "") -> str:
    """Join what is wrong and what to do: "no class 'por'. Did you mean 'pour'?"."""
    if not fix:
        return problem
    first = fix.partition(" ")[0]
    fix = fix[0].upper() + fix[1:] if first.isalpha() else fix
    return f"{problem}{'' if problem.endswith(('.', '?')) else '.'} {fix}{'' if fix[-1] in '.?!' else '.'}"


def pydantic_problem(message: str) -> str:
    """Return a message of pydantic as the middle of a sentence."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def listed(names: Iterable[object]) -> str:
    """Join names for a message: "a, b, and 7 more"."""
    texts = list(map(str, names))
    more = f", and {len(texts) - MAX_LISTED:,} more" if len(texts) > MAX_LISTED else ""
    return f"{', '.join(texts[:MAX_LISTED])}{more}"


def suggest(name: str, names: Iterable[str], cutoff: float = 0.0) -> str:
    """Suggest the most similar of some names ("did you mean 'pour'?"), or "" if none is as similar as `cutoff`."""
    by_spelling = {spelling_key(candidate): candidate for candidate in reversed(list(names))}
    close = difflib.get_close_matches(spelling_key(name[:MAX_NAME]), by_spelling, n=1, cutoff=cutoff)
    return f"did you mean {by_spelling[close[0]]!r}?" if close else ""


def is_name(text: object, *, legacy: bool = False) -> bool:
    """Whether a value can name a class: one line in visible characters; `legacy` allows those of Windows as latin-1."""
    if not isinstance(text, str) or len(text) > MAX_NAME or not text.strip().strip("\u200c\u200d"):
        return False
    invisible = {match[0] for match in _INVISIBLE.finditer(text)}
    return all(legacy and (char in "\x0b\x0c" or "\x80" <= char <= "\x9f") for char in invisible)


def describe_invalid_name(text: str) -> str:
    """Say why a text that `is_name` refuses cannot be a name."""
    if len(text) > MAX_NAME:
        return f"a name of {len(text):,} characters, {text[:40]!r}..."
    return f"control or invisible characters in {text!r}" if text.strip() else f"a blank name, {text!r}"


def normalize(name: str) -> str:
    """Return a name in NFC form with single spaces; names that look the same become equal."""
    return unicodedata.normalize("NFC", " ".join(name.split()))


def spelling_key(name: str) -> str:
    """Return what names have in common that differ in case, underscores and blanks alone, or look the same."""
    return normalize(name.replace("_", " ")).casefold()


def find_duplicate_spelling(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two names that are the same in another spelling, if there are any."""
    by_spelling: dict[str, str] = {}
    for name in names:
        if (first := by_spelling.setdefault(spelling_key(name), name)) != name:
            return first, name
    return None
