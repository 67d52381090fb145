"""The grammar of HA-ViD's action codes: verb(1) object(2) [target(2)] [tool(2)], or `null` or `w` alone.

Source: HA-ViD (Zheng et al., 2023), annotation by subject, verb, manipulated object, target object and tool.
"""

from __future__ import annotations

import re

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

# Places on the plates. Functional names say what a hole is for, if it is for one part only: the four holes of the
# cylinder plate take the same screws, so that only their numbers tell them apart.
HOLES: dict[str, str] = {
    **{f"c{number}": f"cylinder plate hole {number}" for number in range(1, 5)},
    **{f"g{number}": f"gear plate hole {number}" for number in range(1, 4)},
    **{f"n{number}": f"general plate hole {number}" for number in range(1, 5)},
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

IDLE, WRONG = "null", "w"
# What the two codes that stand alone mean; `null` is the background and has no factors.
_ALONE = {IDLE: "do nothing", WRONG: "do something wrong"}

_PLACES = PARTS | HOLES
_CODE = re.compile(
    "({})({})({})?({})?".format(
        *("|".join(table) for table in (VERBS, PARTS | TOOLS, _PLACES, TOOLS))
    )
)


def parse(code: str) -> tuple[str, str, str | None, str | None] | None:
    """Read a code as keys of `VERBS`, `PARTS` or `TOOLS`, `PARTS` or `HOLES`, and `TOOLS`; None for `null` and `w`."""
    if code in _ALONE:
        return None
    match = _CODE.fullmatch(code)
    if match is None:
        raise InputError(
            f"HA-ViD code {code!r}",
            "not an action code",
            "see the tables of fact_clip/text/havid.py",
        )
    return match[1], match[2], match[3], match[4]


def factors(code: str, functional: bool = False) -> tuple[str | None, ...]:
    """Return the words of a code by slot (`SLOTS`), None for an empty slot; `null` has no words.

    `functional` names holes by what they are for ("hole for the worm gear"), if they are for one part only.
    """
    parsed = parse(code)
    if parsed is None:
        return (None if code == IDLE else _ALONE[code], None, None, None)
    verb, handled, target, tool = parsed
    places = _PLACES | (FUNCTIONAL_HOLES if functional else {})
    return VERBS[verb][0], (PARTS | TOOLS)[handled], target and places[target], tool and TOOLS[tool]


def phrase(code: str, functional: bool = False) -> str:
    """Return a code in words, verb first: "screw a hex screw into cylinder plate hole 1 with a hex screwdriver".

    Parts and tools get an article, numbered holes none, and places that exist once get "the".
    """
    parsed = parse(code)
    if parsed is None:
        return _ALONE[code]
    verb, handled, target, tool = factors(code, functional)
    words = [verb, article(handled or "")]
    if target is not None:
        of_part, numbered = parsed[2] in PARTS, target[-1].isdigit()
        words += [
            VERBS[parsed[0]][1],
            article(target) if of_part else target if numbered else f"the {target}",
        ]
    if tool is not None:
        words += ["with", article(tool)]
    return " ".join(filter(None, words))
