"""Data sets in memory: arrays and lists of names, or an object of one's own; only `save` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.config import Config, with_values
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.arguments import array_of, names_of
from fact_clip.core.paths import inside, is_file_name, whole_file, write_lines
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import Array
from fact_clip.datasets.layout import IN_MEMORY, DataFolder, Videos
from fact_clip.datasets.splits import Split, write_splits


class DataSource(Protocol):
    """What a data set of one's own needs; a class that derives from this one need not state what has a default here.

    `features` and `labels` are called again and again, so keep in memory what is slow to make.
    """

    class_names: Sequence[str]  # in the order of the model's outputs
    train: Sequence[str]  # names of the videos to train and validate on; they become names of files
    test: Sequence[str] = ()  # of those that `evaluate` scores; no video is in both
    fps: float | None = None  # rows of features a second; None: as the configuration says
    background: Sequence[str] | None = (
        None  # classes that mean "no action"; None: as the configuration says
    )

    def features(self, name: str) -> ArrayLike:
        """Return the features (T, D) of a video; D is the same for all."""

    def labels(self, name: str) -> Sequence[str]:
        """Return the class name of each frame, (T,); "?" where nobody knows it."""


def from_arrays(
    features: Mapping[str, ArrayLike],
    labels: Mapping[str, Sequence[str]],
    *,
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    fps: float | None = None,
    background: Sequence[str] | None = None,
) -> DataSource:
    """Make a data set of arrays and lists of names, for `fact_clip.train(config, data=...)`. Arrays are not copied.

    Args:
        features: video -> features (T, D).
        labels: video -> class name of each frame (T,); "?" where nobody knows it.
        train: names of the training videos; None: all that are not in `test`. Some of them validate.
        test: names of the test videos; None: all that are not in `train`, if that is given, else none.
        class_names: in the order of the model's outputs; None: those of the labels, sorted.
        fps: rows of features a second; None: as the configuration says.
        background: classes that mean "no action"; None: as the configuration says.

    Raises:
        InputError: other videos in `labels` than in `features`, or in `train` and `test`; and what `train` refuses.
    """
    for name, mapping in (("features", features), ("labels", labels)):
        if not isinstance(mapping, Mapping) or not mapping:
            raise InputError(
                name, "not a mapping from videos to arrays or lists", "give {name: values, ...}"
            )
    if lone := sorted(map(str, features.keys() ^ labels.keys())):
        raise InputError(
            "labels", f"not the videos of features: {lone[0]!r} is in one of them only"
        )
    lists = {
        name: tuple(map(str, names_of(values, f"labels of {name!r}")))
        for name, values in labels.items()
    }
    if train is None:
        train = [name for name in features if name not in (test or ())]
    elif test is None:
        test = [name for name in features if name not in train]
    classes = sorted(set().union(*lists.values()) - {"?"}) if class_names is None else class_names
    arrays = {
        name: array_of(rows, f"features of {name!r}", "numbers, (T, D)")
        for name, rows in features.items()
    }
    data: Any = SimpleNamespace(features=arrays.__getitem__, labels=lists.__getitem__, fps=fps)
    data.class_names, data.train, data.test = (
        tuple(classes),
        names_of(train, "train"),
        names_of(test or (), "test"),
    )
    data.background = None if background is None else names_of(background, "background")
    if unknown := [name for name in (*data.train, *data.test) if name not in arrays]:
        raise InputError("train", f"no features of a video {unknown[0]!r}")
    MemoryFolder(data)
    return data  # type: ignore[no-any-return]


def with_data(config: Config, data: DataSource) -> Config:
    """Return a configuration of data in memory: its `data.root` is `IN_MEMORY`, and rate and background are theirs."""
    for name in ("class_names", "train", "test", "fps", "background", "features", "labels"):
        if not hasattr(data, name):
            raise InputError(
                "data", f"{type(data).__name__} has no {name!r}", "see datasets.DataSource"
            )
    values = {"data.name": "folder", "data.root": IN_MEMORY, "data.split": 1, "data.layout": "TD"}
    theirs = {"data.fps": data.fps, "data.background": data.background}
    return with_values(
        config, values | {key: value for key, value in theirs.items() if value is not None}, "data"
    )


def save(data: DataSource, root: str | Path) -> Path:
    """Write data in memory as a folder in the common layout (docs/datasets.md), for commands and ensembles.

    Rate and background go into no file: set `data.fps` and `data.background`. An InputError where splits are there.
    """
    folder, root = MemoryFolder(data), Path(root)
    videos = [*data.train, *data.test]
    labels = {name: folder.label_lines(name) for name in videos}
    write_splits(root, [Split(tuple(data.train), tuple(data.test), ())])
    for name in videos:
        with (
            whole_file(inside(root, "features", f"{name}.npy")) as unfinished,
            unfinished.open("wb") as file,
        ):
            np.save(file, folder.features(name, "TD"))
        write_lines(inside(root, "groundTruth", f"{name}.txt"), labels[name])
    write_lines(
        inside(root, "mapping.txt"),
        (f"{index} {name}" for index, name in enumerate(data.class_names)),
    )
    return root


class MemoryFolder(DataFolder):
    """Data in memory with the methods of a folder, for `Dataset`; an InputError where the object lacks something."""

    def __init__(self, data: DataSource) -> None:
        super().__init__(with_data(Config(), data).data, Path(IN_MEMORY))
        self.data = data
        self.lists = {
            part: names_of(getattr(data, part), f"data.{part}") for part in ("train", "test")
        }
        names = [*self.lists["train"], *self.lists["test"]]
        if bad := [name for name in names if not is_file_name(name)]:
            raise InputError("data.train", f"{bad[0]!r} cannot be the name of a file")
        if not self.lists["train"] or len(set(names)) < len(names):
            raise InputError(
                "data.train",
                "no videos" if not names else "a video twice, in train and test or in one",
            )
        self.mapping = (
            Vocabulary.from_names(names_of(data.class_names, "data.class_names")).names,
            [],
        )

    def videos(self, part: str, split: str) -> Videos:
        """Return the videos of "train" or "test"."""
        return dict.fromkeys(self.lists[part], f"data.{part}")

    def label_path(self, video: str) -> Path:
        """Return what errors call the labels of a video."""
        return Path(f"data.labels({video!r})")

    def feature_path(self, video: str) -> Path:
        """Return what errors call the features of a video."""
        return Path(f"data.features({video!r})")

    def label_lines(self, video: str) -> list[str]:
        """Return the label of each frame of a video."""
        return [*names_of(self.data.labels(video), f"data.labels({video!r})")]

    def features(self, video: str, layout: Layout) -> Array:
        """Return the features (T, D) of a video, read-only."""
        where = f"data.features({video!r})"
        rows = array_of(self.data.features(video), where, "numbers, (T, D)").view()
        if rows.ndim != 2 or not rows.size:
            raise InputError(where, f"an array of shape {rows.shape}, not (T, D)")
        rows.flags.writeable = False
        return rows

    def described(self, videos: Iterable[str]) -> list[Path]:
        """Return nothing: there are no files."""
        return []
