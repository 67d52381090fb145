"""The grammar of HA-ViD's action codes: verb(1) object(2) [target(2)] [tool(2)], or `null` or `w`.

Source: HA-ViD (Zheng et al., 2023), annotation by subject, verb, manipulated object, target object
and tool.
"""

import re
from collections.abc import Iterable

from fact_clip.core import InputError
from fact_clip.text import article

SLOTS = ("verb", "object", "target", "tool")

# Verb of each first letter, and the preposition before its target.
VERBS: dict[str, tuple[str, str]] = {
    "a": ("approach", "to"),
    "d": ("disassemble", "from"),
    "g": ("grasp", "from"),
    "h": ("hold", "on"),
    "i": ("insert", "into"),
    "l": ("slide", "onto"),
    "m": ("move", "to"),
    "p": ("place", "onto"),
    "r": ("rotate", "on"),
    "s": ("screw", "into"),
}

PARTS: dict[str, str] = {
    "ba": "ball",
    "bs": "ball seat",
    "bx": "box",
    "cb": "cylinder base",
    "cc": "cylinder cap",
    "ck": "cylinder bracket",
    "cs": "cylinder subassembly",
    "ft": "gear shaft",
    "gl": "large gear",
    "gs": "small gear",
    "gw": "worm gear",
    "hd": "hand dial",
    "hq": "quarter-turn handle",
    "hw": "hand wheel",
    "ib": "bar",
    "ir": "rod",
    "lb": "linear bearing",
    "nt": "nut",
    "pl": "large spacer",
    "ps": "small spacer",
    "sb": "bolt",
    "sh": "hex screw",
    "sp": "Phillips screw",
    "us": "USB male",
}

# Places on the plates. Functional names say what a hole is for, if it is for one part only. The
# four holes of the cylinder plate take the same screws, so only their numbers distinguish them.
HOLES: dict[str, str] = {
    "c1": "cylinder plate hole 1",
    "c2": "cylinder plate hole 2",
    "c3": "cylinder plate hole 3",
    "c4": "cylinder plate hole 4",
    "g1": "gear plate hole 1",
    "g2": "gear plate hole 2",
    "g3": "gear plate hole 3",
    "n1": "general plate hole 1",
    "n2": "general plate hole 2",
    "n3": "general plate hole 3",
    "n4": "general plate hole 4",
    "n5": "general plate stud",
    "n6": "USB female",
}
FUNCTIONAL_HOLES: dict[str, str] = {
    "g1": "hole for the large gear",
    "g2": "hole for the small gear",
    "g3": "hole for the worm gear",
    "n1": "hole for the rod",
    "n2": "hole for the bar",
    "n3": "hole for the bolt",
    "n4": "hole for the Phillips screw",
    "n5": "stud for the nut",
    "n6": "socket for the USB male",
}

TOOLS: dict[str, str] = {
    "dh": "hex screwdriver",
    "dp": "Phillips screwdriver",
    "wn": "nut wrench",
    "ws": "shaft wrench",
}

IDLE = "null"
WRONG = "w"
# Meaning of the two codes without parts; `null` is the background and has no factors.
_WHOLE_CODES = {IDLE: "do nothing", WRONG: "do something wrong"}

_PLACES = PARTS | HOLES


def _any_of(table: Iterable[str]) -> str:
    return f"({'|'.join(table)})"


_CODE = re.compile(f"{_any_of(VERBS)}{_any_of(PARTS | TOOLS)}{_any_of(_PLACES)}?{_any_of(TOOLS)}?")


def parse(code: str) -> tuple[str, str, str | None, str | None] | None:
    """Read a code.

    Args:
        code: an action code.

    Returns:
        Keys of `VERBS`, of `PARTS` or `TOOLS`, of `PARTS` or `HOLES`, and of `TOOLS`; None for
        `null` and `w`.
    """
    if code in _WHOLE_CODES:
        return None
    match = _CODE.fullmatch(code)
    if match is None:
        fix = "see the tables of fact_clip/text/havid.py"
        raise InputError(f"HA-ViD code {code!r}", "not an action code", fix)
    return match[1], match[2], match[3], match[4]


def factors(code: str, functional: bool = False) -> tuple[str | None, ...]:
    """Return the words of a code by slot.

    Args:
        code: an action code.
        functional: whether holes that are for one part only are named by it ("hole for the worm
            gear").

    Returns:
        One word per slot of `SLOTS`, None for an empty slot; `null` has no words.
    """
    parsed = parse(code)
    if parsed is None:
        return (None if code == IDLE else _WHOLE_CODES[code], None, None, None)
    verb, handled, target, tool = parsed
    places = _PLACES
    if functional:
        places = _PLACES | FUNCTIONAL_HOLES
    return VERBS[verb][0], (PARTS | TOOLS)[handled], target and places[target], tool and TOOLS[tool]


def phrase(code: str, functional: bool = False) -> str:
    """Return a code in words, verb first.

    Parts and tools get an article, numbered holes none, and places that exist once get "the".

    Args:
        code: an action code.
        functional: as in `factors`.

    Returns:
        As "screw a hex screw into cylinder plate hole 1 with a hex screwdriver".
    """
    parsed = parse(code)
    if parsed is None:
        return _WHOLE_CODES[code]
    verb, handled, target, tool = factors(code, functional)
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
