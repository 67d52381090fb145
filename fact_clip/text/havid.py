"""The grammar of HA-ViD's action codes: verb(1) object(2) [target(2)] [tool(2)], or `null` or `w` alone.

Source: HA-ViD (Zheng et al., 2023), annotation by subject, verb, manipulated object, target object and tool.
"""

from __future__ import annotations

from dataclasses import dataclass

from fact_clip.core import InputError
from fact_clip.text import article, third_person

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


@dataclass(frozen=True)
class Action:
    """A parsed code. Its fields are keys of the tables above.

    Args:
        verb: of `VERBS`.
        object: of `PARTS`, or of `TOOLS` if a tool is grasped, moved and so on.
        target: of `PARTS` or `HOLES`, or None.
        tool: of `TOOLS`, or None.
    """

    verb: str
    object: str
    target: str | None = None
    tool: str | None = None


def parse(code: str) -> Action | None:
    """Read a code; None for `null` and `w`.

    Raises:
        InputError: a code that does not parse; it names the first letter that does not fit, counted from 1.
    """
    if code in _ALONE:
        return None
    if code[:1] not in VERBS:
        raise _misfit(code, 0, f"a verb ({', '.join(VERBS)}), or {IDLE!r} or {WRONG!r} alone")
    manipulated = code[1:3]
    if manipulated not in PARTS | TOOLS:
        raise _misfit(code, 1, "a part or a tool, two letters")
    rest, index = code[3:], 3
    target = tool = None
    if rest[:2] in PARTS | HOLES:
        target, rest, index = rest[:2], rest[2:], index + 2
    if rest[:2] in TOOLS:
        tool, rest, index = rest[:2], rest[2:], index + 2
    if rest:
        raise _misfit(code, index, "the end" if tool else "a tool" if target else "a part, a hole or a tool")
    return Action(code[0], manipulated, target, tool)


def _misfit(code: str, index: int, expected: str) -> InputError:
    """Return the error for the letters of a code at an index: a verb has one, all else two."""
    problem = f"{code[index : index + (2 if index else 1)] or 'the end'!r} is not {expected}"
    return InputError(f"HA-ViD code {code!r}, letter {index + 1}", problem, "see the tables of fact_clip/text/havid.py")


def factors(code: str, functional: bool = False) -> tuple[str | None, ...]:
    """Return the words of a code by slot (`SLOTS`), None for an empty slot; `null` has no words.

    Args:
        code: an action code.
        functional: name holes by what they are for ("hole for the worm gear"), if they are for one part only.

    Raises:
        InputError: see `parse`.
    """
    action = parse(code)
    if action is None:
        return (None if code == IDLE else _ALONE[code], None, None, None)
    target = None if action.target is None else _target(action.target, functional)
    tool = None if action.tool is None else TOOLS[action.tool]
    return (VERBS[action.verb][0], (PARTS | TOOLS)[action.object], target, tool)


def _target(code: str, functional: bool) -> str:
    return (PARTS | HOLES | (FUNCTIONAL_HOLES if functional else {}))[code]


def phrase(code: str, functional: bool = False) -> str:
    """Return a code in words, verb first: "screw a hex screw into cylinder plate hole 1 with a hex screwdriver".

    Parts and tools get an article, numbered holes none, and places that exist once get "the". Arguments and errors
    as in `factors`.
    """
    action = parse(code)
    if action is None:
        return _ALONE[code]
    verb, preposition = VERBS[action.verb]
    words = [verb, article((PARTS | TOOLS)[action.object])]
    if action.target is not None:
        target = _target(action.target, functional)
        if action.target in PARTS:
            target = article(target)
        elif not target[-1].isdigit():
            target = f"the {target}"
        words += [preposition, target]
    if action.tool is not None:
        words += ["with", article(TOOLS[action.tool])]
    return " ".join(words)


def sentence(code: str, functional: bool = False) -> str:
    """Return a code as a sentence: "a person screws a hex screw into cylinder plate hole 1 with a hex screwdriver".

    Arguments and errors as in `factors`.
    """
    return f"a person {third_person(phrase(code, functional))}"
