"""The procedural workbench: synthetic features, labels and films of people who assemble parts.

The frames of an action show evidence of its verb, object and tool: one direction per object and
tool, and for a verb a faint direction and a movement at its own pace. Parts that stay in view,
glances away, the style of a person, drift, noise and soft borders make single frames hard to
recognise. Films have features by ``fact-clip extract`` alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fact_clip.core import Factors, Floats, Image, Integers, Names, runs
from fact_clip.core.arguments import number_of, validated
from fact_clip.core.io import parse_value, read_mapping
from fact_clip.core.paths import whole_file, write_lines
from fact_clip.datasets.benchmarks import NO_ACTION
from fact_clip.datasets.splits import Split, write_splits
from fact_clip.unseen.holdout import Holdout

World = dict[str, Floats]  # see `_prototypes`


@dataclass(frozen=True)
class VerbStyle:
    """The look of a verb."""

    seconds: float  # median duration of an action
    pace: float  # of the movement, in cycles per second


_IDLE_SECONDS = 1.4
_SHORTEST = 1.0  # seconds
_LONGEST = 8.0  # seconds
_SPREAD = 0.4  # deviation of the log-normal durations


@dataclass(frozen=True)
class Step:
    """A step of the assembly of a part."""

    verb: str
    tool: str | None = None
    probability: float = 1.0  # that the step is done

    def action(self, part: str) -> str:
        """Return the name of the action."""
        return f"{self.verb} {part} with {self.tool}" if self.tool else f"{self.verb} {part}"


@dataclass(frozen=True)
class Look:
    """The picture of a part or a tool."""

    colour: tuple[int, int, int]
    width: int
    height: int
    has_hole: bool = False


@dataclass(frozen=True)
class Workbench:
    """The actions of the workbench, and their looks: see the comments of synthetic.yaml."""

    verbs: dict[str, VerbStyle]
    steps: dict[str, tuple[Step, ...]]
    after: dict[str, str]
    unseen: Names
    validation_unseen: Names
    looks: dict[str, Look]


_PATH = Path(__file__).with_suffix(".yaml")
WORKBENCH = parse_value(Workbench, read_mapping(_PATH, "the workbench"), _PATH)


def _factors() -> dict[str, Factors]:
    factors: dict[str, Factors] = {NO_ACTION: (None, None, None)}
    for part, steps in WORKBENCH.steps.items():
        for step in steps:
            factors[step.action(part)] = (step.verb, part, step.tool)
    return factors


FACTORS = _factors()
"""Class name -> (verb, object, tool), in the order of the class ids."""

# One set of prototypes for every seed, so that a model trained on some videos fits new ones.
_WORLD = 20240607

# Strength of each effect, against white noise of deviation 1 in every column.
_VERB = 2.6
_MOVEMENT = 2.8
_OBJECT = 4.0
_TOOL = 3.8
_IN_VIEW = 0.9
_STYLE = 0.28
_DRIFT = 0.3
_SLOW_NOISE = 0.35
_GLANCE = 0.2  # share of the frames in which part and tool are hidden
_IDLE = 0.45  # probability of idling after a part
_BORDER_SECONDS = 0.35


def _prototypes(dim: int) -> World:
    """Draw unit directions: 1 of a verb, part or tool, 2 of a movement, 4 of drift, (n, dim)."""
    rng = np.random.default_rng([_WORLD, dim])
    tools: set[str] = set()
    for steps in WORKBENCH.steps.values():
        tools.update(step.tool for step in steps if step.tool)
    counts = dict.fromkeys(WORKBENCH.verbs, 1)
    counts |= {f"{verb} movement": 2 for verb in WORKBENCH.verbs}
    counts |= dict.fromkeys(WORKBENCH.steps, 1)
    counts |= dict.fromkeys(sorted(tools), 1)
    counts["drift"] = 4
    world = {}
    for name, count in counts.items():
        rows = rng.standard_normal((count, dim))
        world[name] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return world


def _plan(rng: np.random.Generator) -> list[str]:
    """Plan the actions of a video: some parts in an order by `after`, and some of their steps."""
    parts = list(rng.choice(list(WORKBENCH.steps), size=rng.integers(4, 7), replace=False))
    ordered: list[str] = []
    while parts:
        ready = [part for part in parts if WORKBENCH.after.get(part) not in parts]
        part = ready[rng.integers(len(ready))]
        ordered.append(part)
        parts.remove(part)

    plan = [NO_ACTION]
    for part in ordered:
        repeats = int(rng.integers(1, 3)) if part.endswith("screw") else 1
        for _ in range(repeats):
            for step in WORKBENCH.steps[part]:
                if rng.random() < step.probability:
                    plan.append(step.action(part))
            if rng.random() < _IDLE:
                plan.append(NO_ACTION)
    if plan[-1] != NO_ACTION:
        plan.append(NO_ACTION)
    return plan


def _moving_average(rows: Floats, window: int) -> Floats:
    """Return the centred mean of (T, D) over `window` frames (odd), with the ends repeated."""
    smooth: Floats = uniform_filter1d(rows, 2 * (window // 2) + 1, axis=0, mode="nearest")
    return smooth


def _evidence(
    plan: list[str], frames: Integers, fps: float, world: World, rng: np.random.Generator
) -> Floats:
    """Return the evidence of the actions, (T, dim), with sharp borders."""
    dim = world["drift"].shape[1]
    rows = np.zeros((int(frames.sum()), dim))
    in_view = np.zeros(dim)
    for name, part_rows in zip(plan, np.split(rows, np.cumsum(frames)[:-1]), strict=True):
        n_frames = len(part_rows)
        part_rows += _IN_VIEW * in_view
        verb, part, tool = FACTORS[name]
        if verb is None or part is None:
            continue

        pace = WORKBENCH.verbs[verb].pace * rng.normal(1.0, 0.06)
        phase = 2 * np.pi * (pace * np.arange(n_frames) / fps + rng.random())
        swing = np.stack([np.cos(phase), np.sin(phase)], axis=1)  # (T, 2)
        strength = rng.lognormal(0.0, 0.2)
        part_rows += strength * _VERB * world[verb] + _MOVEMENT * swing @ world[f"{verb} movement"]
        # a glance away, or a hand in front, hides part and tool for a moment
        is_visible = rng.random((n_frames, 1)) > _GLANCE
        visible = _moving_average(is_visible.astype(np.float64), 3)
        part_rows += visible * (strength * _OBJECT * world[part])
        if tool is not None:
            part_rows += visible * (strength * _TOOL * world[tool])
        if verb in ("place", "insert"):
            in_view = 0.7 * in_view + rng.uniform(0.5, 1.0) * world[part]
    return rows


def _video(
    person: int, fps: float, world: World, seed: int, number: int
) -> tuple[NDArray[np.float16], list[str]]:
    """Return the features (T, dim) and the labels (T,) of a video."""
    dim = world["drift"].shape[1]
    habits = np.random.default_rng([_WORLD, seed, person])
    style = habits.standard_normal(dim)
    pace = float(habits.uniform(0.85, 1.15))
    rng = np.random.default_rng([seed, number])
    plan = _plan(rng)
    frames = _durations(plan, pace, fps, rng)
    evidence = _evidence(plan, frames, fps, world, rng)
    rows = _moving_average(evidence, round(_BORDER_SECONDS * fps))

    # the style of the person, slow drift of the camera, lasting noise and white noise
    steps = rng.standard_normal((len(rows), 4))
    walk = np.cumsum(steps, axis=0) / np.sqrt(max(len(rows), 1))
    slow = _moving_average(rng.standard_normal(rows.shape), max(round(fps), 1)) * np.sqrt(fps)
    white = rng.standard_normal(rows.shape)
    rows += _STYLE * style + _DRIFT * 4 * walk @ world["drift"] + _SLOW_NOISE * slow + white
    return rows.astype(np.float16), np.repeat(plan, frames).tolist()


def _durations(plan: list[str], pace: float, fps: float, rng: np.random.Generator) -> Integers:
    """Draw the frames of each action: log-normal around the median of its verb, times the pace."""
    medians = []
    for name in plan:
        verb = FACTORS[name][0]
        medians.append(_IDLE_SECONDS if verb is None else WORKBENCH.verbs[verb].seconds)
    seconds = np.array(medians) * pace * rng.lognormal(0.0, _SPREAD, len(plan))
    seconds = np.clip(seconds, _SHORTEST, _LONGEST)
    return np.maximum(np.rint(seconds * fps), 1).astype(np.int64)


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
    """Write a synthetic data set in the common layout, for `data.name=workbench`.

    The same arguments give the same files, byte for byte. Actions look the same for every seed, so
    a model trained on one seed fits the videos of another. Splits keep persons apart.

    Args:
        root: the folder.
        videos: number of videos.
        seed: of the videos.
        dim: columns of the features.
        fps: feature rows a second. Other rates than 15 need data.fps.
        persons: number of persons.

    Returns:
        The folder.
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
    person_of: dict[str, int] = {}
    for number in range(videos):
        person = number % persons
        name = f"person{person + 1}_video{number // persons + 1}"
        person_of[name] = person
        rows, labels = _video(person, fps, world, seed, number)
        with whole_file(root / "features" / f"{name}.npy") as unfinished:
            np.save(unfinished, rows)
        write_lines(root / "groundTruth" / f"{name}.txt", labels)

    splits = []
    for part in range(min(3, persons, videos)):
        test = tuple(name for name, person in person_of.items() if person % 3 == part)
        train = tuple(name for name in person_of if name not in test)
        splits.append(Split(train, test, ()))
    write_splits(root, splits, overwrite=True)
    first = splits[0]
    holdout = Holdout(
        WORKBENCH.unseen, WORKBENCH.validation_unseen, "mask", first.train, first.test
    )
    holdout.save_json(root / "zero_shot" / "A.json")
    return root


# --- Films of the same actions ---

WIDTH = 160
HEIGHT = 120
_CENTRE = (80.0, 68.0)  # where parts are worked on
_REST = (80.0, 104.0)  # where the hand rests
_BESIDE = np.array([14, -4])  # from a part to its tool
_BELOW = np.array([0, 14])  # from a part to the hand
_SKIN = (232, 188, 160)
_BENCH = (150, 140, 125)


def draw_actions(labels: Sequence[str], fps: float, seed: int = 0) -> Iterator[Image]:
    """Draw a picture for each label of a video, the same for the same seed.

    Args:
        labels: names of `FACTORS`, (T,).
        fps: pictures a second.
        seed: of the table and the movements.

    Yields:
        T pictures (120, 160, 3).
    """
    rng = np.random.default_rng(seed)
    table = _table(rng)
    hand = np.array(_REST)
    order = list(dict.fromkeys(labels))
    for start, stop, number in runs(np.array([order.index(name) for name in labels])):
        verb, part, tool = FACTORS[order[number]]
        phase = rng.uniform(0, 2 * np.pi)
        for frame in range(stop - start):
            image = table.copy()
            target = np.array(_REST)
            if verb is not None and part is not None:
                angle = 2 * np.pi * WORKBENCH.verbs[verb].pace * frame / fps + phase
                position = np.array(_CENTRE) + _movement(verb, angle)
                _paint(image, part, position)
                if tool is not None:
                    _paint(image, tool, position + _BESIDE)
                target = position + _BELOW
            hand = hand + 0.5 * (target - hand)
            _blot(image, hand, 12, 12, _SKIN)
            yield image


def _table(rng: np.random.Generator) -> Image:
    """Draw the table, with a box of each part at the back."""
    colour = np.array(_BENCH) + rng.normal(0, 6, 3)
    noise = rng.normal(0, 4, (HEIGHT, WIDTH, 1))
    table = np.clip(colour + noise, 0, 255).astype(np.uint8)
    for column, part in enumerate(WORKBENCH.steps):
        _blot(table, np.array([14.0 + 22 * column, 12.0]), 12, 8, WORKBENCH.looks[part].colour)
    return table


def _movement(verb: str, angle: float) -> Floats:
    """Return the offset of an object from the point where it is worked on."""
    sine = np.sin(angle)
    cosine = np.cos(angle)
    offsets = {
        "grasp": (0.0, -7 * (1 - cosine)),
        "place": (14 * sine, 0.0),
        "insert": (0.0, 12 * sine),
        "screw": (6 * cosine, 6 * sine),
        "tap": (0.0, -12 * abs(np.sin(angle / 2))),
        "rotate": (14 * cosine, 6 * sine),
    }
    return np.array(offsets[verb])


def _paint(image: Image, name: str, centre: Floats) -> None:
    look = WORKBENCH.looks[name]
    _blot(image, centre, look.width, look.height, look.colour)
    if look.has_hole:
        _blot(image, centre, look.width // 3, look.height // 3, _BENCH)


def _blot(
    image: Image, centre: Floats, width: int, height: int, colour: tuple[int, int, int]
) -> None:
    """Paint a rectangle about a point, cut off at the border."""
    left = round(float(centre[0])) - width // 2
    top = round(float(centre[1])) - height // 2
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    image[rows, columns] = colour
