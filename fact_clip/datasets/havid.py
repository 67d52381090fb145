"""The grammar of HA-ViD's action codes: verb(1) object(2) [target(2)] [tool(2)], or `null` or `w`.

Source: HA-ViD (Zheng et al., 2023), annotation by subject, verb, manipulated object, target object
and tool.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from fact_clip.core import InputError
from fact_clip.core.io import read_mapping
from fact_clip.text.forms import article

SLOTS = ("verb", "object", "target", "tool")

_TABLES = read_mapping(Path(__file__).with_name("havid.yaml"), "the words of HA-ViD")
VERBS: dict[str, list[str]] = _TABLES["verbs"]
"""Verb, and preposition before the target, by the first letter of a code."""

PARTS: dict[str, str] = _TABLES["parts"]
HOLES: dict[str, str] = _TABLES["holes"]
"""Places on the plates."""

TOOLS: dict[str, str] = _TABLES["tools"]

IDLE = "null"
WRONG = "w"
# Meaning of the two codes without parts. `null` is the background and has no factors.
_WHOLE_CODES = {IDLE: "do nothing", WRONG: "do something wrong"}


def _any_of(table: Iterable[str]) -> str:
    return f"({'|'.join(table)})"


_CODE = re.compile(
    f"{_any_of(VERBS)}{_any_of(PARTS | TOOLS)}{_any_of(PARTS | HOLES)}?{_any_of(TOOLS)}?"
)


def parse(code: str) -> tuple[str, str, str | None, str | None] | None:
    """Parse a code.

    Args:
        code: Action code.

    Returns:
        Keys of `VERBS`, of `PARTS` or `TOOLS`, of `PARTS` or `HOLES`, and of `TOOLS`, or None for
        `null` and `w`.
    """
    if code in _WHOLE_CODES:
        return None
    match = _CODE.fullmatch(code)
    if match is None:
        fix = "see the tables of fact_clip/datasets/havid.yaml"
        raise InputError(f"HA-ViD code {code!r}", "not an action code", fix)
    return match[1], match[2], match[3], match[4]


def factors(code: str) -> tuple[str | None, ...]:
    """Return the words of a code by slot.

    Args:
        code: Action code.

    Returns:
        One word per slot of `SLOTS`, None for an empty slot. `null` has no words.
    """
    parsed = parse(code)
    if parsed is None:
        return (None if code == IDLE else _WHOLE_CODES[code], None, None, None)
    verb, handled, target, tool = parsed
    words = PARTS | HOLES | TOOLS
    return VERBS[verb][0], words[handled], target and words[target], tool and words[tool]


def phrase(code: str) -> str:
    """Return a code in words, verb first.

    Parts and tools get an article, numbered holes get none, and unique places get "the".

    Args:
        code: Action code.

    Returns:
        Words such as "screw a hex screw into cylinder plate hole 1 with a hex screwdriver".
    """
    parsed = parse(code)
    if parsed is None:
        return _WHOLE_CODES[code]
    verb, handled, target, tool = factors(code)
    words = [str(verb), article(str(handled))]
    if target is not None:
        words.append(VERBS[parsed[0]][1])
        if parsed[2] in PARTS:
            words.append(article(target))
        elif target[-1].isdigit():
            words.append(target)
        else:
            words.append(f"the {target}")
    if tool is not None:
        words += ["with", article(tool)]
    return " ".join(words)
