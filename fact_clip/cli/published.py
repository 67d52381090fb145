"""The command lines of the published code, over what is here: what the files of ``scripts/`` call."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from fact_clip.cli import answered, published_runs
from fact_clip.core.errors import InputError


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(self.prog, message, todo="see --help")


def _script(what: str, add: Callable[[ArgumentParser], None], run: Callable[[Namespace], None]) -> Callable[..., int]:
    """A script: its arguments in, its exit code out, as `fact_clip.cli.main`."""

    def script(argv: Sequence[str] | None = None) -> int:
        parser = _Parser(description=what)
        add(parser)
        return answered(lambda: run(parser.parse_args(argv)))

    return script


def _add_settings(parser: ArgumentParser, required: bool = False, default: Sequence[str] = ()) -> None:
    files = "recipes or published YAML files, by path or name, merged in order"
    parser.add_argument("--cfg", nargs="+", required=required, default=list(default), metavar="FILE", help=files)
    pairs = "KEY VALUE KEY VALUE ..., published keys or those of fact_clip/config.py"
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY VALUE", help=pairs)


def _add_checkpoint(parser: ArgumentParser, required: bool) -> None:
    where = "a run folder, its ckpts/best.net, or published weights with --cfg"
    missing = "" if required else "; without it the newest run in logs/"
    parser.add_argument(
        "--ckpt", "--checkpoint_path", type=Path, required=required, metavar="FILE", help=where + missing
    )
    parser.add_argument("--part", default="test", choices=("test", "validation", "train"), help="which videos")
    parser.add_argument("--output_dir", type=Path, metavar="DIR", help="evaluation.json goes here as well")
    _add_settings(parser)


# --- choosing classes, pictures ---------------------------------------------------------------------


def _add_select(parser: ArgumentParser) -> None:
    _add_settings(parser, default=("havid_view0_lh_pt",))
    parser.add_argument("--number", type=int, default=10, metavar="N", help="unseen classes")
    parser.add_argument("--validation_number", type=int, default=0, metavar="N", help="validation-unseen classes")
    parser.add_argument("--min_support", type=int, default=1, metavar="N", help="trained classes that show each word")
    parser.add_argument("--seed", type=int, default=0, help="breaks ties")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON for data.holdout; without it to the screen")


def _select(given: Namespace) -> None:
    import json

    import numpy as np

    from fact_clip.cli.published_settings import read_settings
    from fact_clip.data.dataset import Dataset
    from fact_clip.data.selection import rank, select, summary

    dataset = Dataset.open(read_settings(given.cfg, given.set).data)
    vocabulary, learning = dataset.vocabulary, (*dataset.train, *dataset.validation)
    counts = dataset.class_counts(learning)
    there = {int(label) for name in dataset.test for label in np.unique(dataset.labels(name))}
    tested = [name for index, name in enumerate(vocabulary.names) if index in there]
    numbers = given.number, given.validation_number
    limits = {"counts": counts, "candidates": tested, "min_support": given.min_support, "seed": given.seed}
    holdout = select(vocabulary, *numbers, **limits)
    support = {one.name: one for one in rank(vocabulary, (), counts)}
    for name in holdout.hidden:
        group = "unseen" if name in holdout.unseen else "validation-unseen"
        print(
            f"{name}: {group}, {counts[vocabulary.index(name)]} training frames, {support[name].rarest}",
            file=sys.stderr,
        )
    for way, left in summary(dataset, holdout).items():
        print(f"{way}: " + ", ".join(f"{count} {what}" for what, count in left.items()), file=sys.stderr)
    if given.output is None:
        print(json.dumps(holdout.to_dict(), indent=1))
    else:
        print(f"written: {holdout.save_json(given.output)}; train with data.holdout={given.output}")


def _add_viz(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--logdir", type=Path, required=True, metavar="DIR", help="a run, or a folder of them: the newest"
    )
    parser.add_argument("--split", default="test", help="test, validation or train; or split1: the runs of that split")
    parser.add_argument("--outdir", type=Path, required=True, metavar="DIR", help="where the pictures go")
    parser.add_argument("--videos", type=int, default=4, metavar="N", help="videos whose class scores are drawn")


def _viz(given: Namespace) -> None:
    from fact_clip.checkpoint import run_folder
    from fact_clip.training.pictures import draw_run

    folder, part = run_folder(given.logdir), given.split
    if not (folder / "run.json").is_file():
        inner = folder / f"split{part.removeprefix('split')}"
        folder = published_runs.newest(inner if inner.is_dir() else folder)
    if part not in ("test", "validation", "train"):
        part = "test"
    for path in draw_run(folder, part, given.outdir, given.videos):
        print(path)


_SCORE = "Score a run, or weights of the published code."

train = _script("Train into logs/RECIPE/SPLIT/RUN.", lambda parser: _add_settings(parser, True), published_runs.train)
run_eval = _script(_SCORE, lambda parser: _add_checkpoint(parser, True), published_runs.run_eval)
evaluate = _script(_SCORE, lambda parser: _add_checkpoint(parser, False), published_runs.run_eval)
eval_holdout = _script(
    "Score held-out classes.", lambda parser: _add_checkpoint(parser, True), published_runs.eval_holdout
)
select_holdout_classes = _script("Choose classes to hold out, so that every word is trained.", _add_select, _select)
visualise = _script("Draw input, features and class scores of a run.", _add_viz, _viz)
