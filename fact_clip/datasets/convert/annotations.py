"""Annotation files to label files and a mapping."""

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from fact_clip.core import Clock, InputError, Segmentation, Vocabulary, located
from fact_clip.core.arguments import check_name, validated
from fact_clip.core.messages import join_names, normalize
from fact_clip.core.paths import check_place, file_name, inside, write_lines
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_whole, read_clock
from fact_clip.datasets.naming import names_alike
from fact_clip.formats import READERS, save
from fact_clip.formats.base import Annotation, Options
from fact_clip.formats.gaps import Frames, to_frames

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
    annotations = _read_annotations(files, kind, options or Options())
    all_files = ", ".join(map(str, files))
    if not annotations:
        raise InputError(all_files, "no annotated videos")
    tiers = {annotation.tier for annotation in annotations.values()} - {""}
    if len(tiers) > 1:
        message = "%s: the labels are those of several tiers, %s; --tier chooses one for all"
        logger.warning(message, root, join_names(map(repr, sorted(tiers))))
    videos = {
        name: to_frames(annotation, target.clock(name), target.background)
        for name, annotation in annotations.items()
    }

    mapping_path = root / "mapping.txt"
    mapped = list(Vocabulary.from_mapping(mapping_path)) if mapping_path.is_file() else []
    classes = _new_mapping(mapping_path, mapped, videos, target.mapping)
    with located(all_files):
        Vocabulary.from_names(classes)  # no two names look the same

    for alike in names_alike(classes):
        logger.warning("%s: %s are classes of their own", mapping_path, join_names(alike))
    label_paths = {name: inside(root, "groundTruth", f"{name}.txt") for name in videos}
    for path in (*label_paths.values(), mapping_path):
        check_place(path)
    n_replaced = sum(path.exists() for path in label_paths.values())
    write_lines(
        inside(root, "mapping.txt"), (f"{index} {name}" for index, name in enumerate(classes))
    )
    for name, frames in videos.items():
        save(Segmentation.from_frames(frames.labels), label_paths[name], kind="txt")

    if n_replaced:
        folder = root / "groundTruth"
        logger.info("%s: %d label files that were there are replaced", folder, n_replaced)
    new_classes = classes[len(mapped) :]
    if mapped and target.mapping is None and new_classes:
        logger.info("%s: new classes: %s", mapping_path, join_names(new_classes))
    return videos


def _read_annotations(files: Sequence[Path], kind: str, options: Options) -> dict[str, Annotation]:
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
    return annotations


def video_file_name(path: Path, video: str) -> str:
    """Return the name of a video as that of a file, with a warning if it changes."""
    name = file_name(video)
    if name != video:
        logger.warning("%s: the video %r is called %r, as a file can be", path, video, name)
    return name


def _new_mapping(
    path: Path, mapped: list[str], videos: Mapping[str, Frames], allowed: Path | None
) -> list[str]:
    """Return the classes of the new mapping, those `mapped` already first."""
    labels: Set[str] = set().union(*(frames.labels for frames in videos.values()))
    background = list(dict.fromkeys(frames.background for frames in videos.values()))
    if allowed is None:
        new = labels - set(mapped)
        new_background = [name for name in background if name in new]
        return mapped + new_background + sorted(new - set(background))

    classes = list(Vocabulary.from_mapping(allowed))
    if mapped != classes[: len(mapped)]:
        problem = f"its first classes differ from {path}"
        raise InputError(allowed, problem, "leave --mapping out")
    unknown = sorted(labels - set(classes))
    if unknown:
        fix = "name the class of the gaps with --background" if unknown == background else ""
        raise InputError(allowed, f"no class {join_names(unknown)}, which the files have", fix)
    return classes
