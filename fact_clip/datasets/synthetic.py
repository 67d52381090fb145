"""Synthetic features, labels and videos of people who assemble parts at a table.

The features of a frame are the sum of one direction for each factor of its action. A style per
person, noise and soft borders make single frames hard to recognise. The drawn videos have no
features until ``fact-clip extract`` computes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from fact_clip.core import Factors, Floats, Image, Integers, Json
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import whole_file, write_lines
from fact_clip.datasets.benchmarks import NO_ACTION
from fact_clip.datasets.splits import Split, write_splits
from fact_clip.unseen.holdout import Holdout

WORKBENCH = read_mapping(Path(__file__).with_suffix(".yaml"), "the workbench")
"""The actions of the data set and their appearance; see the comments in synthetic.yaml."""

_IDLE_SECONDS = 1.4
_SHORTEST = 1.0  # seconds
_LONGEST = 8.0  # seconds
_SPREAD = 0.4  # deviation of the log-normal durations


def _action(part: str, step: Json) -> str:
    """Return the name of an assembly step of a part."""
    name = f"{step['verb']} {part}"
    return f"{name} with {step['tool']}" if "tool" in step else name


def _factors() -> dict[str, Factors]:
    factors: dict[str, Factors] = {NO_ACTION: (None, None, None)}
    for part, steps in WORKBENCH["steps"].items():
        for step in steps:
            factors[_action(part, step)] = (step["verb"], part, step.get("tool"))
    return factors


FACTORS = _factors()
"""Factors (verb, object, tool) by class name, in the order of the class ids."""

# One set of directions for every seed, so that a model also fits videos of other seeds.
_WORLD = 20240607

# Strength of each effect, relative to white noise of deviation 1 in every column.
_FACTOR = 3.2
_STYLE = 0.28
_SLOW_NOISE = 0.35
_IDLE = 0.45  # probability of idling after a part
_BORDER_SECONDS = 0.35


def _evidence(dim: int) -> dict[str, Floats]:
    """Return the features (dim,) of each action: the sum of its factors' unit directions."""
    rng = np.random.default_rng([_WORLD, dim])
    directions: dict[str | None, Floats] = {None: np.zeros(dim)}
    evidence = {}
    for name, factors in FACTORS.items():
        for word in factors:
            if word not in directions:
                row = rng.standard_normal(dim)
                directions[word] = row / np.linalg.norm(row)
        evidence[name] = _FACTOR * np.sum([directions[word] for word in factors], axis=0)
    return evidence


def _plan(rng: np.random.Generator) -> list[str]:
    """Plan the actions of a video: some parts in an order given by `after`, and some steps."""
    parts = list(rng.choice(list(WORKBENCH["steps"]), size=rng.integers(4, 7), replace=False))
    ordered: list[str] = []
    while parts:
        ready = [part for part in parts if WORKBENCH["after"].get(part) not in parts]
        part = ready[rng.integers(len(ready))]
        ordered.append(part)
        parts.remove(part)

    plan = [NO_ACTION]
    for part in ordered:
        repeats = int(rng.integers(1, 3)) if part.endswith("screw") else 1
        for _ in range(repeats):
            for step in WORKBENCH["steps"][part]:
                if rng.random() < step.get("probability", 1.0):
                    plan.append(_action(part, step))
            if rng.random() < _IDLE:
                plan.append(NO_ACTION)
    if plan[-1] != NO_ACTION:
        plan.append(NO_ACTION)
    return plan


def _video(
    person: int, fps: float, evidence: Mapping[str, Floats], seed: int, number: int
) -> tuple[NDArray[np.float16], list[str]]:
    """Return the features (T, dim) and the labels (T,) of a video."""
    habits = np.random.default_rng([_WORLD, seed, person])
    style = habits.standard_normal(len(evidence[NO_ACTION]))
    pace = float(habits.uniform(0.85, 1.15))
    rng = np.random.default_rng([seed, number])
    plan = _plan(rng)
    frames = _durations(plan, pace, fps, rng)
    labels = np.repeat(plan, frames).tolist()

    rows = _moving_average(np.array([evidence[name] for name in labels]), _BORDER_SECONDS * fps)
    slow = _moving_average(rng.standard_normal(rows.shape), fps) * np.sqrt(fps)
    rows += _STYLE * style + _SLOW_NOISE * slow + rng.standard_normal(rows.shape)
    return rows.astype(np.float16), labels


def _moving_average(rows: Floats, window: float) -> Floats:
    """Return the centred mean of (T, D) over `window` frames, with the ends repeated."""
    smooth: Floats = uniform_filter1d(rows, max(round(window), 1), axis=0, mode="nearest")
    return smooth


def _durations(plan: list[str], pace: float, fps: float, rng: np.random.Generator) -> Integers:
    """Draw the frame count of each action, log-normal around its verb's median times the pace."""
    medians = []
    for name in plan:
        verb = FACTORS[name][0]
        medians.append(_IDLE_SECONDS if verb is None else WORKBENCH["verbs"][verb]["seconds"])
    seconds = np.array(medians) * pace * rng.lognormal(0.0, _SPREAD, len(plan))
    seconds = np.clip(seconds, _SHORTEST, _LONGEST)
    return np.rint(seconds * fps).astype(np.int64)


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
    a model trained on one seed fits the videos of a different seed. No person occurs in more than
    one split.

    Args:
        root: Folder to write.
        videos: Number of videos.
        seed: Seed of the videos.
        dim: Number of feature columns.
        fps: Feature rows per second. For rates other than 15, set data.fps.
        persons: Number of persons.

    Returns:
        The folder.
    """
    root = Path(root)
    write_lines(root / "mapping.txt", (f"{index} {name}" for index, name in enumerate(FACTORS)))
    evidence = _evidence(dim)
    person_of: dict[str, int] = {}
    for number in range(videos):
        person = number % persons
        name = f"person{person + 1}_video{number // persons + 1}"
        person_of[name] = person
        rows, labels = _video(person, fps, evidence, seed, number)
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
        WORKBENCH["unseen"],
        WORKBENCH["validation_unseen"],
        train_videos=first.train,
        test_videos=first.test,
    )
    holdout.save_json(root / "zero_shot" / "A.json")
    return root


# --- Videos of the same actions ---

WIDTH = 160
HEIGHT = 120
_CENTRE = (80.0, 68.0)  # position where parts are handled
_REST = (80.0, 104.0)  # position of the resting hand
_BESIDE = np.array([14, -4])  # offset from a part to its tool
_BELOW = np.array([0, 14])  # offset from a part to the hand
_SKIN = (232, 188, 160)
_BENCH = (150, 140, 125)


def draw_actions(labels: Sequence[str], fps: float, seed: int = 0) -> Iterator[Image]:
    """Draw a video frame for each label. The same seed gives the same frames.

    Args:
        labels: Names from `FACTORS`, (T,).
        fps: Video frames per second.
        seed: Seed of the table and the movements.

    Yields:
        T images (120, 160, 3).
    """
    rng = np.random.default_rng(seed)
    table = _table(rng)
    hand = np.array(_REST)
    for name, frames in groupby(labels):
        verb, part, tool = FACTORS[name]
        phase = rng.uniform(0, 2 * np.pi)
        for frame, _ in enumerate(frames):
            image = table.copy()
            target = np.array(_REST)
            if verb is not None and part is not None:
                angle = 2 * np.pi * WORKBENCH["verbs"][verb]["pace"] * frame / fps + phase
                position = np.array(_CENTRE) + _movement(verb, angle)
                _paint(image, part, position)
                if tool is not None:
                    _paint(image, tool, position + _BESIDE)
                target = position + _BELOW
            hand = hand + 0.5 * (target - hand)
            _blot(image, hand, 12, 12, _SKIN)
            yield image


def _table(rng: np.random.Generator) -> Image:
    """Draw the table, with a box for each part at the back."""
    bench = np.array(_BENCH) + rng.normal(0, 6, 3)
    noise = rng.normal(0, 4, (HEIGHT, WIDTH, 1))
    table = np.clip(bench + noise, 0, 255).astype(np.uint8)
    for column, part in enumerate(WORKBENCH["steps"]):
        colour = WORKBENCH["looks"][part]["colour"]
        _blot(table, np.array([14.0 + 22 * column, 12.0]), 12, 8, colour)
    return table


def _movement(verb: str, angle: float) -> Floats:
    """Return the offset of an object from the position where it is handled."""
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
    look = WORKBENCH["looks"][name]
    _blot(image, centre, look["width"], look["height"], look["colour"])
    if "has_hole" in look:
        _blot(image, centre, look["width"] // 3, look["height"] // 3, _BENCH)


def _blot(image: Image, centre: Floats, width: int, height: int, colour: Sequence[int]) -> None:
    """Paint a rectangle around a point, cropped at the border."""
    left = round(float(centre[0])) - width // 2
    top = round(float(centre[1])) - height // 2
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    image[rows, columns] = colour
