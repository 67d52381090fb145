"""Build the sample of OpenPack (a person packs 20 boxes) from its public repository.

    python experiments/data/openpack.py CLONE ROOT

The data are licensed under CC BY-NC-SA 4.0, and so is what this script writes.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas
from building import (
    Builder,
    Recording,
    Source,
    run_builder,
    write_mapping,
    write_recordings,
    write_split,
)
from numpy.typing import NDArray

from fact_clip.formats.table import write_table

FOLDER = "data/openpack/v1.0.0/U0209"
PERSON = "U0209"
SESSION = "S0500"
SENSORS = ("atr01", "atr02", "atr03", "atr04")
COLUMNS = {
    "acc_x": 1.0,
    "acc_y": 1.0,
    "acc_z": 1.0,
    "gyro_x": 100.0,
    "gyro_y": 100.0,
    "gyro_z": 100.0,
    "quat_w": 1.0,
    "quat_x": 1.0,
    "quat_y": 1.0,
    "quat_z": 1.0,
}
"""Columns of a sensor, each with the number by which it is divided."""

STEP = 100  # milliseconds between two rows
LAST_TRAINING_BOX = 14
BACKGROUND = "no action"
IGNORED = "8103"  # the class "Ignore"
PHRASAL_VERBS = ("pick up", "turn over", "walk to")


@dataclass(frozen=True)
class Interval:
    """A time in milliseconds, and the class name or "" for the operations of a box."""

    start: int
    stop: int
    name: str


@dataclass(frozen=True)
class Measurements:
    """Smoothed measurements (samples, columns) of all sensors, and their times in milliseconds."""

    times: NDArray[np.float64]
    values: NDArray[np.float64]


def milliseconds(time: str) -> int:
    """Convert a date with a time zone to milliseconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def class_name(action: str) -> str:
    """Convert the name of an action: lower case, with "_" between the words of a phrasal verb."""
    name = action.lower()
    for verb in PHRASAL_VERBS:
        if name.startswith(f"{verb} "):
            name = name.replace(verb, verb.replace(" ", "_"), 1)
    return name


def read_intervals(path: Path) -> dict[int, list[Interval]]:
    """Read annotated intervals of each box, without the ignored ones."""
    intervals: dict[int, list[Interval]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["id"] == IGNORED:
                continue
            interval = Interval(
                start=milliseconds(row["start"]),
                stop=milliseconds(row["end"]),
                name=class_name(row.get("action", "")),
            )
            intervals.setdefault(int(row["box"]), []).append(interval)
    return intervals


def read_measurements(folder: Path) -> Measurements:
    """Read the sensors of a session, which measure at the same times.

    Each sample is averaged with its neighbours.
    """
    tables = []
    for sensor in SENSORS:
        table = pandas.read_csv(folder / "atr" / sensor / f"{SESSION}.csv")
        samples = table[list(COLUMNS)]
        means = samples.rolling(window=3, center=True, min_periods=1).mean()
        tables.append(means.to_numpy() / np.array(list(COLUMNS.values())))
    times = table["unixtime"].to_numpy(dtype=np.float64)
    return Measurements(times, np.concatenate(tables, axis=1))


def nearest_row(time: int, start: int) -> int:
    """Return the row that is nearest to a time. Halves are rounded up."""
    return (time - start + STEP // 2) // STEP


def record(
    measurements: Measurements, actions: Sequence[Interval], start: int, stop: int
) -> Recording:
    """Cut out one box.

    Args:
        measurements: Measurements of the session.
        actions: Actions of the box.
        start: Start of the box in milliseconds.
        stop: End of the box in milliseconds.

    Returns:
        Ten rows per second, interpolated between the measurements, and their labels.
    """
    n_rows = (stop - start) // STEP + 1
    times = start + STEP * np.arange(n_rows)
    columns = [np.interp(times, measurements.times, column) for column in measurements.values.T]
    labels = [BACKGROUND] * n_rows
    for action in actions:
        first = nearest_row(action.start, start)
        last = min(nearest_row(action.stop, start), n_rows)
        labels[first:last] = [action.name] * (last - first)
    return Recording(np.stack(columns, axis=1).astype(np.float16), labels)


def write_factors(root: Path, class_names: Sequence[str]) -> None:
    """Write factors.csv: the verb and the object of each class."""
    rows = [("class", "verb", "object"), (BACKGROUND, "", "")]
    for name in class_names:
        verb, _, object_name = name.partition(" ")
        rows.append((name, verb.replace("_", " "), object_name))
    write_table(root / "factors.csv", rows)


def write_segments(
    root: Path, actions: Mapping[str, Sequence[Interval]], starts: Mapping[str, int]
) -> None:
    """Write segments.csv: the actions of each video in seconds."""
    rows: list[tuple[object, ...]] = [("video", "start_seconds", "stop_seconds", "label")]
    for video, intervals in actions.items():
        for action in intervals:
            start = (action.start - starts[video]) / 1000
            stop = (action.stop - starts[video]) / 1000
            rows.append((video, start, stop, action.name))
    write_table(root / "segments.csv", rows, end="\n")


def build(clone: Path, root: Path) -> None:
    """Write the data set.

    Args:
        clone: Clone of the repository.
        root: Folder of the data set.
    """
    folder = clone / FOLDER
    measurements = read_measurements(folder)
    operations = read_intervals(folder / "annotation" / "openpack-operations" / f"{SESSION}.csv")
    actions = read_intervals(folder / "annotation" / "openpack-actions" / f"{SESSION}.csv")

    recordings: dict[str, Recording] = {}
    actions_of: dict[str, list[Interval]] = {}
    starts: dict[str, int] = {}
    train = []
    test = []
    for box, intervals in sorted(operations.items()):
        video = f"{PERSON}_{SESSION}_box{box:02d}"
        starts[video] = min(interval.start for interval in intervals)
        stop = max(interval.stop for interval in intervals)
        actions_of[video] = sorted(actions[box], key=lambda action: action.start)
        recordings[video] = record(measurements, actions_of[video], starts[video], stop)
        if box <= LAST_TRAINING_BOX:
            train.append(video)
        else:
            test.append(video)

    names: set[str] = set()
    for intervals in actions_of.values():
        names.update(action.name for action in intervals)
    class_names = sorted(names)
    write_recordings(root, recordings)
    write_mapping(root, [BACKGROUND, *class_names])
    write_factors(root, class_names)
    write_segments(root, actions_of, starts)
    write_split(root, train, test)


SOURCE = Source(
    repository="open-pack/openpack-dataset",
    commit="0485a97c508c74018320dfc3eb90a1b6bc2d7d54",
    paths=(f"{FOLDER}/atr", f"{FOLDER}/annotation"),
)
BUILDER = Builder(name="openpack", sources=(SOURCE,), build=build)

if __name__ == "__main__":
    raise SystemExit(run_builder(BUILDER, __doc__))
