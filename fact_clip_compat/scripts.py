"""The command lines of the published code, which the files of ``scripts/`` call."""

import hashlib
import json
import shutil
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from fact_clip import training
from fact_clip.advice.holdouts import choose, description, open_whole
from fact_clip.cli.console import note, progress
from fact_clip.cli.data_holdout import holdout_text
from fact_clip.cli.errors import run_command
from fact_clip.cli.evaluate import evaluation_text
from fact_clip.cli.train import summary_of, training_bar
from fact_clip.config import Config, DataConfig
from fact_clip.core import InputError, Names
from fact_clip.core.io import write_value
from fact_clip.core.paths import file_name, inside
from fact_clip.datasets.dataset import Dataset
from fact_clip.devices.device import pick_device
from fact_clip.runs.files import evaluation_stem
from fact_clip.runs.hub import run_folder
from fact_clip.runs.run import Run
from fact_clip.training.sweep import resolve_all, split_configs
from fact_clip_compat.settings import read_changes, read_settings
from fact_clip_compat.weights import convert_for, digest_of

LOGS = Path("logs")
BEST = Path("ckpts", "best.net")
"""Link to the weights in a run folder, where the published code has them."""

PARTS = ("test", "validation", "train")


class _Parser(ArgumentParser):
    """Report wrong arguments as InputError."""

    def error(self, message: str) -> NoReturn:
        raise InputError(self.prog, message, "see --help")

    def add_configuration(self, **settings: Any) -> None:
        """Add --cfg, with the settings that say whether it is needed, and --set."""
        self.add_argument(
            "--cfg",
            nargs="+",
            metavar="FILE",
            help="recipes or published YAML files, by path or name, merged in order",
            **settings,
        )
        self.add_argument(
            "--set",
            nargs="+",
            default=[],
            metavar="KEY VALUE",
            help="KEY VALUE KEY VALUE ..., published keys or keys of docs/configuration.md",
        )

    def run(self, command: Callable[[Namespace], None]) -> int:
        """Run a script and return its exit code, as `fact_clip.cli.main` does."""
        return run_command(lambda: command(self.parse_args()), leave=True)


def _run_score(*, finds_newest: bool = False, needs_holdout: bool = False) -> int:
    """Run a script that scores weights and return its exit code."""
    parser = _Parser(description="Score a run, or weights of the published code.")
    weights = "a run folder, its ckpts/best.net, or published weights with --cfg"
    if finds_newest:
        weights += "; without it, the newest run in logs/"
    parser.add_argument(
        "--ckpt",
        "--checkpoint_path",
        type=Path,
        required=not finds_newest,
        help=weights,
    )
    parser.add_argument("--part", default="test", choices=PARTS, help="which videos")
    parser.add_argument("--output_dir", type=Path, help="write evaluation.json here as well")
    parser.add_configuration(default=[])
    parser.set_defaults(needs_holdout=needs_holdout)
    return parser.run(_score)


def train() -> int:
    """Run scripts/train.py and return its exit code."""
    parser = _Parser(description="Train into logs/RECIPE/SPLIT/RUN.")
    parser.add_configuration(required=True)
    return parser.run(_train)


def run_eval() -> int:
    """Run scripts/run_eval.py and return its exit code."""
    return _run_score()


def evaluate() -> int:
    """Run scripts/eval.py and return its exit code."""
    return _run_score(finds_newest=True)


def eval_holdout() -> int:
    """Run scripts/eval_holdout.py and return its exit code."""
    return _run_score(needs_holdout=True)


def select_holdout_classes() -> int:
    """Run scripts/select_holdout_classes.py and return its exit code."""
    parser = _Parser(description="Choose classes to hold out, so that every word is trained.")
    parser.add_configuration(default=["havid_view0_lh_pt"])
    parser.add_argument("--number", type=int, default=10, help="unseen classes (default 10)")
    parser.add_argument(
        "--output",
        type=Path,
        help="JSON for data.holdout; without it, it is printed",
    )
    return parser.run(_select)


def visualise() -> int:
    """Run scripts/fact_input_emb_logit_viz.py and return its exit code."""
    parser = _Parser(description="Draw the input, features and class scores of a run.")
    parser.add_argument(
        "--logdir",
        type=Path,
        required=True,
        help="a run, or a folder of runs: the newest is taken",
    )
    parser.add_argument("--split", default="test", choices=PARTS, help="which videos")
    parser.add_argument("--outdir", type=Path, required=True, help="folder for the pictures")
    return parser.run(_draw)


def _train(arguments: Namespace) -> None:
    """Train with the settings of ``--cfg`` and ``--set``. data.split=all trains each split."""
    config = read_settings(arguments.cfg, arguments.set)
    plans = resolve_all(split_configs(config))
    _warn(config)
    recipe = Path(arguments.cfg[0]).stem
    for split, plan in plans.items():
        folder = LOGS / recipe / file_name(f"split{split.removeprefix('split')}")
        numbers = [path.name.removeprefix("run") for path in folder.glob("run*")]
        last = max((int(number) for number in numbers if number.isdecimal()), default=0)
        out = folder / f"run{last + 1}"
        try:
            with training_bar(out, [str(out / "config.yaml")]) as report:
                facts = training.train(plan, out, progress=report)
        finally:
            _link_best(out)
        print(f"{summary_of(facts)}\nthe model is {out / BEST}")


def _warn(config: Config) -> None:
    """Warn of what a user of the published code would not expect."""
    if config.train.device == "auto" and pick_device("auto").type == "cpu":
        warnings.warn("no GPU here; training on the CPU", stacklevel=2)
    if config.model.head == "fact-clip" and config.text.encoder == "minilm":
        warnings.warn(
            "class names are read by the text encoder minilm; CLIP is text.encoder "
            "open_clip:ViT-B-32/openai, your own vectors text.encoder file:PATH text.phrase name",
            stacklevel=2,
        )


def _link_best(run: Path) -> None:
    """Make ``RUN/ckpts/best.net`` a link to the weights, or a copy where links are impossible."""
    weights = run / "model.safetensors"
    if not weights.is_file():
        return
    best = inside(run, BEST.parent.name) / BEST.name  # usually a link already
    best.parent.mkdir(exist_ok=True)
    best.unlink(missing_ok=True)
    try:
        best.symlink_to(Path("..", weights.name))
    except OSError:
        shutil.copyfile(weights, best)


def _score(arguments: Namespace) -> None:
    run = _scored_run(arguments)
    config = Run.read(run).config
    if arguments.needs_holdout and config.data.holdout is None:
        raise InputError(run, "this run holds no classes out", "train one with data.holdout")
    changes, device = read_changes(arguments.set, config)
    with progress("evaluating") as report:
        result = training.evaluate(run, arguments.part, changes, progress=report, device=device)
    if arguments.output_dir is not None:
        path = arguments.output_dir / f"{evaluation_stem(arguments.part)}.json"
        write_value(path, result.details)
    print(evaluation_text(result.details))


def _scored_run(arguments: Namespace) -> Path:
    """Return the run of ``--ckpt``, which is converted if it is a checkpoint."""
    checkpoint = arguments.ckpt or newest(LOGS)
    run = run_folder(checkpoint)
    if not (run / "run.json").is_file():
        return _converted(checkpoint, arguments)
    if arguments.cfg:  # it must name the data, split, hold-out and scoring of the run
        config = read_settings(arguments.cfg, arguments.set)
        changes, _ = read_changes(arguments.set)
        changed = Run.read(run, changes).config
        trained = Run.read(run).config.data
        held_out = trained.model_copy(update={"holdout": config.data.holdout})
        is_same = (
            (config.decode, config.evaluation) == (changed.decode, changed.evaluation)
            and (config.data.name, str(config.data.split)) == (trained.name, str(trained.split))
            and (held_out == trained or _unseen(held_out) == _unseen(trained))
        )
        if not is_same:
            problem = f"{run} has other data, or another split, hold-out or scoring"
            fix = "give the --cfg and --set of its training, or leave --cfg out"
            raise InputError("--cfg", problem, fix)
    return run


def _unseen(config: DataConfig) -> Names:
    dataset = Dataset.open(config)
    return dataset.unseen_names


def _converted(checkpoint: Path, arguments: Namespace) -> Path:
    """Convert published weights into ``FILE.DIGEST.run`` beside them."""
    if not arguments.cfg:
        problem = "not in a run folder of scripts/train.py or fact-clip train"
        fix = "give --cfg if these are weights of the published code"
        raise InputError(checkpoint, problem, fix)
    config = read_settings(arguments.cfg, arguments.set)
    # Other settings or weights have another folder; files that settings name may have changed.
    facts = digest_of(checkpoint) + config.model_dump_json()
    digest = hashlib.sha256(facts.encode()).hexdigest()
    out = checkpoint.with_name(f"{checkpoint.name}.{digest[:8]}.run")
    return convert_for(checkpoint, config, out)


def newest(folder: Path) -> Path:
    """Return the run in a folder that was started last."""
    inner = {"members", "teacher"}
    runs = [path for path in folder.rglob("run.json") if inner.isdisjoint(path.parts[-3:])]
    if not runs:
        raise InputError(folder, "no run in this folder", "train one first, or name a checkpoint")
    return max(runs, key=lambda path: path.stat().st_mtime).parent


def _select(arguments: Namespace) -> None:
    dataset = open_whole(read_settings(arguments.cfg, arguments.set).data)
    holdout = choose(dataset, arguments.number, 0)
    result = json.dumps(holdout.to_dict(), indent=1)
    if arguments.output is not None:
        holdout.save_json(arguments.output)  # first: if it fails, its error is all that is printed
        result = f"written: {arguments.output}; train with data.holdout={arguments.output}"
    note(holdout_text(description(dataset, holdout)))
    print(result)


def _draw(arguments: Namespace) -> None:
    from fact_clip_compat.plots import draw_run  # it loads matplotlib

    folder = run_folder(arguments.logdir)
    if not (folder / "run.json").is_file():
        folder = newest(folder)
    for path in draw_run(folder, arguments.split, arguments.outdir):
        print(path)
