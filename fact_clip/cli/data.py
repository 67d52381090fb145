"""fact-clip data: check, convert, init, summary and holdout."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import AsJson, DataSet, Overrides, data_config, names, progress, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fact_clip.config import DataConfig
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.holdout import Holdout
    from fact_clip.datasets.recipe import Suggestion
    from fact_clip.datasets.tables import Sampling
    from fact_clip.formats.annotations import Frames

Layout = Literal["TD", "DT"]


def check(
    data: DataSet,
    overrides: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look for NaN in every feature value, even if that takes minutes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for faults in a data set: all of them, one line each.

    Reads the mapping, every split (or the one of data.split=NAME), labels and features; the folder of an own data set
    as its recipe.yaml says, if there is one. The exit code is 1 if there is an error. Notes, such as a class that no
    split trains, do not count; if nothing is found, stdout is empty.

    \b
    Example:
      fact-clip data check ../shared/data/kscgr data.name=kscgr
    """
    from fact_clip.datasets.check import NOTES, inspect

    config = data_config(data, overrides)
    asked = any(override.startswith("data.split=") for override in overrides or []) and str(config.split) != "all"
    with progress("reading features") as report:
        seen = inspect(config, str(config.split) if asked else None, full=full, progress=report)
    found = [("note" if kind in NOTES else "error", kind, fault) for kind, fault in seen.faults]
    found.sort(key=lambda one: one[0])  # errors first
    n_errors = len(seen.errors)
    n_notes = len(found) - n_errors
    if as_json:
        facts = {"root": str(seen.root), "videos": len(seen.videos), "splits": list(seen.splits)}
        facts |= {"classes": len(seen.names), "columns": seen.columns, "feature_values_looked_at": seen.looked_at}
        facts |= {"errors": n_errors, "notes": n_notes}
        parts = ("where", "found", "expected", "todo")
        findings = [
            {"severity": severity, "kind": kind, **{part: getattr(fault, part) for part in parts}}
            for severity, kind, fault in found
        ]
        print(json.dumps(facts | {"findings": findings}, indent=2))
    else:
        for severity, kind, fault in found:
            print(f"{severity}: {kind}: {' '.join(str(fault).splitlines())}")
        counts = f"{len(seen.videos)} videos, {len(seen.splits)} splits, {len(seen.names)} classes"
        columns = "" if seen.columns is None else f", {seen.columns} columns"
        end = f"{_number(n_errors, 'error')}, {_number(n_notes, 'note')}" if found else "no fault found"
        if seen.looked_at < 1:
            end += f" ({seen.looked_at:.1%} of the feature values were read; --full reads all)"
        print(f"{seen.root}: {counts}{columns}; {end}", file=sys.stderr)
    if n_errors:
        raise typer.Exit(1)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


COUNTS = ("frames", "segments", "gaps", "contested", "lost")


def convert(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Annotation files, or feature files.")],
    *,
    kind: Annotated[
        Literal["eaf", "boris", "via", "label-studio", "csv", "runs", "epic", "npy", "lmdb", "table"],
        typer.Option("--from", help="Kind of the files (docs/formats.md); npy, lmdb and table are features."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the data set.", metavar="ROOT")],
    fps: Annotated[float | None, typer.Option(help="Frames per second of the features.", min=1e-6, max=1e5)] = None,
    features: Annotated[
        Path | None, typer.Option(help="Folder of NAME.npy, which give the labels their length.")
    ] = None,
    layout: Annotated[Layout | None, typer.Option(help="Layout of these .npy files, time or channels first.")] = None,
    background: Annotated[
        str | None, typer.Option(help="Class of frames without an annotation; unset: as the file says, or background.")
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="mapping.txt with the classes and their numbers.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="The tier, subject, attribute or control to read, if there are several.")
    ] = None,
    unit: Annotated[
        Literal["seconds", "frames", "milliseconds"] | None,
        typer.Option(help="csv: unit of the columns start and stop; table: of --time, in seconds unless given."),
    ] = None,
    source_fps: Annotated[
        float | None,
        typer.Option(help="Frames (table: rows) per second in the files; unset: as the features.", min=1e-6, max=1e5),
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="table: the column that says when a row is, by name or number.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help='table: the columns that are features, "a, b"; unset: all but the time.')
    ] = None,
    verbs: Annotated[Path | None, typer.Option(help="epic: file of the verb classes.")] = None,
    nouns: Annotated[Path | None, typer.Option(help="epic: file of the noun classes.")] = None,
    axes: Annotated[
        str | None, typer.Option(help="npy: axes of the arrays, TD, DT or CTD (C: crops, averaged); unset: TD.")
    ] = None,
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(help="npy, lmdb, table: type of the values; float16 takes half the space. Unset: as read."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert annotations and features to the common layout.

    Labels go to ROOT/mapping.txt and ROOT/groundTruth, features to ROOT/features. Where segments overlap, the one that
    started last gets the frame; if they started together, the shorter one. The table says how many frames that decided.

    \b
    Example:
      fact-clip data convert --from eaf labels/*.eaf --features data/features --fps 5 --out data
      fact-clip data convert --from csv takes.csv --unit seconds --fps 15 --background idle --out data
      fact-clip data convert --from npy i3d/*.npy --axes DT --dtype float16 --out data
      fact-clip data convert --from table imu/*.csv --time timestamp --fps 15 --out data
    """
    from fact_clip.core import InputError, Vocabulary
    from fact_clip.datasets.convert import Target, convert_annotations, convert_features
    from fact_clip.formats.annotations import Options

    given = {"fps": fps, "features": features, "layout": layout, "background": background, "mapping": mapping}
    given |= {"tier": tier, "unit": unit, "source-fps": source_fps, "time": time, "columns": columns}
    given |= {"verbs": verbs, "nouns": nouns, "axes": axes, "dtype": dtype}
    _check_options(kind, [option for option, value in given.items() if value is not None])
    if kind in ("npy", "lmdb"):
        shapes = convert_features(files, kind, out, axes or "TD", dtype)
        rows = [[name, str(n_frames), str(width)] for name, (n_frames, width) in shapes.items()]
        print(json.dumps(shapes) if as_json else table(["video", "frames", "columns"], rows, right=(1, 2)))
        print(f"written: {len(shapes)} files in {out / 'features'}", file=sys.stderr)
        return
    if kind == "table":
        from fact_clip.datasets.tables import Sampling

        if unit == "frames":
            raise InputError("--unit", "frames", "seconds or milliseconds of the column --time")
        if unit is not None and time is None:
            raise InputError("--unit", "without --time", "the column whose unit it is")
        how = Sampling(tuple(names(columns, "--columns") or ()), time, unit == "milliseconds", source_fps, fps)
        _convert_tables(files, out, how, dtype, as_json)
        return
    if unit == "milliseconds":
        raise InputError("--unit", "milliseconds", "seconds or frames")
    if layout is not None and features is None:
        raise InputError("--layout", "without --features", "the folder of these files")
    classes = () if mapping is None else tuple(Vocabulary.from_mapping(mapping))
    options = Options(tier, unit, source_fps, classes, verbs, nouns)
    found = convert_annotations(files, kind, out, Target(fps, features, layout, background, mapping), options)
    _report_labels(found, out, as_json)


_ANNOTATIONS = {"fps", "features", "layout", "background", "mapping"}
# The options that each kind of files reads; any other would be ignored, and someone means something by it.
OPTIONS_OF: dict[str, set[str]] = {
    **dict.fromkeys(("eaf", "boris", "via"), _ANNOTATIONS | {"tier"}),
    "label-studio": _ANNOTATIONS | {"tier", "source-fps"},
    "csv": _ANNOTATIONS | {"unit", "source-fps"},
    "runs": _ANNOTATIONS | {"source-fps"},
    "epic": _ANNOTATIONS | {"verbs", "nouns"},
    "npy": {"axes", "dtype"},
    "lmdb": {"dtype"},
    "table": {"fps", "unit", "source-fps", "time", "columns", "dtype"},
}


def _check_options(kind: str, given: Sequence[str]) -> None:
    from fact_clip.core import InputError

    for option in given:
        if option not in OPTIONS_OF[kind]:
            kinds = ", ".join(name for name, options in OPTIONS_OF.items() if option in options)
            raise InputError(
                f"--{option}", f"with --from {kind}, which does not read it", f"--from {kinds}", "leave it out"
            )


def _report_labels(found: Mapping[str, Frames], out: Path, as_json: bool) -> None:
    """What was written for each video, and what was decided on the way."""
    from fact_clip.core import Segmentation

    counts = {
        name: (len(each.labels), len(Segmentation.from_frames(each.labels)), each.gaps, each.contested, each.lost)
        for name, each in found.items()
    }
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    if as_json:
        videos = {name: dict(zip(COUNTS, row, strict=True)) for name, row in counts.items()}
        print(json.dumps({"videos": videos, "total": dict(zip(COUNTS, total, strict=True))}))
    else:
        rows = [[name, *map(str, row)] for name, row in [*counts.items(), ("total", total)]]
        print(table(["video", *COUNTS], rows, right=range(1, 6)))
    _, _, gaps, contested, lost = total
    filled = ", ".join(repr(name) for name in dict.fromkeys(each.background for each in found.values() if each.gaps))
    notes = [f"{gaps} frames of no segment are {filled}"] if gaps else []
    notes += [f"{contested} frames where segments overlap went to the one that started last"] if contested else []
    notes += [f"{lost} segments without a frame of their own are left out"] if lost else []
    print(f"written: {len(found)} videos in {out}; " + "; ".join(notes or ["no gaps, no overlaps"]), file=sys.stderr)


def _convert_tables(
    files: list[Path], out: Path, how: Sampling, dtype: Literal["float16", "float32"] | None, as_json: bool
) -> None:
    from fact_clip.datasets.tables import convert_tables

    found = {name: asdict(one) for name, one in convert_tables(files, out, how, dtype).items()}
    keys = ("rows", "frames", "columns", "interpolated")
    rows = [[name, *(str(one[key]) for key in keys)] for name, one in found.items()]
    print(json.dumps(found) if as_json else table(["video", *keys], rows, right=range(1, 5)))
    between = sum(one["interpolated"] for one in found.values())
    note = f"; {between} frames without a row lie on the line between their neighbours" if between else ""
    rate = "as the rows are" if how.fps is None else f"{how.fps:g} frames per second"
    print(f"written: {len(found)} files in {out / 'features'}, {rate}{note}", file=sys.stderr)


MINUTES = 10.0


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data set in the common layout.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Recipe to write, a new file; unset: DIR/recipe.yaml.")] = None,
    background: Annotated[
        str | None, typer.Option(help='Classes that mean no action, "a, b"; unset: guessed from their names.')
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Feature rows per second.")] = None,
    layout: Annotated[
        Layout | None, typer.Option(help="Features with time or channels first; unset: told by the labels.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to train on; where there is no split 1, the first.")] = "1",
    grammar: Annotated[
        str | None,
        typer.Option(help='How names are read, as "{verb} {object} [with {tool}]"; unset: guessed if all names fit.'),
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(help='Labels that stand for no class, "a, b": their frames are ignored.')
    ] = None,
    minutes: Annotated[float, typer.Option(help="The most that a training may take, on one core.", min=0.01)] = MINUTES,
) -> None:
    """Write a recipe for your own data set.

    Orientation, stride, context, sizes and epochs follow from what the training videos hold, and the parts of names are
    read; guesses are marked as such. Some steps are trained to tell how long the training will take; where that is
    longer than --minutes, the recipe has fewer epochs.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.config import DataConfig, checked
    from fact_clip.core import InputError
    from fact_clip.core.files import whole_file
    from fact_clip.datasets.recipe import suggest

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"the ending {path.suffix!r}", "a name that ends in .yaml")
    if path.exists():
        raise InputError(path, "already there", "a new file", "remove it, or name another with --out")
    known = None if background is None else tuple(names(background, "--background") or ())
    given = {"root": str(folder), "background": known, "fps": fps, "layout": layout, "split": split}
    given |= {"grammar": grammar, "unlabelled": tuple(names(unlabelled, "--unlabelled") or ())}
    found = suggest(checked(DataConfig, given, "data init"))
    found, time = _timed(found, minutes)
    settings = tuple(
        (key, _from(path, str(value)) if key == "data.root" else value, why) for key, value, why in found.settings
    )
    found = replace(found, settings=settings)
    with whole_file(path) as unfinished:
        unfinished.write_text(_recipe(folder, found, time), encoding="utf-8")
    print(f"{path}: {found.videos} videos, {found.measured.classes} classes")
    for key, value, reason in found.settings:
        print(f"  {key} = {json.dumps(value)}" + (f"  ({reason})" if reason else ""))
    print(_readings(found.vocabulary))
    for note in (*found.notes, *found.proposals):
        print(f"note: {note}")
    print(time)
    print(f"train it with: {shlex.join(['fact-clip', 'train', str(path), '--out', 'runs/mine'])}")


def _timed(found: Suggestion, minutes: float) -> tuple[Suggestion, str]:
    """A suggestion with no more epochs than the time allows, and what the training will take, in words."""
    from fact_clip.config import Config, read_recipe, set_key
    from fact_clip.training.estimate import estimate

    tree = read_recipe(found.base)
    for key, value, _ in found.settings:
        set_key(tree, key.split("."), value, key)
    config = Config.from_tree(tree, "the recipe")
    took = estimate(config)
    epochs = took.epochs_in(60 * minutes, config)
    if epochs < config.train.epochs:
        why = f"as many as {minutes:g} minutes allow; {config.train.epochs} would be better"
        found = found.with_epochs(epochs, why)
    text = f"training will take about {_duration(took.total(epochs, config))} of one core of this machine"
    return found, f"{text}: {took.epoch:.2f} s an epoch, by steps on {_number(took.videos, 'video')}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} minutes"


MOST_READ = 12  # names whose parts are printed


def _readings(vocabulary: Vocabulary) -> str:
    """How the first names are read, as a table; names with the most parts first."""
    if len(vocabulary.slots) < 2:
        return "names are read as whole phrases; data.grammar or ROOT/factors.csv gives them parts"
    rows = [
        [name, *(factor or "-" for factor in own)] for name, own in zip(vocabulary, vocabulary.factors, strict=True)
    ]
    actions = sorted((row for row in rows if row[0] not in vocabulary.background), key=lambda row: row.count("-"))
    more = [f"and {len(actions) - MOST_READ} more names"] if len(actions) > MOST_READ else []
    return "\n".join([table(["name", *vocabulary.slots], actions[:MOST_READ]), *more])


def _from(recipe: Path, root: str) -> str:
    """The data's folder as its recipe names it: from the recipe's folder if it lies there, so that both can move."""
    here = recipe.parent.resolve()
    return str(Path(root).relative_to(here)) if Path(root).is_relative_to(here) else root


def _recipe(folder: Path, found: Suggestion, time: str) -> str:
    """The recipe as YAML, each setting with its reason as a comment."""
    counts = f"{found.videos} videos, {found.measured.classes} classes"
    lines = [f"# {folder.resolve().name}: {counts}. Measured by fact-clip data init.", f"# {found.measured}"]
    lines += [f"# {time[0].upper()}{time[1:]}.", f"base: {found.base}"]
    open_groups: list[str] = []
    for key, value, reason in found.settings:  # group by group
        *groups, last = key.split(".")
        new = [depth for depth in range(len(groups)) if open_groups[: depth + 1] != groups[: depth + 1]]
        lines += [f"{'  ' * depth}{groups[depth]}:" for depth in new]
        open_groups = groups
        # JSON is YAML, and it quotes what YAML would read as something else.
        text = f"{'  ' * len(groups)}{last}: {json.dumps(value, ensure_ascii=False)}"
        lines.append(f"{text}  # {reason}" if reason else text)
    return "\n".join([*lines, *(f"# {proposal}" for proposal in found.proposals)]) + "\n"


MOST_FREQUENT = 15  # transitions that are printed; --json has all


def summary(data: DataSet, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Count what a data set holds.

    Videos, frames, segments, durations, how balanced the classes are, what follows what, and how many action tokens
    fit. Reads the labels of all splits.

    \b
    Example:
      fact-clip data summary kscgr data.root=../shared/data/kscgr
    """
    from fact_clip.datasets.describe import summarize

    config = data_config(data, overrides)
    with progress("counting") as report:
        result = summarize(config, report)
    print(json.dumps(result, indent=1) if as_json else _as_text(result))


def _as_text(found: Mapping[str, Any]) -> str:
    fps, balance, suggested = found["fps"], found["balance"], found["suggested"]
    frequent, rest = found["transitions"][:MOST_FREQUENT], found["transitions"][MOST_FREQUENT:]
    rows = [[row["from"], row["to"], str(row["count"]), f"{row['share']:.0%}"] for row in frequent]
    lines = [
        f"{found['root']}: {found['videos']} videos, {found['classes']} classes, {len(found['splits'])} splits",
        f"frames     {found['frames']:,}; per video {_spread(found['video_frames'], fps)}"
        + (f"; {found['unlabelled_frames']:,} unlabelled" if found["unlabelled_frames"] else ""),
        f"segments   {found['segments']:,}; frames each {_spread(found['segment_frames'], fps)}",
        f"transcript {_spread(found['transcript_length'], None)} segments per video",
        f"balance    evenness {balance['evenness']:.2f} of 1; most frequent class over least frequent, in frames:"
        f" {balance['most_over_least']:.0f}; classes without frames: {balance['classes_without_frames']}",
        f"background {', '.join(found['background']) or 'none known'}",
        f"suggested  model.tokens={suggested['tokens']}; loss.null_weight=-1 is then {suggested['null_weight']:.4f}",
        "",
        _classes(found["per_class"], fps),
        "",
        table(["from", "to", "times", "share"], rows, right=(2, 3)),
    ]
    return "\n".join(lines + ([f"and {len(rest)} more transitions (--json)"] if rest else []))


def _classes(rows: list[Mapping[str, Any]], fps: float | None) -> str:
    unit = "frames" if fps is None else "seconds"
    header = [*("class", "videos", "frames", "share", "segments", "per video"), f"mean {unit}"]
    header += ["least", "most", "transcript"]
    cells = []
    for row in rows:
        times = [row["segment_frames"][key] / (fps or 1) for key in ("mean", "least", "most")]
        figures = [f"{row['share']:.1%}", str(row["segments"]), f"{row['segments_per_video']:.1f}"]
        figures += [f"{time:.0f}" if fps is None else f"{time:.1f}" for time in times]
        figures.append(f"{row['transcript_length']['mean']:.1f}")
        cells.append([row["name"], str(row["videos"]), str(row["frames"]), *figures])
    return table(header, cells, right=range(1, len(header)))


def _spread(values: Mapping[str, float], fps: float | None) -> str:
    text = f"mean {values['mean']:.1f}, median {values['median']:g}, {values['least']} to {values['most']}"
    return text if fps is None else f"{text} (mean {values['mean'] / fps:.1f} s at {fps:g} per second)"


def holdout(
    data: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR|FILE", help="A recipe or data set by name, the folder of a data set, or a mapping.txt."
        ),
    ],
    overrides: Overrides = None,
    unseen: Annotated[str | None, typer.Option(help='Names of unseen classes: "cut ham, hold egg".')] = None,
    validation_unseen: Annotated[
        str | None, typer.Option(help="With --unseen: names of further classes, by which settings are chosen.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A choice to look at: JSON, or one unseen name per line.")] = None,
    count: Annotated[int | None, typer.Option(help="Choose this many unseen classes.", min=1)] = None,
    validation_count: Annotated[
        int, typer.Option(help="With --count: and this many validation-unseen ones.", min=0)
    ] = 0,
    min_support: Annotated[
        int, typer.Option(help="With --count: seen classes that must have each factor of a chosen class.", min=1)
    ] = 1,
    seed: Annotated[int, typer.Option(help="With --count: breaks ties.")] = 0,
    mode: Annotated[
        Literal["mask", "drop"], typer.Option(help="In training, mask frames of these classes or drop their videos.")
    ] = "mask",
    out: Annotated[Path | None, typer.Option(help="JSON to write, for data.holdout=FILE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose classes to hold out, or look at a choice.

    Without a choice: ranks the classes by how many others have their rarest factor. With --unseen, --file or --count:
    says whether the choice as a whole is compositional, which factors no seen class has, and what remains for training
    if unseen frames are masked or their videos dropped. A mapping.txt has names only; data.name=NAME says how to read
    them, and so does data.grammar=PATTERN. The folder of an own data set is read as its recipe.yaml says; without one
    the grammar is guessed as init does.

    \b
    Example:
      fact-clip data holdout kscgr data.root=../shared/data/kscgr --count 6 --validation-count 3 --out mine.json
      fact-clip data holdout mapping.txt data.name=havid_view0_lh_pt --unseen "sntft, sntn5"
    """
    from fact_clip.core import InputError
    from fact_clip.datasets.holdout import Holdout

    if sum(way is not None for way in (unseen, file, count)) > 1:
        raise InputError("data holdout", "several of --unseen, --file and --count", "one of them")
    if unseen is None and validation_unseen is not None:
        raise InputError("--validation-unseen", "without --unseen", "both")
    if count is None and (validation_count or min_support > 1):
        raise InputError("--validation-count" if validation_count else "--min-support", "without --count", "both")
    if out is not None and out.suffix != ".json":
        raise InputError("--out", f"{out}", "a name that ends in .json")
    source, chosen = _open(data, overrides), None
    if unseen is not None:
        chosen = Holdout(
            tuple(names(unseen, "--unseen") or ()),
            tuple(names(validation_unseen, "--validation-unseen") or ()),
            mode,
        )
    elif file is not None:
        inside = None if source.dataset is None else source.dataset.root / file  # as data.holdout is looked for
        chosen = Holdout.read(inside if inside is not None and inside.is_file() else file)
    elif count is not None:
        chosen = source.choose(count, validation_count, min_support=min_support, seed=seed, mode=mode)
    elif out is not None:
        raise InputError("--out", "nothing chosen", "--unseen, --file or --count with it")
    result = {"ranking": _ranking(source, seed)} if chosen is None else description(source, chosen)
    written = None if chosen is None or out is None else chosen.save_json(out)
    for guess in source.guesses:
        print(guess, file=sys.stderr)
    if as_json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    elif chosen is None:
        vocabulary, keys = source.vocabulary, ["class", "support", "rarest factor", "training frames"]
        rows = [
            [row["name"], str(row["support"]), _factor(row["rarest"]), _count(row["frames"])]
            for row in result["ranking"]
        ]
        head = f"{len(vocabulary)} classes with {', '.join(vocabulary.slots)}"
        print(f"{head}; support: other classes with the rarest factor")
        print(table(keys, rows, right=(1, 3)))
    else:
        print(description_text(result))
    if written is not None:
        print(f"written: {written}; train with data.holdout={out}", file=sys.stderr)


@dataclass(frozen=True)
class Source:
    """Classes, and the data set with nothing held out; only the classes where there are only names."""

    vocabulary: Vocabulary
    dataset: Dataset | None = None
    counts: NDArray[Any] | None = None  # training frames of each class, (C,)
    tested: list[str] | None = None  # classes that occur in the test videos
    guesses: tuple[str, ...] = ()  # what was read off the names, in words

    def choose(self, count: int, validation_count: int, **rules: Any) -> Holdout:
        """Classes that stay compositional when they are held out together; `rules` as of `holdout.select`."""
        from fact_clip.datasets.holdout import select

        rules |= {"counts": self.counts, "candidates": self.tested}
        return select(self.vocabulary, count, validation_count, **rules)


def _open(data: str, overrides: list[str] | None) -> Source:
    from fact_clip.config import Config
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.layout import find_benchmark, find_root, vocabulary_of

    if Path(data).is_file() and Path(data).suffix not in (".yaml", ".yml"):
        config = Config.load("folder", overrides or []).data
        listed = tuple(Vocabulary.from_mapping(data))
        config, guesses = _with_guesses(config, listed)
        background = tuple(
            str(name) for name in config.background or find_benchmark(config.name).background if name in listed
        )
        vocabulary = vocabulary_of(config.model_copy(update={"background": background}), Path(data))
        return Source(vocabulary, guesses=guesses)
    config = data_config(data, overrides)
    root = find_root(config)
    listed = tuple(Vocabulary.from_mapping(root / find_benchmark(config.name).mapping))
    config, guesses = _with_guesses(config, listed, root)
    return replace(source_of(config), guesses=guesses)


def _with_guesses(
    config: DataConfig, listed: Sequence[str], root: Path | None = None
) -> tuple[DataConfig, tuple[str, ...]]:
    """Settings of an own data set with what its class names tell, as `init` guesses it, and that in words."""
    from fact_clip.datasets.describe import guess_names

    if config.name != "folder":
        return config, ()
    guessed, _ = guess_names(config, listed, root)
    new = {key: getattr(guessed, key) for key in ("background", "unlabelled", "grammar")}
    told = (
        f"guessed by the names: data.{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in new.items()
        if value and value != getattr(config, key)
    )
    return guessed, tuple(told)


def source_of(config: DataConfig) -> Source:
    """A data set with nothing held out; of all splits the first."""
    from fact_clip.datasets.dataset import Dataset

    split = Dataset.splits(config)[0] if config.split == "all" else config.split
    dataset = Dataset(config.model_copy(update={"split": split}))
    counts = dataset.class_counts(dataset.learning)
    tests = dataset.class_counts(dataset.test) if dataset.test else counts
    tested = [name for name, frames in zip(dataset.vocabulary, tests.tolist(), strict=True) if frames]
    return Source(dataset.vocabulary, dataset, counts, tested)


def _frames(source: Source, counts: NDArray[Any] | None) -> dict[str, int]:
    return {} if counts is None else dict(zip(source.vocabulary, counts.tolist(), strict=True))


def _ranking(source: Source, seed: int) -> list[dict[str, Any]]:
    from fact_clip.datasets.holdout import rank

    frames = _frames(source, source.counts)
    return [
        {"name": one.name, "support": one.classes, "rarest": one.rarest, "frames": frames.get(one.name)}
        for one in rank(source.vocabulary, (), source.counts, seed)
    ]


def description(source: Source, chosen: Holdout) -> dict[str, Any]:
    """A choice: whether it is compositional, each class with its frames and new factors, and what remains."""
    from fact_clip.datasets.holdout import levels

    dataset = source.dataset
    counts = source.counts if dataset is None else dataset.class_counts(dataset.videos_of(chosen)[0])
    frames, found = _frames(source, counts), levels(source.vocabulary, chosen, counts)
    lost = list(dict.fromkeys(factor for level in found.values() for factor in level.new))
    classes = []
    for name, level in found.items():
        group = "unseen" if name in chosen.unseen else "validation-unseen"
        row = {"name": name, "group": group, "frames": frames.get(name), "level": level.kind}
        classes.append({**row, "new": [list(factor) for factor in level.new]})
    return {
        "holdout": chosen.to_dict(),
        "compositional": not lost,
        "lost_factors": [list(factor) for factor in lost],
        "classes": classes,
        "remains": None if dataset is None else dataset.remaining(chosen),
    }


def description_text(found: Mapping[str, Any]) -> str:
    """A `description` as tables."""
    rows = [
        [row["name"], row["group"], _count(row["frames"]), row["level"], ", ".join(map(_factor, row["new"]))]
        for row in found["classes"]
    ]
    parts = [table(["class", "group", "training frames", "level", "factors that no seen class has"], rows, right=(2,))]
    if found["compositional"]:
        parts.append("compositional as a whole: a seen class has every factor of every class")
    else:
        parts.append(f"NOT compositional as a whole; lost: {', '.join(map(_factor, found['lost_factors']))}")
    if found["remains"] is not None:
        keys = ("videos", "frames", "segments", "classes")
        remains = [[way, *(f"{row[key]:,}" for key in keys)] for way, row in found["remains"].items()]
        parts.append(table(["remains for training", *keys], remains, right=range(1, 5)))
    return "\n\n".join(parts)


def _count(frames: int | None) -> str:
    return "-" if frames is None else str(frames)


def _factor(pair: Sequence[str] | None) -> str:
    return "none" if pair is None else f"{pair[0]} {pair[1]}"
