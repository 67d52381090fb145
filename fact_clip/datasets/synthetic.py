"""The procedural workbench: people assemble parts by hand, as synthetic features, labels and films.

The frames of an action show evidence of its verb, object and tool: one direction per object and tool, and for a verb a
faint direction and a movement at its own pace. Parts that stay in view, glances away, the style of a person, drift,
noise and soft borders make single frames hard to recognise. Films have features by ``fact-clip extract`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fact_clip.core import Factors, runs
from fact_clip.core.arguments import number_of, validated
from fact_clip.core.paths import whole_file, write_lines
from fact_clip.datasets.benchmarks import NO_ACTION
from fact_clip.datasets.holdout import Holdout
from fact_clip.datasets.splits import Split, write_splits

Floats = NDArray[np.float64]
World = dict[str, Floats]  # see `_prototypes`
Image = NDArray[np.uint8]

# Median duration of an action with this verb in seconds, and the pace of its movement in cycles per second.
VERBS: dict[str, tuple[float, float]] = {
    "grasp": (1.3, 0.4),
    "place": (1.8, 0.7),
    "insert": (2.4, 1.1),
    "screw": (4.0, 1.7),
    "tap": (2.5, 2.6),
    "rotate": (2.2, 3.6),
}
_IDLE_SECONDS = 1.4
_SHORTEST, _LONGEST, _SPREAD = 1.0, 8.0, 0.4  # seconds, seconds, deviation of the log-normal

Step = tuple[str, str | None, float]  # verb, tool, probability that the step is done

# The steps of each part, in order.
STEPS: dict[str, tuple[Step, ...]] = {
    "shaft": (
        ("grasp", None, 1.0),
        ("insert", None, 1.0),
        ("tap", "mallet", 0.6),
        ("rotate", None, 0.5),
    ),
    "gear": (
        ("grasp", None, 1.0),
        ("place", None, 1.0),
        ("tap", "mallet", 0.5),
        ("rotate", None, 0.6),
    ),
    "bearing": (("grasp", None, 1.0), ("place", None, 1.0), ("tap", "mallet", 0.7)),
    "bolt": (("grasp", None, 1.0), ("insert", None, 1.0), ("screw", "wrench", 0.6)),
    "nut": (("grasp", None, 1.0), ("screw", "wrench", 1.0)),
    "hex screw": (("grasp", None, 1.0), ("insert", None, 1.0), ("screw", "hex screwdriver", 0.9)),
    "phillips screw": (
        ("grasp", None, 1.0),
        ("insert", None, 1.0),
        ("screw", "phillips screwdriver", 0.9),
    ),
}

# A part that is assembled after another one, if both are in the video.
AFTER = {"gear": "shaft", "bearing": "shaft", "nut": "bolt"}


def _name(verb: str, part: str, tool: str | None) -> str:
    return f"{verb} {part} with {tool}" if tool else f"{verb} {part}"


FACTORS: dict[str, Factors] = {
    NO_ACTION: (None, None, None),
    **{
        _name(verb, part, tool): (verb, part, tool)
        for part, steps in STEPS.items()
        for verb, tool, _ in steps
    },
}
"""Class name -> (verb, object, tool), in the order of the class ids; `benchmarks.verb_object_tool` reads the same."""

UNSEEN = ("insert bolt", "screw nut with wrench", "tap shaft with mallet")
"""Classes to hold out: each of their verbs, objects and tools is in some other class."""

VALIDATION_UNSEEN = ("rotate gear", "place bearing")
"""Classes to choose settings by; every factor of both groups is in some class outside both."""

_WORLD = 20240607  # one set of prototypes for every seed, so that a model trained on some videos fits new ones

# How strong each effect is, against white noise of deviation 1 in every column.
_VERB, _MOVEMENT, _OBJECT, _TOOL = 2.6, 2.8, 4.0, 3.8
_IN_VIEW, _GLANCE, _STYLE, _DRIFT, _SLOW_NOISE = 0.9, 0.2, 0.28, 0.3, 0.35
_BORDER_SECONDS = 0.35


def _prototypes(dim: int) -> World:
    """Draw unit directions: (1, dim) of a verb, object or tool, (2, dim) of a verb's movement, (4, dim) of drift."""
    rng = np.random.default_rng([_WORLD, dim])
    tools = sorted({tool for steps in STEPS.values() for _, tool, _ in steps if tool})
    counts = dict.fromkeys(VERBS, 1) | {f"{verb} movement": 2 for verb in VERBS}
    counts |= dict.fromkeys((*STEPS, *tools), 1) | {"drift": 4}
    drawn = {name: rng.standard_normal((count, dim)) for name, count in counts.items()}
    return {
        name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in drawn.items()
    }


def _plan(rng: np.random.Generator) -> list[str]:
    """Plan the actions of one video: some parts in an order that `AFTER` allows, some of their steps, some idling."""
    parts = list(rng.choice(list(STEPS), size=rng.integers(4, 7), replace=False))
    ordered: list[str] = []
    while parts:
        ready = [part for part in parts if AFTER.get(part) not in parts]
        ordered.append(ready[rng.integers(len(ready))])
        parts.remove(ordered[-1])
    plan = [NO_ACTION]
    for part in ordered:
        repeats = int(rng.integers(1, 3)) if part.endswith("screw") else 1
        for _ in range(repeats):
            plan += [
                _name(verb, part, tool) for verb, tool, share in STEPS[part] if rng.random() < share
            ]
            if rng.random() < 0.45:
                plan.append(NO_ACTION)
    return plan if plan[-1] == NO_ACTION else [*plan, NO_ACTION]


def _moving_average(rows: Floats, window: int) -> Floats:
    """Return the centred mean of (T, D) over `window` frames (an odd number), with the ends repeated."""
    smooth: Floats = uniform_filter1d(rows, 2 * (window // 2) + 1, axis=0, mode="nearest")
    return smooth


def _evidence(
    plan: list[str], frames: NDArray[np.int64], fps: float, world: World, rng: np.random.Generator
) -> Floats:
    """Return the evidence of the actions, (T, dim), with sharp borders."""
    dim = world["drift"].shape[1]
    rows = np.zeros((int(frames.sum()), dim))
    in_view = np.zeros(dim)
    for name, part_rows in zip(plan, np.split(rows, np.cumsum(frames)[:-1]), strict=True):
        count = len(part_rows)
        part_rows += _IN_VIEW * in_view
        verb, part, tool = FACTORS[name]
        if verb is None or part is None:
            continue
        phase = (
            2
            * np.pi
            * (VERBS[verb][1] * rng.normal(1.0, 0.06) * np.arange(count) / fps + rng.random())
        )
        swing = np.stack([np.cos(phase), np.sin(phase)], axis=1)  # (T, 2)
        strength = rng.lognormal(0.0, 0.2)
        part_rows += strength * _VERB * world[verb] + _MOVEMENT * swing @ world[f"{verb} movement"]
        # a glance away, or a hand in front, hides part and tool for a moment
        visible = _moving_average((rng.random((count, 1)) > _GLANCE).astype(np.float64), 3)
        part_rows += visible * (strength * _OBJECT * world[part])
        if tool is not None:
            part_rows += visible * (strength * _TOOL * world[tool])
        if verb in ("place", "insert"):
            in_view = 0.7 * in_view + rng.uniform(0.5, 1.0) * world[part]
    return rows


def _video(
    person: int, fps: float, world: World, seed: int, number: int
) -> tuple[NDArray[np.float16], list[str]]:
    dim: int = world["drift"].shape[1]
    habits = np.random.default_rng([_WORLD, seed, person])
    style, pace = habits.standard_normal(dim), float(habits.uniform(0.85, 1.15))
    rng = np.random.default_rng([seed, number])
    plan = _plan(rng)
    # the duration of an action is log-normal around the median of its verb, times the pace of the person
    medians = np.array(
        [_IDLE_SECONDS if name == NO_ACTION else VERBS[name.split()[0]][0] for name in plan]
    )
    seconds = np.clip(medians * pace * rng.lognormal(0.0, _SPREAD, len(plan)), _SHORTEST, _LONGEST)
    frames = np.maximum(np.rint(seconds * fps), 1).astype(np.int64)
    rows = _moving_average(_evidence(plan, frames, fps, world, rng), round(_BORDER_SECONDS * fps))
    # the style of the person, slow drift of the camera, lasting noise and white noise
    walk = np.cumsum(rng.standard_normal((len(rows), 4)), axis=0) / np.sqrt(max(len(rows), 1))
    lasting = _moving_average(rng.standard_normal(rows.shape), max(round(fps), 1)) * np.sqrt(fps)
    white = rng.standard_normal(rows.shape)
    rows += _STYLE * style + _DRIFT * 4 * walk @ world["drift"] + _SLOW_NOISE * lasting + white
    labels = [name for name, count in zip(plan, frames, strict=True) for _ in range(count)]
    return rows.astype(np.float16), labels


@validated()
def write_workbench(
    root: str | Path,
    *,
    videos: int = 24,
    seed: int = 0,
    dim: int = 64,
    fps: float = 15.0,
    persons: int = 6,
) -> Path:
    """Write a synthetic data set in the common layout, for `data.name=workbench`; return `root`.

    The same arguments give the same files, byte for byte. What actions look like depends only on `dim`, so a model
    trained on one seed fits the videos of another. Other rates than 15 need data.fps. Splits keep persons apart.
    """
    for name, value, least in (
        ("videos", videos, 2),
        ("persons", persons, 2),
        ("dim", dim, 8),
        ("fps", fps, 8),
    ):
        number_of(value, f"workbench, {name}", f"{least} or more", least)
    root = Path(root)
    write_lines(root / "mapping.txt", (f"{index} {name}" for index, name in enumerate(FACTORS)))
    world = _prototypes(dim)
    owners: dict[str, int] = {}
    for number in range(videos):
        person = number % persons
        name = f"person{person + 1}_video{number // persons + 1}"
        owners[name] = person
        features, labels = _video(person, fps, world, seed, number)
        with whole_file(root / "features" / f"{name}.npy") as unfinished:
            np.save(unfinished, features)
        write_lines(root / "groundTruth" / f"{name}.txt", labels)
    tests = [
        [name for name in owners if owners[name] % 3 == part]
        for part in range(min(3, persons, videos))
    ]
    splits = [
        Split(tuple(name for name in owners if name not in test), tuple(test), ()) for test in tests
    ]
    write_splits(root, splits, overwrite=True)
    holdout = Holdout(UNSEEN, VALIDATION_UNSEEN, "mask", splits[0].train, splits[0].test)
    holdout.save_json(root / "zero_shot" / "A.json")
    return root


WIDTH, HEIGHT = 160, 120
_CENTRE, _REST = (80.0, 68.0), (80.0, 104.0)  # where parts are worked on, and where the hand rests
_BESIDE, _BELOW = np.array([14, -4]), np.array([0, 14])  # of a part: its tool, and the hand
_SKIN, _BENCH = (232, 188, 160), (150, 140, 125)
_COLOURS = {
    "shaft": (200, 60, 50), "gear": (60, 160, 75), "bearing": (60, 90, 200), "bolt": (215, 175, 50),
    "nut": (150, 70, 170), "hex screw": (45, 160, 170), "phillips screw": (235, 120, 40),
    "mallet": (95, 60, 30), "wrench": (225, 225, 230), "hex screwdriver": (30, 30, 35),
    "phillips screwdriver": (120, 20, 60),
}  # fmt: skip
# Width and height of each part and tool, and whether it has a hole.
_SHAPES = {
    "shaft": (6, 26, False), "gear": (20, 20, True), "bearing": (14, 14, True), "bolt": (10, 16, False),
    "nut": (8, 8, True), "hex screw": (4, 14, False), "phillips screw": (4, 20, False),
    "mallet": (16, 10, False), "wrench": (5, 24, False), "hex screwdriver": (4, 22, False),
    "phillips screwdriver": (6, 18, False),
}  # fmt: skip


def draw_actions(labels: Sequence[str], fps: float, seed: int = 0) -> Iterator[Image]:
    """Draw a picture (120, 160, 3) for each label of a video, of the names in `FACTORS`; the same for the same seed."""
    rng = np.random.default_rng(seed)
    colour = np.array(_BENCH) + rng.normal(0, 6, 3)
    table = np.clip(colour + rng.normal(0, 4, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)
    for column, box in enumerate(STEPS):  # of each part, at the back
        _blot(table, np.array([14.0 + 22 * column, 12.0]), 12, 8, _COLOURS[box])
    hand = np.array(_REST)
    order = list(dict.fromkeys(labels))
    for start, stop, number in runs(np.array([order.index(name) for name in labels])):
        verb, part, tool = FACTORS[order[number]]
        phase = rng.uniform(0, 2 * np.pi)
        for frame in range(stop - start):
            image, target = table.copy(), np.array(_REST)
            if verb is not None and part is not None:
                angle = 2 * np.pi * VERBS[verb][1] * frame / fps + phase
                position = np.array(_CENTRE) + _movement(verb, angle)
                _paint(image, part, position)
                if tool is not None:
                    _paint(image, tool, position + _BESIDE)
                target = position + _BELOW
            hand = hand + 0.5 * (target - hand)
            _blot(image, hand, 12, 12, _SKIN)
            yield image


def _movement(verb: str, angle: float) -> NDArray[np.float64]:
    """Return the offset of an object from the point where it is worked on."""
    across, down = {
        "grasp": (0.0, -7 * (1 - np.cos(angle))),
        "place": (14 * np.sin(angle), 0.0),
        "insert": (0.0, 12 * np.sin(angle)),
        "screw": (6 * np.cos(angle), 6 * np.sin(angle)),
        "tap": (0.0, -12 * abs(np.sin(angle / 2))),
        "rotate": (14 * np.cos(angle), 6 * np.sin(angle)),
    }[verb]
    return np.array([across, down])


def _paint(image: Image, name: str, centre: Floats) -> None:
    width, height, has_hole = _SHAPES[name]
    _blot(image, centre, width, height, _COLOURS[name])
    if has_hole:
        _blot(image, centre, width // 3, height // 3, _BENCH)


def _blot(
    image: Image, centre: Floats, width: int, height: int, colour: tuple[int, int, int]
) -> None:
    """Paint a rectangle about a point, cut off at the border."""
    left, top = round(float(centre[0])) - width // 2, round(float(centre[1])) - height // 2
    image[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = colour
