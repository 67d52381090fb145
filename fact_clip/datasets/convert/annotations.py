"""Conversion of annotation files to a mapping and to label files or clicks."""

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
    """The frames and classes for writing labels.

    Attributes:
        fps: Frames per second of the features.
        features: Folder of NAME.npy (and NAME.json), or None for as many frames as the annotation
            has.
        layout: Layout of the feature files, or None for (T, D) with a JSON file.
        background: Class of frames without a segment, or None to use the file's own, or else
            "background".
        mapping: File with the allowed classes, or None for the classes of ROOT/mapping.txt
            followed by new ones.
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

    All files are read before anything is written. Label files with the same names are replaced.
    Classes of an existing mapping keep their numbers. A new mapping starts with the background,
    followed by the other classes in alphabetical order. A video whose name cannot be a file name is
    renamed, with a warning.

    Args:
        files: Annotation files.
        kind: Format, a key of `READERS`.
        root: Folder of the data set.
        target: Frames and classes.
        options: Reader options for what a file does not specify.

    Returns:
        The frames of each video, by name.
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
        logger.info("%s: %d existing label files were replaced", folder, n_replaced)
    _log_new_classes(root, mapped, classes, target.mapping)
    return videos


@validated()
def convert_to_clicks(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Middles]:
    """Write `root`/mapping.txt and clicks/NAME.csv from annotation files with imprecise times.

    The middle of each segment becomes a click, and so does each point event. Gaps are not used, so
    idle time needs its own segments. Otherwise, this is like `convert_annotations`.

    Args:
        files: Annotation files.
        kind: Format, a key of `READERS`.
        root: Folder of the data set.
        target: Frames and classes. The background is not used.
        options: Reader options for what a file does not specify.

    Returns:
        The clicks and doubtful segments of each video, by name. A warning lists doubtful segments.

    Raises:
        InputError: A file cannot be read, a video already has labels, or a middle is outside its
            video.
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
            fix = "remove them, or name a different folder with --out"
            raise InputError(label_path, "labels, which take precedence over clicks", fix)
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
        logger.info("%s: %d existing click files were replaced", folder, n_replaced)
    _log_new_classes(root, mapped, classes, target.mapping)
    _warn_of_doubts(root, list(videos.values()))
    return videos


def _warn_of_doubts(root: Path, videos: Sequence[Middles]) -> None:
    """Warn about doubtful segments, with their number and locations."""
    problems = {
        "empty": "start and stop in one frame",
        "inside": "lie within a longer one, so the order of clicks may be wrong",
        "shared": "have the same middle frame as a shorter one, so they are omitted",
    }
    for kind, problem in problems.items():
        spans = [span for middles in videos for span in getattr(middles, kind)]
        if spans:
            places = join_names(span.where for span in spans)
            logger.warning("%s: segments that %s: %d (%s)", root, problem, len(spans), places)


def _read_annotations(
    files: Sequence[Path], kind: str, root: Path, options: Options
) -> dict[str, Annotation]:
    """Read the annotation of each video by file name, and reject repeated videos."""
    annotations: dict[str, Annotation] = {}
    path_of: dict[str, Path] = {}
    for path in files:
        for annotation in READERS[kind](path, options):
            name = video_file_name(path, annotation.name)
            spelling = normalize(name)
            if spelling in path_of:
                problem = f"video {annotation.name!r} is repeated, after {path_of[spelling]}"
                fix = "video names are compared without folder and file extension"
                raise InputError(path, problem, fix)
            annotations[name] = annotation
            path_of[spelling] = path
    if not annotations:
        raise InputError(", ".join(map(str, files)), "no annotated videos")
    tiers = {annotation.tier for annotation in annotations.values()} - {""}
    if len(tiers) > 1:
        message = "%s: the labels come from several tiers, %s; --tier chooses one for all"
        logger.warning(message, root, join_names(map(repr, sorted(tiers))))
    return annotations


def video_file_name(path: Path, video: str) -> str:
    """Return the name of a video as a valid file name, with a warning if it changes."""
    name = file_name(video)
    if name != video:
        logger.warning("%s: the video %r is renamed %r to be a valid file name", path, video, name)
    return name


def _mapped_classes(root: Path) -> list[str]:
    """Return the classes of a data set, or an empty list if it has no mapping yet."""
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
    """Return the classes of the new mapping, with those in `mapped` first."""
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
        logger.warning("%s: %s are treated as different classes", path, join_names(alike))
    return classes


def _check_places(root: Path, paths: Mapping[str, Path]) -> int:
    """Reject paths that cannot be written. Return the number of files that already exist."""
    for path in (*paths.values(), root / "mapping.txt"):
        check_place(path)
    return sum(path.exists() for path in paths.values())


def _write_mapping(root: Path, classes: Sequence[str]) -> None:
    lines = (f"{index} {name}" for index, name in enumerate(classes))
    write_lines(inside(root, "mapping.txt"), lines)


def _log_new_classes(
    root: Path, mapped: list[str], classes: list[str], allowed: Path | None
) -> None:
    """Log the classes that were added to a mapping."""
    new_classes = classes[len(mapped) :]
    if mapped and allowed is None and new_classes:
        logger.info("%s: new classes: %s", root / "mapping.txt", join_names(new_classes))
