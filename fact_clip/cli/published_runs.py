"""Training and scoring in the shape of the published code: ``logs/RECIPE/SPLIT/RUN/ckpts/best.net``."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fact_clip.core.errors import InputError

if TYPE_CHECKING:
    from fact_clip.config import Config

LOGS = Path("logs")
BEST = Path("ckpts", "best.net")
"""In a run folder: a link to its model.safetensors, where the published code keeps its weights."""


def train(given: Namespace) -> None:
    """Train what ``--cfg`` and ``--set`` say; with data.split=all every split, each into a run of its own."""
    from fact_clip.cli.published_settings import read_settings
    from fact_clip.data.dataset import Dataset

    config, name = read_settings(given.cfg, given.set), Path(given.cfg[0]).stem
    _tell_device(config)
    _tell_text(config)
    splits = Dataset.splits(config.data) if str(config.data.split) == "all" else [config.data.split]
    for split in splits:
        one = config.model_copy(update={"data": config.data.model_copy(update={"split": split})})
        _train_one(one, _new_run(LOGS / name / f"split{str(split).removeprefix('split')}"))


def _train_one(config: Config, out: Path) -> None:
    from fact_clip import training
    from fact_clip.cli.console import progress
    from fact_clip.cli.train import how_to_go_on

    try:
        with progress("training") as report:
            facts = training.train(config, out, progress=report)
    except KeyboardInterrupt:
        print(f"fact-clip: interrupted; {how_to_go_on(str(out / 'config.yaml'), [], out)}", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        _link_best(out)
    print(f"{facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters")
    print(f"the model is {out / BEST}")


def _tell_device(config: Config) -> None:
    import warnings

    from fact_clip.training.devices import pick_device

    if config.train.device == "auto" and pick_device("auto").type == "cpu":
        warnings.warn("no GPU here; training on the CPU", stacklevel=2)


def _tell_text(config: Config) -> None:
    import warnings

    if config.model.head == "fact-clip" and config.text.encoder == "minilm":
        clip = "CLIP is text.encoder open_clip:ViT-B-32/openai, vectors of it text.encoder file:PATH text.phrase name"
        warnings.warn(f"class names are read by the text encoder minilm; {clip}", stacklevel=2)


def _new_run(folder: Path) -> Path:
    """``folder/runN`` with the next number, which nobody else takes; it is made when something is written."""
    taken = [int(path.name[3:]) for path in folder.glob("run*") if path.name[3:].isdecimal()]
    return folder / f"run{max(taken, default=0) + 1}"


def _link_best(run: Path) -> None:
    """``RUN/ckpts/best.net``: a link to the chosen weights, or a copy where there are no links."""
    import shutil

    if not (run / "model.safetensors").is_file():
        return
    best = run / BEST
    best.parent.mkdir(exist_ok=True)
    best.unlink(missing_ok=True)
    try:
        best.symlink_to(Path("..", "model.safetensors"))
    except OSError:
        shutil.copyfile(run / "model.safetensors", best)


def run_eval(given: Namespace) -> None:
    """Score ``--ckpt`` and print the table."""
    from fact_clip.cli.evaluate import show

    show(_scored(given))


def eval_holdout(given: Namespace) -> None:
    """Score ``--ckpt`` and print the table, and that of seen and unseen classes."""
    from fact_clip.cli.evaluate import show

    result = _scored(given)
    if "zero_shot" not in result:
        raise InputError(result["run"], "a run without classes held out", "one trained with data.holdout")
    show(result)


def _scored(given: Namespace) -> dict[str, Any]:
    """The result of `training.evaluate` for the arguments of `_add_checkpoint`."""
    import shutil

    from fact_clip import training
    from fact_clip.checkpoint import run_folder
    from fact_clip.cli.console import progress
    from fact_clip.cli.published_settings import device, overrides

    checkpoint = given.ckpt or newest(LOGS)
    run = run_folder(checkpoint)
    if (run / "run.json").is_file():
        _check_same_data(run, given)
    else:
        run = _converted(checkpoint, given)
    with progress("evaluating") as report:
        said = overrides(given.set, ("data", "decode", "evaluation"))
        result = training.evaluate(run, given.part, said, progress=report, device=device(given.set))
    if given.output_dir is not None:
        name = "evaluation.json" if given.part == "test" else f"evaluation_{given.part}.json"
        given.output_dir.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / name, given.output_dir / name)
    return result


def _check_same_data(run: Path, given: Namespace) -> None:
    """A run carries its own configuration; a ``--cfg`` beside it must at least mean the same data and split."""
    from fact_clip.checkpoint import open_run
    from fact_clip.cli.published_settings import read_settings

    if given.cfg:
        own, asked = open_run(run).config.data, read_settings(given.cfg, given.set).data
        if (own.name, str(own.split)) != (asked.name, str(asked.split)):
            found = f"{asked.name}, split {asked.split}"
            raise InputError("--cfg", found, f"{own.name}, split {own.split}, that {run} was trained on")


def _converted(checkpoint: Path, given: Namespace) -> Path:
    """The run folder of published weights, ``FILE.run`` beside them: made, or as it was made from the same file."""
    from fact_clip.checkpoint import open_run
    from fact_clip.cli.published_settings import read_settings
    from fact_clip.compat.convert import convert_for

    if not given.cfg:
        todo = "give --cfg where these are weights of the published code"
        raise InputError(checkpoint, "no file of a run folder", "a run of scripts/train.py or fact-clip train", todo)
    config, out = read_settings(given.cfg, given.set), checkpoint.with_name(f"{checkpoint.name}.run")
    weights = out / "model.safetensors"
    if weights.is_file() and checkpoint.is_file() and weights.stat().st_mtime >= checkpoint.stat().st_mtime:
        if open_run(out).config.model != config.model:
            raise InputError(out, "made with another configuration", f"that of {' + '.join(given.cfg)}", "remove it")
        return out
    return convert_for(checkpoint, config, out)


def newest(folder: Path) -> Path:
    """The run folder below that was begun last."""
    runs = sorted(folder.rglob("run.json"), key=lambda path: path.stat().st_mtime)
    if not runs:
        raise InputError(folder, "no run in it", "a folder of runs", "train one first, or name a checkpoint")
    return runs[-1].parent
