"""fact-clip data: check, init, summary, sample and holdout."""

from __future__ import annotations

import json
import logging
import os
import shlex
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fact_clip.cli.console import note, print_result, progress, table
from fact_clip.cli.options import (
    AsJson,
    DataSet,
    Layout,
    Overrides,
    check_new,
    data_config,
    names,
    option,
)
from fact_clip.core.errors import CommandOption, InputError
from fact_clip.core.paths import whole_file
from fact_clip.core.progress import paced

if TYPE_CHECKING:
    from fact_clip.core import Vocabulary
    from fact_clip.datasets.describe import Proposal

logger = logging.getLogger(__name__)


def check(
    data: DataSet,
    overrides: Overrides = None,
    full: Annotated[
        bool, option("Look for NaN in every feature value, even if that takes minutes.", "--full")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for faults in a data set: one line each.

    Reads the mapping, every split (or the one of data.split=NAME), labels and features; the folder of an own data set
    as its recipe.yaml says, if there is one. The exit code is 1 if there is an error. Notes, such as a class that no
    split trains, do not count. Three notes and 100 errors of a kind are printed; if nothing is found, stdout is empty.

    \b
    Example:
      fact-clip data check ../shared/data/kscgr data.name=kscgr
    """
    from fact_clip.datasets.inspect import Inspection

    config = data_config(data, overrides)
    names_split = (
        any(override.startswith("data.split=") for override in overrides or [])
        and config.split != "all"
    )
    with progress("reading features") as report:
        inspection = Inspection(
            config, str(config.split) if names_split else None, full=full, progress=report
        )
        findings = sorted(inspection, key=lambda finding: finding.is_note)
    rows = [
        {
            "severity": "note" if finding.is_note else "error",
            "kind": finding.kind,
            "where": str(finding.error.where),
            "found": finding.error.problem,
            "expected": "",  # a part of "found" since 0.3
            "todo": finding.error.fix,
        }
        for finding in findings
    ]
    n_notes = sum(finding.is_note for finding in findings)
    n_errors = len(findings) - n_notes
    n_videos, n_splits, n_classes = map(
        len, (inspection.videos, inspection.splits, inspection.class_names)
    )
    if as_json:
        facts = {
            "root": str(inspection.root),
            "videos": n_videos,
            "splits": list(inspection.splits),
        }
        facts |= {"classes": n_classes, "columns": inspection.columns}
        facts |= {
            "feature_values_looked_at": inspection.checked_share,
            "errors": n_errors,
            "notes": n_notes,
        }
        print(json.dumps(facts | {"findings": rows}, indent=2))
    else:
        numbers = Counter[str]()
        for finding, row in zip(findings, rows, strict=True):
            kind = f"{row['severity']}: {row['kind']}"
            numbers[kind] += 1
            if numbers[kind] <= SHOWN[row["severity"]]:
                print(f"{kind}: {finding.error}")
        for kind, count in numbers.items():
            if count > (shown := SHOWN[kind.partition(":")[0]]):
                print(f"{kind}: and {count - shown} more (--json has all)")
        columns = "" if inspection.columns is None else f", {inspection.columns} columns"
        end = f"{n_errors} errors, {n_notes} notes" if findings else "no fault found"
        if inspection.checked_share < 1:
            end += f" ({inspection.checked_share:.1%} of the feature values were read; --full reads all)"
        note(
            f"{inspection.root}: {n_videos} videos, {n_splits} splits, {n_classes} classes{columns}; {end}"
        )
    if n_errors:
        raise typer.Exit(1)


ROOT = "data.root"

_OUT = "Recipe to write, a new file; unset: DIR/recipe.yaml."
_BACKGROUND = 'Classes that mean no action, "a, b"; unset: guessed from their names.'
_LAYOUT = "Features with time or channels first; unset: told by the labels."
_SPLIT = "Split to train on; where there is no split 1, the first."
_GRAMMAR = (
    'How names are read: "{verb} {object} [with {tool}]", or english; unset: guessed by the names.'
)
_UNLABELLED = 'Labels that stand for no class, "a, b": their frames are ignored.'
_MINUTES = "How long a training may take on one core; more time, more models."


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Data set in the common layout.")],
    *,
    out: Annotated[Path | None, option(_OUT)] = None,
    background: Annotated[str | None, option(_BACKGROUND)] = None,
    fps: Annotated[float | None, option("Feature rows per second.")] = None,
    layout: Annotated[Layout, option(_LAYOUT)] = None,
    split: Annotated[str, option(_SPLIT)] = "1",
    grammar: Annotated[str | None, option(_GRAMMAR)] = None,
    unlabelled: Annotated[str | None, option(_UNLABELLED)] = None,
    minutes: Annotated[float, option(_MINUTES, min=0.01)] = 1.5,
    overwrite: Annotated[bool, option("Replace the recipe that is there.", "--overwrite")] = False,
) -> None:
    """Write a recipe for your own data set.

    Orientation, stride, context, sizes, regularisation and validation follow from what the training videos hold, and
    the parts of names are read; guesses are marked as such. Some steps are trained, and their time says how many epochs
    --minutes allow, and of how many models.

    \b
    Example:
      fact-clip data init my_data --fps 15 --background "no action"
    """
    from fact_clip.config import DataConfig, checked
    from fact_clip.datasets.describe import propose
    from fact_clip.training.estimate import with_time

    path = folder / "recipe.yaml" if out is None else out
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(path, f"the ending of a recipe is .yaml, not {path.suffix!r}")
    if path.exists() and not overwrite:
        raise InputError(
            path,
            "it exists already",
            "replace it with --overwrite, or name another file with --out",
        )
    background_names = (
        None if background is None else tuple(names(background, "--background") or ())
    )
    values = {
        "root": str(folder),
        "background": background_names,
        "fps": fps,
        "layout": layout,
        "split": split,
    }
    values |= {"grammar": grammar, "unlabelled": tuple(names(unlabelled, "--unlabelled") or ())}
    proposal = propose(checked(DataConfig, values, "data init"))
    proposal, time = with_time(proposal, minutes)
    parent, root = (
        path.parent.resolve(),
        Path(str(next(value for key, value, _ in proposal.settings if key == ROOT))),
    )
    if root.is_relative_to(parent):  # so that both can move
        name = str(root.relative_to(parent))
        settings = (
            (key, name if key == ROOT else value, reason)
            for key, value, reason in proposal.settings
        )
        proposal = replace(proposal, settings=tuple(settings))
    with whole_file(path) as unfinished:
        unfinished.write_text(_recipe(folder, proposal, time), encoding="utf-8")
    print(
        f"{path}: {proposal.videos} videos, {proposal.measures.classes} classes\n  {proposal.measures}"
    )
    for key, value, reason in proposal.settings:
        print(f"  {key} = {json.dumps(value)}" + (f"  ({reason})" if reason else ""))
    print(_readings(proposal.vocabulary))
    for text in proposal.notes[: SHOWN["note"]]:
        print(f"note: {text}")
    print(time)
    print(f"train it with: {shlex.join(['fact-clip', 'train', str(path), '--out', 'runs/mine'])}")


SHOWN_NAMES = 3  # whose parts are printed
SHOWN = {"note": 3, "error": 100}  # of a kind


def _readings(vocabulary: Vocabulary) -> str:
    """Return how the first names are read, as a table; names with the most parts first."""
    if len(vocabulary.slots) < 2:
        return "names are read as whole phrases; data.grammar or ROOT/factors.csv gives them parts"
    rows = [
        {"name": name, **dict(zip(vocabulary.slots, parts, strict=True))}
        for name, parts in zip(vocabulary, vocabulary.factors, strict=True)
        if name not in vocabulary.background
    ]
    rows.sort(key=lambda row: list(row.values()).count(None))
    more = [f"and {len(rows) - SHOWN_NAMES} more names"] if len(rows) > SHOWN_NAMES else []
    return "\n".join([table(rows[:SHOWN_NAMES]), *more])


def _recipe(folder: Path, proposal: Proposal, time: str) -> str:
    counts = f"{proposal.videos} videos, {proposal.measures.classes} classes"
    lines = [
        f"# {folder.resolve().name}: {counts}. Measured by fact-clip data init.",
        f"# {proposal.measures}",
    ]
    lines += [f"# {time[0].upper()}{time[1:]}.", f"base: {proposal.base}"]
    open_groups: list[str] = []
    for key, value, reason in proposal.settings:  # group by group
        *groups, last = key.split(".")
        new = [
            depth for depth in range(len(groups)) if open_groups[: depth + 1] != groups[: depth + 1]
        ]
        lines += [f"{'  ' * depth}{groups[depth]}:" for depth in new]
        open_groups = groups
        # JSON is YAML, and it quotes what YAML would read as something else.
        text = f"{'  ' * len(groups)}{last}: {json.dumps(value, ensure_ascii=False)}"
        lines.append(f"{text}  # {reason}" if reason else text)
    return "\n".join([*lines, *(f"# {note}" for note in proposal.notes[: SHOWN["note"]])]) + "\n"


SHOWN_TRANSITIONS = 15  # --json has all


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
    print_result(result, _as_text(result), as_json)


def _as_text(summary: Mapping[str, Any]) -> str:
    balance, suggested, rate = summary["balance"], summary["suggested"], summary["fps"]
    counts = (
        f"{summary['videos']} videos, {summary['classes']} classes, {len(summary['splits'])} splits"
    )
    frames = f"{summary['frames']} frames, {summary['unlabelled_frames']} unlabelled, {summary['segments']} segments"
    lengths = {"frames of a video": "video_frames", "frames of a segment": "segment_frames"}
    lengths["segments of a video"] = "transcript_length"
    classes = [
        {
            "class": row["name"],
            "videos": row["videos"],
            "frames": row["frames"],
            "share, %": 100 * row["share"],
        }
        | {"segments": row["segments"], "per video": row["segments_per_video"]}
        | {f"{key} frames": value for key, value in row["segment_frames"].items()}
        for row in summary["per_class"]
    ]
    transitions = [
        {
            "from": row["from"],
            "to": row["to"],
            "times": row["count"],
            "share, %": 100 * row["share"],
        }
        for row in summary["transitions"][:SHOWN_TRANSITIONS]
    ]
    return "\n".join(
        [
            f"{summary['root']}: {counts}",
            frames + (f", {rate:g} frames per second" if rate else ""),
            table([{"": name, **summary[key]} for name, key in lengths.items()]),
            f"evenness of the classes {balance['evenness']:.2f} of 1; most frequent over least frequent, in frames:"
            f" {balance['most_over_least']:.0f}; without frames: {balance['classes_without_frames']}",
            f"background: {', '.join(summary['background']) or 'none known'}",
            f"suggested: model.tokens={suggested['tokens']}; loss.null_weight=-1 is {suggested['null_weight']:.4f}",
            f"\n{table(classes)}\n\n{table(transitions)}\n(--json has all transitions)",
        ]
    )


FPS = 15.0


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, a new one.")],
    videos: Annotated[
        int, option("Number of videos; six people take turns.", min=6, max=10_000)
    ] = 24,
) -> None:
    """Write a data set to try things on: synthetic videos, features, labels and splits.

    The workbench: people assemble parts by hand, 23 actions, three splits by person, and classes to hold out in
    zero_shot/A.json. Its figures say nothing about real video. The videos in DIR/videos show the same actions; they
    need the extra 'video', and without it features and labels are written alone.

    \b
    Example:
      fact-clip data sample sample
    """
    from fact_clip.datasets.synthetic import write_workbench

    check_new(folder)
    write_workbench(folder, videos=videos, fps=FPS)
    count = _write_videos(folder)
    content = f"{count} videos in {folder}/videos, with" if count else f"{videos} videos as"
    print(
        f"{folder}: SYNTHETIC data, {content} features at {FPS:g} rows per second, labels and 3 splits"
    )
    print(f"check it with: fact-clip data check {shlex.quote(str(folder))}")
    print(
        f'write a recipe with: fact-clip data init {shlex.quote(str(folder))} --fps {FPS:g} --background "no action"'
    )


def _write_videos(folder: Path) -> int:
    """Draw the videos of the labels; return their number, 0 without the package that writes them."""
    from fact_clip.datasets.synthetic import draw_actions
    from fact_clip.video.overlay import can_write, write_video

    if not can_write():
        note("no videos are written: the package av is missing; pip install 'fact-clip[video]'")
        return 0
    labels = sorted((folder / "groundTruth").glob("*.txt"))
    with progress("drawing") as report:
        for number, path in enumerate(paced(labels, "drawing", logger, report)):
            actions = path.read_text(encoding="utf-8").splitlines()
            write_video(
                folder / "videos" / f"{path.stem}.mp4", draw_actions(actions, FPS, number), FPS
            )
    return len(labels)


_UNSEEN = 'Names of unseen classes: "cut ham, hold egg".'
_VALIDATION_UNSEEN = "With --unseen: names of further classes, by which settings are chosen."
_ONLY_IN = "Actions that occur only in videos whose names have this regular expression, which are tests alone."
_SUPPORT = "With --count: seen classes that must have each factor of a chosen class."
_ANY = "With --count: also classes with a factor that no seen class has."
_MODE = "In training, mask frames of these classes or drop their videos."


def holdout(
    data: DataSet,
    overrides: Overrides = None,
    unseen: Annotated[str | None, option(_UNSEEN)] = None,
    validation_unseen: Annotated[str | None, option(_VALIDATION_UNSEEN)] = None,
    file: Annotated[
        Path | None, option("A choice to look at: JSON, or one unseen name per line.")
    ] = None,
    only_in: Annotated[str | None, option(_ONLY_IN)] = None,
    count: Annotated[int | None, option("Choose this many unseen classes.", min=1)] = None,
    validation_count: Annotated[
        int, option("With --count: and this many validation-unseen ones.", min=0)
    ] = 0,
    min_support: Annotated[int, option(_SUPPORT, min=1)] = 1,
    any_class: Annotated[bool, option(_ANY, "--any")] = False,
    seed: Annotated[int, option("With --count: breaks ties.")] = 0,
    mode: Annotated[Literal["mask", "drop"], option(_MODE)] = "mask",
    out: Annotated[Path | None, option("JSON to write, for data.holdout=FILE.")] = None,
    as_json: AsJson = False,
) -> None:
    """Choose classes to hold out, or look at a choice.

    Without a choice: ranks the classes by how many others have their rarest factor, well filled with ten training
    frames in three segments. With one: says whether it is compositional as a whole, which factors no seen class has, or
    a single one, and what remains for training if unseen frames are masked or their videos dropped. The folder of an
    own data set is read as its recipe.yaml says; without one the grammar is guessed as init does.

    \b
    Example:
      fact-clip data holdout kscgr data.root=../shared/data/kscgr --count 6 --validation-count 3 --out mine.json
      fact-clip data holdout havid_view0_lh_pt data.root=../shared/data/havid --unseen "sntft, sntn5"
    """
    is_chosen = [way is not None for way in (unseen, file, only_in, count)]
    if sum(is_chosen) > 1:
        raise InputError("data holdout", "give only one of --unseen, --file, --only-in and --count")
    if validation_unseen is not None and unseen is None:
        raise InputError(
            CommandOption("--validation-unseen"), "it needs --unseen", "give --unseen too"
        )
    if count is None and (validation_count or min_support > 1 or any_class):
        name = (
            "--validation-count" if validation_count else "--any" if any_class else "--min-support"
        )
        raise InputError(CommandOption(name), "it needs --count", "give --count too")
    if any_class and min_support > 1:
        raise InputError(
            CommandOption("--any"), "it takes classes without support", "leave out --min-support"
        )
    if out is not None and (
        out.suffix != ".json" or os.path.lexists(out)
    ):  # a run may name one that is there
        raise InputError(
            out, "it exists already, or does not end in .json", "name a new file with --out"
        )
    if out is not None and not any(is_chosen):
        raise InputError(
            CommandOption("--out"),
            "nothing is chosen",
            "give --unseen, --file, --only-in or --count too",
        )
    from fact_clip.cli import holdout as choices
    from fact_clip.datasets.holdout import Holdout

    dataset, guesses = choices.open_with_guesses(data_config(data, overrides))
    if unseen is not None:
        unseen_names, validation_names = (
            names(unseen, "--unseen"),
            names(validation_unseen, "--validation-unseen"),
        )
        chosen = Holdout(tuple(unseen_names or ()), tuple(validation_names or ()), mode)
    elif file is not None:
        in_root = (dataset.root or Path()) / file  # as data.holdout is looked for
        chosen = Holdout.read(in_root if in_root.is_file() else file)
    elif only_in is not None:
        chosen = choices.of_videos(dataset, only_in, mode)
    elif count is not None:
        support = 0 if any_class else min_support
        chosen = choices.choose(
            dataset, count, validation_count, min_support=support, seed=seed, mode=mode
        )
    else:
        note(*guesses)
        rows, text = choices.ranking(dataset, seed)
        print_result({"ranking": rows}, text, as_json)
        return
    result, text = choices.description(dataset, chosen)
    if any_class and not result["compositional"]:
        lost = ", ".join(map(" ".join, result["lost_factors"]))
        warnings.warn(
            f"no seen class has {lost}: these words are known by the text encoder alone",
            stacklevel=2,
        )
    note(*guesses)
    print_result(result, text, as_json)
    if out is not None:
        note(f"written: {chosen.save_json(out)}; train with data.holdout={out}")
