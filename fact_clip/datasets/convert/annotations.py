"""Annotation files to label files, or to clicks, and a mapping."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from fact_clip.core import Clock, InputError, Segmentation, Vocabulary, located
from fact_clip.core.arguments import check_name, validated
from fact_clip.core.messages import join_names, normalize
from fact_clip.core.paths import check_place, file_name, inside, whole_file, write_lines
from fact_clip.datasets import clicks
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_whole, read_clock
from fact_clip.datasets.naming import names_alike
from fact_clip.formats import READERS, save
from fact_clip.formats.base import Annotation, Options
from fact_clip.formats.gaps import Frames, to_frames
from fact_clip.formats.middles import Middles, to_middles
from fact_clip.formats.table import write_table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """The frames and classes that labels are written for.

    Attributes:
        fps: frames per second of the features.
        features: folder of NAME.npy (and NAME.json). None: as many frames as the annotation has.
        layout: of the feature files. None: (T, D), with a JSON file.
        background: class of frames without a segment. None: as the file says, else "background".
        mapping: a file with the only classes allowed. None: the classes of ROOT/mapping.txt, then
            new ones.
    """

    fps: float | None = None
    features: Path | None = None
    layout: Layout | None = None
    background: str | None = None
    mapping: Path | None = None

    def clock(self, name: str) -> Clock:
        """Return the clock of one video."""
        if self.features is None:
            return Clock(fps=self.fps)
        path = self.features / f"{name}.npy"
        clock = read_clock(path, self.fps, self.layout)
        check_whole(path)
        if self.fps is not None and clock.fps != self.fps:
            problem = f"fps is {clock.fps:g}, not {self.fps:g}"
            raise InputError(path.with_suffix(".json"), problem, "leave --fps out")
        return clock


@validated()
def convert_annotations(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Frames]:
    """Write `root`/mapping.txt and groundTruth/NAME.txt from annotation files.

    Nothing is written before all files are read. Label files of the same names are replaced.
    Classes of an existing mapping keep their numbers. A new mapping starts with the background,
    then goes by name. A video whose name cannot be that of a file gets another, with a warning.

    Args:
        files: the annotation files.
        kind: the format, a key of `READERS`.
        root: the folder of the data set.
        target: the frames and classes.
        options: reader options for what a file does not say.

    Returns:
        Video -> its frames.
    """
    if target.background is not None:
        check_name(target.background, "--background")
    annotations = _read_annotations(files, kind, root, options or Options())
    videos = {
        name: to_frames(annotation, target.clock(name), target.background)
        for name, annotation in annotations.items()
    }
    labels: Set[str] = set().union(*(frames.labels for frames in videos.values()))
    background = list(dict.fromkeys(frames.background for frames in videos.values()))
    mapped = _mapped_classes(root)
    classes = _new_mapping(files, root, mapped, labels, background, target.mapping)

    label_paths = {name: inside(root, "groundTruth", f"{name}.txt") for name in videos}
    n_replaced = _check_places(root, label_paths)
    _write_mapping(root, classes)
    for name, frames in videos.items():
        save(Segmentation.from_frames(frames.labels), label_paths[name], kind="txt")

    if n_replaced:
        folder = root / "groundTruth"
        logger.info("%s: %d label files that were there are replaced", folder, n_replaced)
    _log_new_classes(root, mapped, classes, target.mapping)
    return videos


@validated()
def convert_to_clicks(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Middles]:
    """Write `root`/mapping.txt and clicks/NAME.csv from annotation files whose times are rough.

    The middle of each segment becomes a click, and so does each point event. Gaps become nothing,
    so idle time needs segments of its own. Otherwise this is like `convert_annotations`.

    Args:
        files: Annotation files.
        kind: Format, a key of `READERS`.
        root: Folder of the data set.
        target: Frames and classes. The background is not used.
        options: Reader options for what a file does not say.

    Returns:
        Video -> its clicks, and the segments that are doubtful. A warning names these.

    Raises:
        InputError: A file cannot be read, a video has labels already, or a middle is not in it.
    """
    annotations = _read_annotations(files, kind, root, replace(options or Options(), instants=True))
    videos = {
        name: to_middles(annotation, target.clock(name)) for name, annotation in annotations.items()
    }
    labels = {label for middles in videos.values() for _, label in middles.clicks}
    mapped = _mapped_classes(root)
    classes = _new_mapping(files, root, mapped, labels, [], target.mapping)

    click_paths = {}
    for name, middles in videos.items():
        label_path = root / "groundTruth" / f"{name}.txt"
        if label_path.exists():
            fix = "remove them, or name another folder with --out"
            raise InputError(label_path, "labels, which count more than clicks", fix)
        if not middles.clicks:
            raise InputError(annotations[name].path, f"{name!r} has no segments")
        click_paths[name] = inside(root, clicks.FOLDER, f"{name}.csv")
    n_replaced = _check_places(root, click_paths)
    _write_mapping(root, classes)
    for name, middles in videos.items():
        with whole_file(click_paths[name]) as unfinished:
            write_table(unfinished, [("frame", "label"), *middles.clicks], end="\n")

    if n_replaced:
        folder = root / clicks.FOLDER
        logger.info("%s: %d files of clicks that were there are replaced", folder, n_replaced)
    _log_new_classes(root, mapped, classes, target.mapping)
    _warn_of_doubts(root, list(videos.values()))
    return videos


def _warn_of_doubts(root: Path, videos: Sequence[Middles]) -> None:
    """Warn about doubtful segments, with their number and places."""
    problems = {
        "empty": "start and stop in one frame",
        "inside": "lie within a longer one, so the order of clicks may be wrong",
        "shared": "have the middle frame of a shorter one, so they are left out",
    }
    for kind, problem in problems.items():
        spans = [span for middles in videos for span in getattr(middles, kind)]
        if spans:
            places = join_names(span.where for span in spans)
            logger.warning("%s: segments that %s: %d (%s)", root, problem, len(spans), places)


def _read_annotations(
    files: Sequence[Path], kind: str, root: Path, options: Options
) -> dict[str, Annotation]:
    """Read the annotation of each video by its file name, and reject a video that occurs twice."""
    annotations: dict[str, Annotation] = {}
    path_of: dict[str, Path] = {}
    for path in files:
        for annotation in READERS[kind](path, options):
            name = video_file_name(path, annotation.name)
            spelling = normalize(name)
            if spelling in path_of:
                problem = f"video {annotation.name!r} again, after {path_of[spelling]}"
                fix = "the name of a video counts without its ending and folder"
                raise InputError(path, problem, fix)
            annotations[name] = annotation
            path_of[spelling] = path
    if not annotations:
        raise InputError(", ".join(map(str, files)), "no annotated videos")
    tiers = {annotation.tier for annotation in annotations.values()} - {""}
    if len(tiers) > 1:
        message = "%s: the labels are those of several tiers, %s; --tier chooses one for all"
        logger.warning(message, root, join_names(map(repr, sorted(tiers))))
    return annotations


def video_file_name(path: Path, video: str) -> str:
    """Return the name of a video as that of a file, with a warning if it changes."""
    name = file_name(video)
    if name != video:
        logger.warning("%s: the video %r is called %r, as a file can be", path, video, name)
    return name


def _mapped_classes(root: Path) -> list[str]:
    """Return the classes of a data set, none if it has no mapping yet."""
    path = root / "mapping.txt"
    return list(Vocabulary.from_mapping(path)) if path.is_file() else []


def _new_mapping(
    files: Sequence[Path],
    root: Path,
    mapped: list[str],
    labels: Set[str],
    background: list[str],
    allowed: Path | None,
) -> list[str]:
    """Return the classes of the new mapping, those `mapped` already first."""
    path = root / "mapping.txt"
    if allowed is None:
        new = labels - set(mapped)
        new_background = [name for name in background if name in new]
        classes = mapped + new_background + sorted(new - set(background))
    else:
        classes = list(Vocabulary.from_mapping(allowed))
        if mapped != classes[: len(mapped)]:
            problem = f"its first classes differ from {path}"
            raise InputError(allowed, problem, "leave --mapping out")
        unknown = sorted(labels - set(classes))
        if unknown:
            fix = "name the class of the gaps with --background" if unknown == background else ""
            raise InputError(allowed, f"no class {join_names(unknown)}, which the files have", fix)
    with located(", ".join(map(str, files))):
        Vocabulary.from_names(classes)  # no two names look the same
    for alike in names_alike(classes):
        logger.warning("%s: %s are classes of their own", path, join_names(alike))
    return classes


def _check_places(root: Path, paths: Mapping[str, Path]) -> int:
    """Reject places that cannot be written. Return how many of the files are there already."""
    for path in (*paths.values(), root / "mapping.txt"):
        check_place(path)
    return sum(path.exists() for path in paths.values())


def _write_mapping(root: Path, classes: Sequence[str]) -> None:
    lines = (f"{index} {name}" for index, name in enumerate(classes))
    write_lines(inside(root, "mapping.txt"), lines)


def _log_new_classes(
    root: Path, mapped: list[str], classes: list[str], allowed: Path | None
) -> None:
    """Log the classes that a mapping got."""
    new_classes = classes[len(mapped) :]
    if mapped and allowed is None and new_classes:
        logger.info("%s: new classes: %s", root / "mapping.txt", join_names(new_classes))
