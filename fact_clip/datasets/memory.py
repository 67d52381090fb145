"""Data sets in memory: arrays and lists of names, or an object with the same methods."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.config import Config, with_values
from fact_clip.core import Array, InputError, Names, Vocabulary
from fact_clip.core.arguments import array_of, names_of
from fact_clip.core.paths import inside, is_file_name, whole_file, write_lines
from fact_clip.datasets.benchmarks import IN_MEMORY, Layout, find_benchmark
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.datasets.layout import DataStore, Videos, split_names
from fact_clip.datasets.splits import Split, write_splits

_ATTRIBUTES = ("class_names", "train", "test", "fps", "background", "features", "labels")


class DataSource(Protocol):
    """Interface of a data set in memory. Attributes with a default are optional for subclasses.

    `features` and `labels` are called repeatedly, so cache what is slow to compute.

    Attributes:
        class_names: Classes, in the order of the model's outputs.
        train: Names of the videos for training and validation. They become file names.
        test: Names of the videos that `evaluate` scores.
        fps: Feature rows per second, or None to use the configuration's rate.
        background: Classes that mean "no action", or None to use the configuration's.
    """

    class_names: Sequence[str]
    train: Sequence[str]
    test: Sequence[str] = ()
    fps: float | None = None
    background: Sequence[str] | None = None

    def features(self, name: str) -> ArrayLike:
        """Return the features (T, D) of a video. D must be the same for all videos."""

    def labels(self, name: str) -> Sequence[str]:
        """Return the class name of each frame, (T,), or "?" if it is unknown."""


@dataclass(frozen=True, eq=False)
class _Arrays(DataSource):
    """A data set of arrays and lists."""

    arrays: Mapping[str, Array]
    label_lists: Mapping[str, Sequence[str]]
    class_names: Sequence[str]
    train: Sequence[str]
    test: Sequence[str] = ()
    fps: float | None = None
    background: Sequence[str] | None = None

    def features(self, name: str) -> ArrayLike:
        """Return the features (T, D) of a video."""
        return self.arrays[name]

    def labels(self, name: str) -> Sequence[str]:
        """Return the class name of each frame."""
        return self.label_lists[name]


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
    """Create a data set from arrays and lists, for `fact_clip.train(config, data=...)`.

    Args:
        features: Features (T, D) by video. They are not copied.
        labels: Class name of each frame (T,) by video, or "?" if it is unknown.
        train: Names of the training and validation videos, or None for all that are not in
            `test`.
        test: Names of the test videos. None means all that are not in `train`, or no videos if
            `train` is also None.
        class_names: Classes in the order of the model's outputs, or None for the sorted names in
            the labels.
        fps: Feature rows per second, or None to use the configuration's rate.
        background: Classes that mean "no action", or None to use the configuration's.

    Returns:
        The data set.

    Raises:
        InputError: `labels` and `features` have different videos, `train` or `test` contains an
            unknown video, or names are not valid for files or classes. Shapes and lengths are
            checked when the data are read.
    """
    for argument, names in (("train", train), ("test", test), ("class_names", class_names)):
        if isinstance(names, Set):
            raise InputError(argument, "a set, which has no order", "give a list")
    for argument, mapping in (("features", features), ("labels", labels)):
        if not isinstance(mapping, Mapping) or not mapping:
            problem = "not a mapping from videos to arrays or lists"
            raise InputError(argument, problem, "give {name: values, ...}")
    unpaired = sorted(map(str, features.keys() ^ labels.keys()))
    if unpaired:
        problem = f"not the videos of features: {unpaired[0]!r} is in only one of them"
        raise InputError("labels", problem)

    label_lists = {}
    for name, values in labels.items():
        label_lists[name] = names_of(values, f"labels of {name!r}")
    arrays = {
        name: array_of(rows, f"features of {name!r}", "numbers, (T, D)")
        for name, rows in features.items()
    }

    if train is None:
        train = [name for name in features if name not in (test or ())]
    elif test is None:
        test = [name for name in features if name not in train]
    if class_names is None:
        class_names = sorted(set[str]().union(*label_lists.values()) - {UNLABELLED})
    if background is not None:
        background = names_of(background, "background")
    data = _Arrays(
        arrays=arrays,
        label_lists=label_lists,
        class_names=names_of(class_names, "class_names"),
        train=names_of(train, "train"),
        test=names_of(test or (), "test"),
        fps=fps,
        background=background,
    )
    for argument, names in (("train", data.train), ("test", data.test)):
        for name in names:
            if name not in arrays:
                raise InputError(argument, f"no features of a video {name!r}")
    MemoryStore(data)  # checks the names
    return data


def with_data(config: Config, data: DataSource) -> Config:
    """Return a configuration for data in memory, with their rate and background."""
    for name in _ATTRIBUTES:
        if not hasattr(data, name):
            problem = f"{type(data).__name__} has no {name!r}"
            raise InputError("data", problem, "see datasets.DataSource")
    values = {"data.name": "folder", "data.root": IN_MEMORY, "data.split": 1, "data.layout": "TD"}
    benchmark = find_benchmark(config.data.name)
    if data.fps is not None:
        values["data.fps"] = data.fps
    elif config.data.fps is None and benchmark.fps is not None:
        values["data.fps"] = benchmark.fps
    if data.background is not None:
        values["data.background"] = data.background
    elif config.data.background is None and benchmark.background:
        if int in map(type, benchmark.background):
            problem = f"{config.data.name} specifies it by its number in a mapping"
            raise InputError("data.background", problem, "set it to a name")
        names = [name for name in benchmark.background if name in data.class_names]
        values["data.background"] = tuple(names)
    return with_values(config, values, "data")


def save(data: DataSource, root: str | Path) -> Path:
    """Write data in memory as a folder in the common layout (docs/datasets.md).

    Frame rate and background are not stored in the files. Set `data.fps` and `data.background`.

    Args:
        data: Data to write.
        root: Folder to write.

    Returns:
        The folder.

    Raises:
        InputError: The folder already has splits.
    """
    store = MemoryStore(data)
    root = Path(root)
    existing = split_names(root)
    if existing:
        problem = f"the splits {', '.join(existing)} already exist"
        raise InputError(root / "splits", problem, "name a new folder")
    videos = [*data.train, *data.test]
    labels = {name: store.label_lines(name) for name in videos}
    for name in videos:
        path = inside(root, "features", f"{name}.npy")
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, store.features(name, "TD"))
        write_lines(inside(root, "groundTruth", f"{name}.txt"), labels[name])
    mapping = (f"{index} {name}" for index, name in enumerate(data.class_names))
    write_lines(inside(root, "mapping.txt"), mapping)
    # Write splits last, so that you can try again if a video is faulty.
    write_splits(root, [Split(tuple(data.train), tuple(data.test), ())])
    return root


class MemoryStore(DataStore):
    """Data in memory, read as a data set. Missing attributes raise an InputError."""

    root = None
    location = "data"
    mapping_location = "data.class_names"
    features_location = "data.features"

    def __init__(self, data: DataSource) -> None:
        super().__init__()
        config = with_data(Config(), data).data
        self.benchmark = find_benchmark(config.name)
        self.data = data
        self._train = names_of(data.train, "data.train")
        self._test = names_of(data.test, "data.test")

        names = [*self._train, *self._test]
        for name in names:
            if not is_file_name(name):
                raise InputError("data.train", f"{name!r} cannot be the name of a file")
        if not self._train:
            raise InputError("data.train", "no videos", "leave some out of test")
        if len(set(names)) < len(names):
            raise InputError("data.train", "a video is listed twice in train and test")
        class_names = names_of(data.class_names, "data.class_names")
        self._class_names = Vocabulary.from_names(class_names).names

    @property
    def mapping(self) -> tuple[Names, list[InputError]]:
        """Return the class names, and no faults."""
        return self._class_names, []

    def videos(self, part: str, split: str) -> Videos:
        """Return the videos of "train" or "test"."""
        names = self._train if part == "train" else self._test
        return dict.fromkeys(names, f"data.{part}")

    def label_location(self, video: str, line: int | None = None) -> str:
        """Return the call that returns the labels of a video, with the number of the frame."""
        call = f"data.labels({video!r})"
        return call if line is None else f"{call}:{line}"

    def feature_location(self, video: str) -> str:
        """Return the call that returns the features of a video."""
        return f"data.features({video!r})"

    def label_lines(self, video: str) -> list[str]:
        """Return the label of each frame of a video."""
        return [*names_of(self.data.labels(video), self.label_location(video))]

    def features(self, video: str, layout: Layout) -> Array:
        """Return the features (T, D) of a video, read-only."""
        location = self.feature_location(video)
        rows = array_of(self.data.features(video), location, "numbers, (T, D)").view()
        if rows.ndim != 2 or not rows.size:
            raise InputError(location, f"an array of shape {rows.shape}, not (T, D)")
        rows.flags.writeable = False
        return rows

    def feature_files(self, videos: Iterable[str]) -> list[Path]:
        """Return an empty list."""
        return []
