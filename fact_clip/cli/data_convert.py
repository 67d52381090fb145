"""fact-clip data convert."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fact_clip.cli.arguments import read_names
from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, Layout, argument, option
from fact_clip.core import InputError
from fact_clip.core.messages import printable

if TYPE_CHECKING:
    from fact_clip.core import Clock
    from fact_clip.datasets.convert import Target
    from fact_clip.formats.base import Options

OF_LABELS = ("fps", "features", "layout", "as_", "background", "mapping")

READABLE: dict[str, tuple[str, ...]] = {
    "eaf": (*OF_LABELS, "tier"),
    "boris": (*OF_LABELS, "tier"),
    "via": (*OF_LABELS, "tier"),
    "label-studio": (*OF_LABELS, "tier", "source_fps"),
    "nwb": (*OF_LABELS, "tier"),
    "csv": (*OF_LABELS, "unit", "source_fps", "decimal"),
    "binary.csv": (*OF_LABELS, "tier", "source_fps"),
    "json": OF_LABELS,
    "vtt": OF_LABELS,
    "srt": OF_LABELS,
    "epic": (*OF_LABELS, "verbs", "nouns"),
    "lmdb": ("dtype",),
    "table": ("fps", "unit", "source_fps", "time", "columns", "decimal", "dtype"),
    "pose": ("fps", "source_fps", "software", "axis", "dtype"),
}
"""Kind -> the options that it reads. Any other option is an error, because it has no effect."""

OF_PLUGINS = (*OF_LABELS, "tier", "unit", "source_fps", "decimal")
"""The options that are passed to readers of plug-ins."""


def convert(
    context: typer.Context,
    files: Annotated[list[Path], argument("FILE", "Label files or feature files.")],
    *,
    kind: Annotated[
        str,
        option(
            "Kind of the files; lmdb, table and pose are feature files.",
            "--from",
            metavar="KIND",
        ),
    ],
    out: Annotated[Path, option("Folder of the data set.", metavar="ROOT")],
    fps: Annotated[
        float | None, option("Frames per second of the features.", min=1e-6, max=1e5)
    ] = None,
    features: Annotated[
        Path | None,
        option("Folder of NAME.npy, whose lengths the labels get.", panel="Labels"),
    ] = None,
    layout: Annotated[
        Layout, option("Layout of these files: time or channels first.", panel="Labels")
    ] = None,
    as_: Annotated[
        Literal["labels", "clicks"],
        option("Write all labels, or one click per segment.", "--as", panel="Labels"),
    ] = "labels",
    background: Annotated[
        str | None,
        option("Class of frames without a label. Default: the file's.", panel="Labels"),
    ] = None,
    mapping: Annotated[
        Path | None, option("mapping.txt with the classes and their numbers.", panel="Labels")
    ] = None,
    tier: Annotated[
        str | None,
        option("Tier, subject, attribute or control to read.", panel="Labels"),
    ] = None,
    unit: Annotated[
        Literal["seconds", "frames", "milliseconds"] | None,
        option("Unit of the times in csv and table files.", panel="Tables", metavar="<str>"),
    ] = None,
    source_fps: Annotated[
        float | None,
        option(
            "Frames or rows per second of the files. Default: --fps.",
            min=1e-6,
            max=1e5,
            panel="Tables",
            metavar="<float>",
        ),
    ] = None,
    time: Annotated[str | None, option("table: column with the times.", panel="Tables")] = None,
    columns: Annotated[
        str, option('table: feature columns, "a, b". Default: all but --time.', panel="Tables")
    ] = "",
    decimal: Annotated[
        Literal[".", ","], option("csv, table: decimal mark of numbers.", panel="Tables")
    ] = ".",
    verbs: Annotated[Path | None, option("epic: file of the verb classes.", panel="Labels")] = None,
    nouns: Annotated[Path | None, option("epic: file of the noun classes.", panel="Labels")] = None,
    software: Annotated[
        Literal["DeepLabCut", "SLEAP", "LightningPose", "Anipose"] | None,
        option(
            "pose: DeepLabCut, SLEAP, LightningPose or Anipose.",
            panel="Tables",
            metavar="<str>",
        ),
    ] = None,
    axis: Annotated[
        str,
        option(
            'pose: back and front point, "tail, nose", to align bodies. Default: no alignment.',
            panel="Tables",
        ),
    ] = "",
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        option("Type of feature values. Default: float32.", panel="Tables", metavar="<str>"),
    ] = None,
    to: Annotated[
        str,
        option("Formats to write, such as boris,binary.csv.", panel="Label files to label files"),
    ] = "",
    film: Annotated[
        Path | None,
        option(
            "Video or folder of videos whose frames are labelled.",
            panel="Label files to label files",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert annotations and features to the common layout, or label files to other formats.

    Labels are written to ROOT/mapping.txt and ROOT/groundTruth, and features to ROOT/features. If
    segments overlap, a frame gets the label of the segment that started last or, if they started
    together, of the shorter one. The table shows how many frames are affected. If the names are
    correct but the times are rough, use --as clicks: training then finds the borders. Clicks are
    written to ROOT/clicks. docs/formats.md lists the kinds and the formats.

    \b
    Example:
      fact-clip data convert --from eaf labels/*.eaf --features data/features --fps 5 --out data
      fact-clip data convert --from csv takes.csv --unit seconds --fps 15 --background idle \\
        --out data
      fact-clip data convert --from json labels/*.json --as clicks --fps 5 --out data
      fact-clip data convert --from eaf labels/*.eaf --to boris,binary.csv --film videos --out new
      fact-clip data convert --from table imu/*.csv --time timestamp --fps 15 --out data
      fact-clip data convert --from pose poses/*.h5 --software DeepLabCut --source-fps 30 \\
        --fps 10 --axis "tail, nose" --out data
    """
    _check_options(kind, context, unit)
    if to:
        label_options = _label_options(unit, tier, source_fps, verbs, nouns, decimal)
        clocks = _VideoClocks(fps, film)
        _convert_to_label_files(files, kind, out, to, clocks, label_options, background, as_json)
        return
    from fact_clip.datasets.convert import (
        PoseReader,
        Sampling,
        Target,
        convert_features,
        convert_tables,
    )

    if kind in ("lmdb", "table", "pose"):
        sampling = Sampling(
            columns=read_names(columns, "--columns"),
            time=time,
            milliseconds=unit == "milliseconds",
            rate=source_fps,
            fps=fps,
            decimal=decimal,
        )
        if kind == "lmdb":
            counts = convert_features(files, out, dtype)
        else:
            read = None
            if kind == "pose":
                if source_fps is None or software is None:
                    fix = "give --source-fps and --software"
                    raise InputError(
                        "--from pose", "the rate of the videos or the tracker is missing", fix
                    )
                read = PoseReader(software, source_fps, read_names(axis, "--axis"))
            counts = convert_tables(files, out, sampling, dtype, read)
        rows = [{"video": name, **row} for name, row in counts.items()]
        print_result(counts, table(rows), as_json)
        rate = "at the rate of the rows" if fps is None else f"{fps:g} frames per second"
        line = f"written: {len(counts)} files in {printable(str(out / 'features'))}, {rate}"
        n_interpolated = sum(row.get("interpolated", 0) for row in counts.values())
        if n_interpolated:
            line += f"; {n_interpolated} frames without a row are interpolated linearly"
        note(line)
    else:
        options = _label_options(unit, tier, source_fps, verbs, nouns, decimal)
        target = Target(
            fps=fps,
            features=features,
            layout=layout,
            background=background,
            mapping=mapping,
        )
        if as_ == "clicks":
            _convert_to_clicks(files, kind, out, target, options, as_json)
        else:
            _convert_annotations(files, kind, out, target, options, as_json)


def _label_options(
    unit: Literal["seconds", "frames", "milliseconds"] | None,
    tier: str | None,
    source_fps: float | None,
    verbs: Path | None,
    nouns: Path | None,
    decimal: Literal[".", ","],
) -> Options:
    """Return the options of the readers of label files."""
    from fact_clip.formats.base import Options

    assert unit != "milliseconds"
    return Options(
        tier=tier,
        unit=unit,
        fps=source_fps,
        verbs=verbs,
        nouns=nouns,
        decimal=decimal,
    )


def _check_options(kind: str, context: typer.Context, unit: str | None) -> None:
    """Reject an unknown kind, and options that have no effect on files of this kind."""
    from fact_clip.formats import READERS

    typed = set()
    for name in context.params.keys() - {"files", "kind", "out", "as_json"}:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            typed.add(name)
    if "film" in typed and "to" not in typed:
        raise InputError("--film", "only --to reads it", "leave it out, or add --to")
    if "to" in typed:
        _check_to(kind, typed)
        return
    if kind not in READABLE and kind not in READERS:
        fix = f"use one of {', '.join(dict.fromkeys([*READABLE, *READERS]))}"
        raise InputError("--from", f"there is no kind {kind!r}", fix)
    for name in sorted(typed - {*READABLE.get(kind, OF_PLUGINS)}):
        where = f"--{name.strip('_').replace('_', '-')}"
        raise InputError(where, f"--from {kind} does not read it", "leave it out")
    if unit == ("frames" if kind == "table" else "milliseconds"):
        raise InputError("--unit", f"{unit} with --from {kind}", "use seconds")
    if "background" in typed and context.params["as_"] == "clicks":
        raise InputError("--background", "--as clicks does not read it", "leave it out")
    name, needed = ("unit", "time") if kind == "table" else ("layout", "features")
    if name in typed and needed not in typed:
        raise InputError(f"--{name}", f"it needs --{needed}", f"also give --{needed}")


def _convert_annotations(
    files: list[Path], kind: str, out: Path, target: Target, options: Options, as_json: bool
) -> None:
    """Convert label files to labels, and print the counts of each video."""
    from fact_clip.datasets.convert import convert_annotations

    videos = convert_annotations(files, kind, out, target, options)
    total = Counter[str]()
    counts = {}
    backgrounds: dict[str, None] = {}
    for name, frames in videos.items():
        counts[name] = {
            "frames": len(frames.labels),
            "segments": sum(1 for _ in groupby(frames.labels)),
            "gaps": frames.gaps,
            "contested": frames.contested,
            "lost": frames.lost,
        }
        total.update(counts[name])
        if frames.gaps:
            backgrounds[repr(frames.background)] = None
    rows = [{"video": name, **row} for name, row in counts.items()]
    rows.append({"video": "total", **total})
    print_result({"videos": counts, "total": total}, table(rows), as_json)

    effects = {
        "gaps": f"frames without a segment are {', '.join(backgrounds)}",
        "contested": "frames in overlapping segments were given to the segment that started last",
        "lost": "segments without a frame of their own are left out",
    }
    notes = [f"{total[key]} {effect}" for key, effect in effects.items() if total[key]]
    note("; ".join([f"written: {len(videos)} videos in {printable(str(out))}", *notes]))


_WITH_TO = {"to", "film", "fps", "background", "tier", "unit", "source_fps", "decimal"}
_WITH_TO |= {"verbs", "nouns"}


def _check_to(kind: str, typed: set[str]) -> None:
    """Reject kinds that are not label files, and options that `--to` does not read."""
    from fact_clip.formats import FORMATS, READERS

    kinds = [*READERS, *(name for name, form in FORMATS.items() if form.read is not None)]
    if kind not in kinds:
        fix = f"use one of {', '.join(dict.fromkeys(kinds))}"
        raise InputError("--from", f"{kind!r} is not a kind of label file", fix)
    for name in sorted(typed - _WITH_TO):
        raise InputError(f"--{name.strip('_')}", "--to does not read it", "leave it out")
    if {"fps", "film"} <= typed:
        raise InputError("--fps", "--film has the times of the frames", "give one of them")


@dataclass(frozen=True)
class _VideoClocks:
    """The frames of videos, at a fixed rate or with the times of a video file.

    Attributes:
        fps: Frames per second of all videos, or None.
        film: A video, a folder of videos that have the names of the label files, or None.
    """

    fps: float | None
    film: Path | None

    def __call__(self, name: str) -> Clock | None:
        """Return the frames of a video, or None if no option describes them."""
        from fact_clip.core import Clock

        if self.film is None:
            return None if self.fps is None else Clock(fps=self.fps, video_fps=self.fps)
        from fact_clip.video.frames import frame_times, probe

        path = self.film
        if path.is_dir():
            path = self._in_folder(path, name)
        times = frame_times(path)
        n_frames = len(times) - 1
        duration = times[-1] - times[0]
        rate = probe(path).fps
        if rate is None or abs(rate * duration - n_frames) >= 1:  # some frames were dropped
            rate = n_frames / duration
        return Clock(n_frames=n_frames, fps=rate, times=times, media=str(path), video_fps=rate)

    def _in_folder(self, folder: Path, name: str) -> Path:
        from fact_clip.video.frames import SUFFIXES

        for path in sorted(folder.iterdir()):
            if path.stem == name and path.suffix.lower() in SUFFIXES:
                return path
        raise InputError(folder, f"no video named {name!r}", "give it the name of its label file")


def _convert_to_label_files(
    files: list[Path],
    kind: str,
    out: Path,
    to: str,
    clocks: _VideoClocks,
    options: Options,
    background: str | None,
    as_json: bool,
) -> None:
    """Convert label files to different formats, and print the counts of each video."""
    from fact_clip.formats.base import written_segments
    from fact_clip.formats.conversion import convert_label_files

    formats = read_names(to, "--to")
    videos = convert_label_files(
        files, kind, out, formats, clocks, options=options, background=background
    )
    total = Counter[str]()
    counts = {}
    for name, video in videos.items():
        segmentations = [track.segmentation for track in video.tracks.values()]
        counts[name] = {
            "files": len(video.written),
            "tracks": len(video.tracks),
            "frames": max(segmentation.n_frames for segmentation in segmentations),
            "segments": sum(len(written_segments(labels)) for labels in segmentations),
            "points": sum(len(labels.instants) for labels in segmentations),
            "contested": sum(track.contested for track in video.tracks.values()),
            "lost": sum(track.lost for track in video.tracks.values()),
            "comments left out": video.comments,
        }
        total.update(counts[name])
    rows = [{"video": name, **row} for name, row in counts.items()]
    rows.append({"video": "total", **total})
    print_result({"videos": counts, "total": total}, table(rows), as_json)
    effects = {
        "contested": "frames in overlapping segments of one tier were given to the later segment",
        "lost": "segments without a frame are left out",
        "comments left out": "some of the formats cannot store comments",
    }
    notes = [f"{total[key]} {effect}" for key, effect in effects.items() if total[key]]
    note("; ".join([f"written: {total['files']} files in {printable(str(out))}", *notes]))


def _convert_to_clicks(
    files: list[Path], kind: str, out: Path, target: Target, options: Options, as_json: bool
) -> None:
    """Convert label files to clicks, and print how many segments of each video are doubtful."""
    from fact_clip.datasets.convert import convert_to_clicks

    videos = convert_to_clicks(files, kind, out, target, options)
    total = Counter[str]()
    counts = {}
    for name, middles in videos.items():
        counts[name] = {
            "clicks": len(middles.clicks),
            "empty": len(middles.empty),
            "inside": len(middles.inside),
            "shared": len(middles.shared),
        }
        total.update(counts[name])
    rows = [{"video": name, **row} for name, row in counts.items()]
    rows.append({"video": "total", **total})
    print_result({"videos": counts, "total": total}, table(rows), as_json)
    note(f"written: {len(videos)} videos in {printable(str(out))}, {total['clicks']} clicks")
