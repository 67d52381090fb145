"""The command lines of the published code: what the files of ``scripts/`` call."""

from __future__ import annotations

import json
import shutil
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any, NoReturn

from fact_clip import training
from fact_clip.cli.console import answered, note, progress
from fact_clip.cli.evaluate import as_text
from fact_clip.cli.holdout import choose, description, open_whole
from fact_clip.cli.train import summary_of, training_bar
from fact_clip.compat.reference import convert_for, device, overrides, read_settings
from fact_clip.core.distributed import pick_device
from fact_clip.core.errors import CommandOption, InputError
from fact_clip.core.paths import file_name, inside
from fact_clip.run import Run, evaluation_stem, run_folder
from fact_clip.training.embeddings import frame_states
from fact_clip.training.sweep import resolve_all, split_configs

LOGS = Path("logs")
BEST = Path(
    "ckpts", "best.net"
)  # in a run folder: a link to its weights, where the published code keeps them


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(self.prog, message, "see --help")


def _script(
    what: str, run: Callable[[Namespace], None], *words: Callable[[ArgumentParser], Any]
) -> Callable[..., int]:
    """Make a function that runs a script and gives back its exit code, as `fact_clip.cli.main` does."""

    def script(argv: Sequence[str] | None = None) -> int:
        parser = _Parser(description=what)
        for add_word in words:
            add_word(parser)
        return answered(lambda: run(parser.parse_args(argv)), leave=argv is None)

    return script


def _train(arguments: Namespace) -> None:
    """Train what ``--cfg`` and ``--set`` say; with data.split=all each split, into a run of its own."""
    config = read_settings(arguments.cfg, arguments.set)
    plans = resolve_all(split_configs(config))
    # what a person who knows the published code would not expect
    if config.train.device == "auto" and pick_device("auto").type == "cpu":
        warnings.warn("no GPU here; training on the CPU", stacklevel=2)
    if config.model.head == "fact-clip" and config.text.encoder == "minilm":
        others = "CLIP is text.encoder open_clip:ViT-B-32/openai, your own vectors text.encoder file:PATH"
        warnings.warn(
            f"class names are read by the text encoder minilm; {others} text.phrase name",
            stacklevel=2,
        )
    for split, plan in plans.items():
        folder = (
            LOGS / Path(arguments.cfg[0]).stem / file_name(f"split{split.removeprefix('split')}")
        )
        taken = [int(path.name[3:]) for path in folder.glob("run*") if path.name[3:].isdecimal()]
        out = folder / f"run{max(taken, default=0) + 1}"
        try:
            with training_bar(out, [str(out / "config.yaml")]) as report:
                facts = training.train(plan, out, progress=report)
        finally:
            _link_best(out)
        print(f"{summary_of(facts)}\nthe model is {out / BEST}")


def _link_best(run: Path) -> None:
    """Make ``RUN/ckpts/best.net`` a link to the chosen weights, or a copy where there are no links."""
    if not (run / "model.safetensors").is_file():
        return
    best = inside(run, BEST.parent.name) / BEST.name  # a link already, as a rule
    best.parent.mkdir(exist_ok=True)
    best.unlink(missing_ok=True)
    try:
        best.symlink_to(Path("..", "model.safetensors"))
    except OSError:
        shutil.copyfile(run / "model.safetensors", best)


def _score(arguments: Namespace, with_unseen: bool = False) -> None:
    """Score the checkpoint that the arguments name."""
    checkpoint = arguments.ckpt or newest(LOGS)
    run = run_folder(checkpoint)
    if not (run / "run.json").is_file():
        run = _converted(checkpoint, arguments)
    elif arguments.cfg:  # a run has its own configuration; --cfg must name the same data and split
        trained, wanted = (
            Run.read(run).config.data,
            read_settings(arguments.cfg, arguments.set).data,
        )
        if (trained.name, str(trained.split)) != (wanted.name, str(wanted.split)):
            problem = f"{run} was trained on {trained.name}, split {trained.split}"
            raise InputError(
                CommandOption("--cfg"), f"{problem}, not on {wanted.name}, {wanted.split}"
            )
    if with_unseen and Run.read(run).config.data.holdout is None:
        raise InputError(run, "this run holds no classes out", "train one with data.holdout")
    with progress("evaluating") as report:
        changes = overrides(arguments.set, ("data", "decode", "evaluation"))
        result = training.evaluate(
            run, arguments.part, changes, progress=report, device=device(arguments.set)
        )
    if arguments.output_dir is not None:
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / f"{evaluation_stem(arguments.part)}.json", arguments.output_dir)
    print(as_text(result))


def _converted(checkpoint: Path, arguments: Namespace) -> Path:
    """The run folder of published weights, ``FILE.run`` beside them; made anew where the weights are newer."""
    if not arguments.cfg:
        fix = "give --cfg if these are weights of the published code"
        raise InputError(
            checkpoint, "not in a run folder of scripts/train.py or fact-clip train", fix
        )
    config, out = (
        read_settings(arguments.cfg, arguments.set),
        checkpoint.with_name(f"{checkpoint.name}.run"),
    )
    weights = out / "model.safetensors"
    if (
        weights.is_file()
        and checkpoint.is_file()
        and weights.stat().st_mtime >= checkpoint.stat().st_mtime
    ):
        if Run.read(out).config.model != config.model:
            raise InputError(
                out,
                f"made with another configuration than {' + '.join(arguments.cfg)}",
                "remove it",
            )
        return out
    return convert_for(checkpoint, config, out)


def newest(folder: Path) -> Path:
    """The run in a folder that was started last."""
    runs = sorted(folder.rglob("run.json"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise InputError(folder, "no run in this folder", "train one first, or name a checkpoint")
    return runs[-1].parent


def _select(arguments: Namespace) -> None:
    dataset = open_whole(read_settings(arguments.cfg, arguments.set).data)
    numbers, rules = (
        (arguments.number, arguments.validation_number),
        {"min_support": arguments.min_support},
    )
    chosen = choose(dataset, *numbers, seed=arguments.seed, **rules)
    written = None if arguments.output is None else chosen.save_json(arguments.output)
    note(description(dataset, chosen)[1])
    if written is None:
        print(json.dumps(chosen.to_dict(), indent=1))
    else:
        print(f"written: {written}; train with data.holdout={arguments.output}")


def _viz(arguments: Namespace) -> None:
    from fact_clip.report.plots import draw_frames  # it loads matplotlib

    folder, part = run_folder(arguments.logdir), arguments.split
    if not (folder / "run.json").is_file():
        inner = folder / f"split{part.removeprefix('split')}"
        folder = newest(inner if inner.is_dir() else folder)
    if part not in _PARTS:
        wanted, trained = part.removeprefix("split"), str(Run.read(folder).config.data.split)
        if wanted != trained:
            raise InputError(
                CommandOption("--split"),
                f"{folder} has split{trained}",
                f"give split{trained} or test",
            )
        part = "test"
    vocabulary, states = frame_states(folder, part)
    for path in draw_frames(
        states, vocabulary, arguments.outdir, title=str(folder), n_scores=arguments.videos
    ):
        print(path)


_RUN = "a run folder, its ckpts/best.net, or published weights with --cfg"
_PARTS = ("test", "validation", "train")
_FILES = "recipes or published YAML files, by path or name, merged in order"
_PAIRS = "KEY VALUE KEY VALUE ..., published keys or those of docs/configuration.md"
_word = partial(methodcaller, "add_argument")
_cfg = partial(_word, "--cfg", nargs="+", metavar="FILE", help=_FILES)
_ckpt = partial(_word, "--ckpt", "--checkpoint_path", type=Path, metavar="FILE")
_SET = _word("--set", nargs="+", default=[], metavar="KEY VALUE", help=_PAIRS)
_SCORING = (
    _word("--part", default="test", choices=_PARTS, help="which videos"),
    _word("--output_dir", type=Path, metavar="DIR", help="write evaluation.json here as well"),
    _cfg(default=[]),
    _SET,
)
_SCORE = "Score a run, or weights of the published code."

train = _script("Train into logs/RECIPE/SPLIT/RUN.", _train, _cfg(required=True), _SET)
run_eval = _script(_SCORE, _score, _ckpt(required=True, help=_RUN), *_SCORING)
evaluate = _script(
    _SCORE, _score, _ckpt(help=f"{_RUN}; without it, the newest run in logs/"), *_SCORING
)
eval_holdout = _script(
    "Score held-out classes.",
    partial(_score, with_unseen=True),
    _ckpt(required=True, help=_RUN),
    *_SCORING,
)
select_holdout_classes = _script(
    "Choose classes to hold out, so that every word is trained.",
    _select,
    _cfg(default=["havid_view0_lh_pt"]),
    _SET,
    _word("--number", type=int, default=10, metavar="N", help="unseen classes"),
    _word(
        "--validation_number", type=int, default=0, metavar="N", help="validation-unseen classes"
    ),
    _word(
        "--min_support",
        type=int,
        default=1,
        metavar="N",
        help="trained classes that have each word",
    ),
    _word("--seed", type=int, default=0, help="breaks ties"),
    _word(
        "--output",
        type=Path,
        metavar="FILE",
        help="JSON for data.holdout; without it, it is printed",
    ),
)
visualise = _script(
    "Draw the input, features and class scores of a run.",
    _viz,
    _word(
        "--logdir",
        type=Path,
        required=True,
        metavar="DIR",
        help="a run, or a folder of runs: the newest is taken",
    ),
    _word(
        "--split",
        default="test",
        help="test, validation or train; or split1: the runs of that split",
    ),
    _word("--outdir", type=Path, required=True, metavar="DIR", help="folder for the pictures"),
    _word("--videos", type=int, default=4, metavar="N", help="videos whose class scores are drawn"),
)
