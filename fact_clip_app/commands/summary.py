"""fact-clip summary."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fact_clip.cli.console import note, print_result, table
from fact_clip.cli.options import AsJson, argument, option
from fact_clip.core import InputError, Json, located
from fact_clip.core.messages import join_names

if TYPE_CHECKING:
    from fact_clip.core import Rating

_ROUNDING = 0.04
"""Seconds by which segments of a file may overlap, which is shorter than most frames."""

_PLOTS = (".svg", ".png", ".pdf")


def summary(
    labels: Annotated[list[Path], argument("LABELS", "Label files, one a video, or a folder.")],
    *,
    against: Annotated[
        list[Path] | None,
        option(
            "A file by somebody else, for each of LABELS in order, may be repeated; or a folder of"
            " files with the same names."
        ),
    ] = None,
    fps: Annotated[
        float | None,
        option("Frames per second of files that do not say it.", min=1e-6, max=1e5),
    ] = None,
    unit: Annotated[
        Literal["seconds", "frames"] | None,
        option("Unit of the columns start and stop of .csv files. Default: seconds."),
    ] = None,
    tier: Annotated[
        str | None, option("Tier or subject of LABELS, in files that have several.")
    ] = None,
    against_tier: Annotated[
        str | None, option("Tier or subject of the files of --against. Default: that of --tier.")
    ] = None,
    duration: Annotated[
        float | None,
        option("Seconds that videos last whose files do not say it.", min=1e-3, max=1e9),
    ] = None,
    video: Annotated[
        list[Path] | None,
        option("The video of each of LABELS in order, for its duration; may be repeated."),
    ] = None,
    bins: Annotated[
        float | None,
        option(
            "Seconds of a bin. A further table has the time of each action in each bin.",
            min=1e-3,
            max=1e9,
        ),
    ] = None,
    out: Annotated[Path | None, option("Table to write, .csv or .xlsx.")] = None,
    plot: Annotated[
        Path | None, option("Plot of the time in bins to write, .svg, .png or .pdf. Needs --bins.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tabulate durations and counts of actions, and the agreement of two labellings.

    Files are of any format that the page reads. Background is left out. What lies between
    segments counts as background, and shares are of the labelled time. Agreement, as on the page,
    in continuous time: Cohen's kappa and accuracy, F1 at overlaps of 10, 25 and 50 %, the edit
    score, the mean distance of edges in seconds, and the ICC of total times. Kappa depends on the
    duration of the video, which most formats do not hold: give --duration or --video. A name that
    one file calls background is background of both. The columns unrated_seconds and points count
    what is not compared: time that not both have labelled, and point events.

    \b
    Example:
      fact-clip summary labels/*.eaf --out times.xlsx
      fact-clip summary labels/*.eaf --bins 60 --out times.xlsx --plot times.svg
      fact-clip summary ann/take.eaf --against bob/take.eaf --video take.mp4
      fact-clip summary ann --against bob
      fact-clip summary take.eaf --tier ann --against take.eaf --against-tier bob
    """
    from fact_clip.formats import load_rating
    from fact_clip.metrics.budget import binned_budget, time_budget, transitions
    from fact_clip_app.results.table_files import write_tables

    if plot is not None:
        _check_plot(plot, bins)
    files = _files(labels)
    spans = _spans(files, video, duration)
    ratings = {}
    for name, path in files.items():
        ratings[name] = load_rating(path, tier=tier, fps=fps, unit=unit, span=spans.get(name))
    tables: dict[str, list[Json]] = {
        "time": time_budget(ratings),
        "transitions": transitions(ratings.values()),
    }
    if bins is not None:
        tables["bins"] = binned_budget(ratings, bins)
    if against:
        pairs = {}
        for name, path in _counterparts(files, against).items():
            second_tier = against_tier or tier
            span = spans.get(name)
            second = load_rating(path, tier=second_tier, fps=fps, unit=unit, span=span)
            pairs[name] = (ratings[name], second)
        tables["agreement"] = [_agreement(name, *pair) for name, pair in pairs.items()]
        if len(pairs) < len(files):
            omitted = [name for name in files if name not in pairs]
            note(f"not compared, as there is no second labelling: {join_names(omitted)}")
    endless = [name for name, rating in ratings.items() if rating.end is None]
    if endless:
        note(
            f"{join_names(endless)}: the file does not say how long the video is, so shares are of "
            "the time to the end of the last segment; --duration or --video says it"
        )
    if not tables["time"]:
        note(f"no action in {join_names(ratings)}, so there are no rows")

    written = [] if out is None else write_tables(out, tables)
    if plot is not None and bins is not None and tables["time"]:
        note(f"plot: {_draw_bins(ratings, bins, plot)}")
    if out is not None:
        for path in written:
            print(path)
        return
    texts = [
        table(table_rows, digits=2)
        for name, table_rows in tables.items()
        if name != "transitions" and table_rows
    ]
    print_result(tables, "\n".join(texts), as_json)


def _check_plot(path: Path, bins: float | None) -> None:
    """Raise InputError if the plot could not be drawn, before anything is written."""
    if path.suffix.lower() not in _PLOTS:
        problem = f"the ending must be one of {', '.join(_PLOTS)}"
        raise InputError(f"--plot {path}", problem, "rename the file")
    if bins is None:
        raise InputError("--plot", "there are no bins to draw", "set --bins SECONDS")
    import fact_clip.report.plots  # noqa: F401  # matplotlib may be missing


def _draw_bins(ratings: Mapping[str, "Rating"], bins: float, path: Path) -> Path:
    from fact_clip.core.colours import class_colours
    from fact_clip.metrics.budget import actions_of
    from fact_clip.report.plots import save_figure
    from fact_clip_app.results.charts import time_in_bins

    colours = class_colours(actions_of(ratings.values()))
    hex_colours = {label: str(colour["colour"]) for label, colour in colours.items()}
    return save_figure(time_in_bins(ratings, hex_colours, bins), path)


def _stem(path: Path) -> str:
    """Return the name of a label file without the ending of its format, which may have two dots."""
    from fact_clip.formats import format_of

    return path.name[: -len(format_of(path).ending)]


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the label files by their names, including files in folders."""
    files: list[Path] = []
    for path in paths:
        files += _folder_files(path) if path.is_dir() else [path]
    stems = [_stem(path) for path in files]
    return {
        stem if stems.count(stem) == 1 else str(path): path
        for stem, path in zip(stems, files, strict=True)
    }


def _folder_files(folder: Path) -> list[Path]:
    """Return the label files of a folder; of several of one name the .json, or else the first."""
    from fact_clip.formats import FORMATS, format_of

    readable = [form for form in FORMATS.values() if form.annotations or form.read]
    endings = tuple(form.ending.lower() for form in readable)
    files = [
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(endings) and format_of(path) in readable
    ]
    if not files:
        raise InputError(folder, "no label file in this folder", f"use {', '.join(endings)}")
    # a .json has the length
    files.sort(key=lambda path: (format_of(path).ending != ".json", path))
    by_name: dict[str, Path] = {}
    for path in files:
        by_name.setdefault(_stem(path), path)
    omitted = [path.name for path in files if by_name[_stem(path)] != path]
    if omitted:
        note(f"{folder}: left out, as files of the same name are read: {join_names(omitted)}")
    return sorted(by_name.values())


def _counterparts(files: Mapping[str, Path], against: Sequence[Path]) -> dict[str, Path]:
    """Return the file of the second person for each name. A folder need not have all of them."""
    if len(against) == 1 and against[0].is_dir():
        second = {_stem(path): path for path in _folder_files(against[0])}
        stems = {name: _stem(path) for name, path in files.items()}
        for stem, number in Counter(stems.values()).items():
            if number > 1 and stem in second:
                problem = f"{number} of LABELS are named {stem!r}"
                raise InputError(against[0], problem, "summarise one folder at a time")
        pairs = {name: second[stem] for name, stem in stems.items() if stem in second}
        if not pairs:
            problem = "no file with the name of one of LABELS"
            raise InputError(against[0], problem, "give two files the same name")
        if len(pairs) < len(files):
            note(f"{against[0]}: {len(pairs)} of {len(files)} files have a second labelling")
        return pairs
    if len(against) != len(files):
        problem = f"{len(against)} files for {len(files)}"
        raise InputError("--against", problem, "give one for each, or a folder")
    return dict(zip(files, against, strict=True))


def _spans(
    files: Mapping[str, Path], videos: Sequence[Path] | None, duration: float | None
) -> dict[str, tuple[float, float]]:
    """Return the times of the first frame and the end of videos, as far as options say it."""
    if not videos:
        return {} if duration is None else dict.fromkeys(files, (0.0, duration))
    if duration is not None:
        raise InputError("--duration", "--video says it", "give one of them")
    if len(videos) != len(files):
        problem = f"{len(videos)} videos for {len(files)} label files"
        raise InputError("--video", problem, "give one for each")
    from fact_clip.video.frames import frame_times

    spans = []
    for path in videos:
        times = frame_times(path)
        spans.append((float(times[0]), float(times[-1])))
    return dict(zip(files, spans, strict=True))


def _agreement(name: str, first: "Rating", second: "Rating") -> Json:
    """Return the agreement of two ratings, as a row of the table."""
    from fact_clip.core.ratings import check_apart
    from fact_clip.metrics import time_agreement

    for rating in (first, second):
        check_apart(name, rating.states, _ROUNDING)
    if first.end is None and second.end is None:
        note(
            f"{name}: no file says how long the video is, {max(first.last, second.last):.3f} s are"
            " assumed, the end of the last segment; --duration or --video says it"
        )
    with located(name):
        result = time_agreement([(first, second)])
    omissions = result.omissions
    if omissions.points:
        note(f"{name}: point events, which have no duration, are not compared: {omissions.points}")
    if omissions.one_sided:
        names = join_names(map(repr, omissions.one_sided))
        note(f"{name}: background on both sides, although only one file calls it so: {names}")
    return {
        "video": name,
        "duration": result.seconds,
        **result.figures,
        "unrated_seconds": omissions.unrated_seconds,
        "points": omissions.points,
        "one_sided": "; ".join(omissions.one_sided),
    }
