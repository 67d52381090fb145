"""fact-clip train, demo, convert, share and plugins: runs, from here and for others, and parts of others."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import (
    InterruptedCommandError,
    Progress,
    figures_table,
    is_secondary,
    print_result,
    progress,
    table,
)
from fact_clip.cli.options import AsJson, Layout, Overrides, Recipe, check_new, names, option
from fact_clip.core.errors import ConfigKey, InputError
from fact_clip.core.paths import locked

if TYPE_CHECKING:
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset

_LAYOUT = "Feature files with time first or channels first; unset: as published for its data set."
_LICENCE = "Licence of the model, as the hub writes it: mit, apache-2.0, cc-by-4.0, ..."
_RUN = "Run folder, made by train or convert."
_SWEEP = "Train and score a run for each value; repeat for combinations."
MAX_COMBINATIONS = 1000

FIGURES = (
    *("S", "U", "H", "AUSUC", "H*", "f1@10", "f1@25", "f1@50", "edit"),
    *("frame_accuracy", "frame_accuracy_foreground"),
)
"""The columns of the table of a sweep, where a run has them; the order is that of the papers."""


def train(
    config: Recipe,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, option("Run folder to write; a new one.")],
    resume: Annotated[bool, option("Continue the interrupted run in --out.", "--resume")] = False,
    sweeps: Annotated[list[str] | None, option(_SWEEP, "--sweep", metavar="KEY=V,V")] = None,
    seeds: Annotated[
        str | None, option("Short for --sweep train.seed=0,1,2.", metavar="N,N")
    ] = None,
) -> None:
    """Train a model into a run folder.

    With --sweep a run is trained and scored for each value, or each combination of values, into RUN/seed0/split1 and so
    on; the table has a row for each, their mean and standard deviation. data.split=all sweeps over all splits. With
    --resume a sweep continues too.

    \b
    Example:
      fact-clip train kscgr data.root=../shared/data/kscgr data.split=5 --out runs/k5
      fact-clip train gtea --sweep data.split=1,2,3,4 --sweep train.seed=0,1,2 --out runs/gtea
    """
    from fact_clip import training
    from fact_clip.config import with_values
    from fact_clip.training.estimate import load_config
    from fact_clip.training.plan import warn_of_unused
    from fact_clip.training.sweep import read_axes

    typed = overrides or []
    sweep_options = [*([] if seeds is None else [f"train.seed={seeds}"]), *(sweeps or [])]
    axes = read_axes(sweep_options)
    for override in typed:
        if (key := override.partition("=")[0]) in axes:
            raise InputError(ConfigKey(key), "set to one value and swept", "give it once")
    if not resume or not out.is_dir():
        check_new(out, "give --resume to continue the run there, or another --out")
    settings = load_config(config, typed, out / "config.yaml" if resume else None, bool(axes))
    combinations = islice(
        product(*axes.values()), MAX_COMBINATIONS
    )  # a swept setting may be what another one needs
    configs = [
        with_values(settings, dict(zip(axes, values, strict=True))) for values in combinations
    ]
    warn_of_unused(configs, [*typed, *(sweeps or [])])
    again = [config, *typed, *(word for axis in sweep_options for word in ("--sweep", axis))]
    with training_bar(out, again) as report:
        if not axes and str(settings.data.split) != "all":
            facts = training.train(settings, out, resume=resume, progress=report)
        else:
            result = training.sweep(settings, out, axes, resume=resume, progress=report)
            if not is_secondary():
                rows = {**result["runs"], "mean": result["metrics"], "sd": result["sd"]}
                print(
                    figures_table("run", rows, [key for key in FIGURES if key in result["metrics"]])
                )
            return
    if not is_secondary():
        print(summary_of(facts, settings.train.select))
        print(
            f"the model is in {out}; score it with: {shlex.join(['fact-clip', 'evaluate', str(out)])}"
        )


@contextmanager
def training_bar(out: Path, again: Sequence[str]) -> Iterator[Progress | None]:
    """A progress bar; an interruption says how the training goes on, by `fact-clip train` and the words `again`."""
    try:
        with progress("training") as report:
            yield report
    except KeyboardInterrupt:
        hint = f"continue with: {shlex.join(['fact-clip', 'train', *again, '--out', str(out), '--resume'])}"
        if not any(out.rglob("last.safetensors")):
            hint = "no epoch was finished, so there is nothing to continue"
        raise InterruptedCommandError(hint) from None


def summary_of(facts: Mapping[str, Any], select: str = "") -> str:
    """Say in a line what `training.train` did; with the best of the figures by which weights were selected."""
    best = (
        f", best validation {select} {facts['best']:.1f}"
        if select and facts["best"] is not None
        else ""
    )
    return f"{facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters{best}"


HOLDOUT = "zero_shot/A.json"  # in the data: three classes whose words occur in others, and two that choose gamma


def demo(
    out: Annotated[Path, option("Folder for the data, the runs and the pictures.")] = Path(
        "demo-out"
    ),
) -> None:
    """Try everything on synthetic data: recognise actions without examples, from their names.

    Writes a small benchmark, holds out three actions, trains one model that reads names and one that does not, scores
    both, segments a video and draws it. Takes a few minutes on two cores.

    \b
    Example:
      fact-clip demo --out demo-out
    """
    from fact_clip.cli.evaluate import write
    from fact_clip.config import Config, with_values
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.synthetic import write_workbench

    data = out / "data"
    foreign = min(out.iterdir(), default=None) if out.exists() else None
    if foreign is not None and not (data / HOLDOUT).is_file():
        raise InputError(foreign, "this was not written by a demo", "name another --out")
    print(
        f"1. Writing a benchmark to {data}. The data is SYNTHETIC: its figures say nothing about real video."
    )
    write_workbench(data)
    config = with_values(Config.load("demo"), {"data.root": str(data), "data.holdout": HOLDOUT})
    dataset = Dataset.open(config.data)
    names = dataset.vocabulary.names
    unseen = ", ".join(names[label] for label in dataset.unseen)
    print(
        f"2. {len(dataset.learning)} videos of {len(names)} classes for training, {len(dataset.test)} for the test."
    )
    print(
        f"   Held out, so that no frame of them is trained: {unseen}. Their words occur in other actions."
    )
    print("3. Training a model that reads the names of the actions.")
    results = {"reads names": _train_and_score(config, out / "run")}
    print("4. Training a closed-set model, with one output per class, on the same videos.")
    results["closed set"] = _train_and_score(
        with_values(config, {"model.head": "closed"}), out / "closed"
    )
    print(
        f"5. The {len(dataset.test)} test videos, in percent; every class is a candidate in every frame."
    )
    print("   S, U: mean accuracy of the seen and of the unseen classes; H: their harmonic mean")
    print(_comparison(results))
    _segment_one(out, dataset)
    page = write([out / "closed", out / "run"], out=out / "report.html")
    print(f"8. The report of both models, to open in a browser: {page.resolve().as_uri()}")


def _train_and_score(config: Config, run: Path) -> dict[str, Any]:
    """Train into a run folder, in place of that of an earlier demo, and score it."""
    from fact_clip import training

    if (run / "run.json").is_file():
        with locked(run, "a training"):
            shutil.rmtree(run)
    with progress("training") as report:
        facts = training.train(config, run, progress=report)
    print(f"   {summary_of(facts)}")
    with progress("evaluating") as report:
        return training.evaluate(run, progress=report)


def _comparison(results: dict[str, dict[str, Any]]) -> str:
    keys = ("S", "U", "H", "ausuc", "frame_accuracy", "edit")
    parts = {name: result["zero_shot"] for name, result in results.items()}
    rows = {
        name: {**part["ways"]["in use"], "ausuc": part["ausuc"]} for name, part in parts.items()
    }
    rows["chance"] = dict.fromkeys(
        ("S", "U", "H", "frame_accuracy"), next(iter(parts.values()))["chance"]
    )
    return figures_table("model", rows, keys)


def _segment_one(out: Path, dataset: Dataset) -> None:
    """Segment the first test video, print the segments, and draw them below the labels."""
    from fact_clip import load
    from fact_clip.cli.results import segment_table
    from fact_clip.core import Segmentation
    from fact_clip.report.plots import save_timeline

    name = dataset.test[0]
    print(f"6. Segmenting the test video {name}.")
    prediction = load(out / "run").segment(dataset.features(name))
    print(segment_table(prediction))
    truth = Segmentation.from_frames(dataset.vocabulary.decode(dataset.labels(name)), dataset.fps)
    rows = {"truth": truth, "prediction": prediction}
    files = [prediction.save(out / f"{name}{suffix}") for suffix in (".csv", ".json")]
    look: dict[str, Any] = {
        "background": dataset.vocabulary.background,
        "title": f"{name} (synthetic)",
    }
    files += [save_timeline(rows, out / f"timeline{suffix}", **look) for suffix in (".png", ".svg")]
    print("7. Written: " + ", ".join(map(str, files)))


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CKPT", help="Checkpoint of the published FACT code.")
    ],
    *,
    config: Annotated[Path, option("The YAML file that it was trained with.")],
    mapping: Annotated[Path, option("mapping.txt of its classes.")],
    out: Annotated[Path, option("Run folder to write; a new one.")],
    background: Annotated[str, option('Names of background classes, such as "SIL".')] = "",
    layout: Annotated[Layout, option(_LAYOUT)] = None,
) -> None:
    """Turn a published checkpoint into a run folder.

    Every parameter must fit: a missing or unexpected one is an error.

    \b
    Example:
      fact-clip convert fact_breakfast.pth --config breakfast.yaml --mapping mapping.txt --out runs/bf
    """
    from fact_clip import compat

    background_names = names(background, "--background") or ()
    written = compat.convert(
        checkpoint, config, out, mapping, background=background_names, layout=layout
    )
    quoted = shlex.quote(str(written))
    print(
        f"the run folder is {written}; use it with: fact-clip segment --run {quoted} FEATURES.npy"
    )


def share(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=_RUN)],
    repository: Annotated[
        str,
        typer.Argument(metavar="OWNER/NAME", help="Repository, which is made if there is none."),
    ],
    private: Annotated[bool, option("Make it private, if it is new.", "--private")] = False,
    message: Annotated[str | None, option("Message of the commit.")] = None,
    licence: Annotated[str, option(_LICENCE)] = "mit",
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    Anyone may then name it hf://OWNER/NAME wherever a run folder is named. Uploaded are the weights, settings, classes,
    calibrations and evaluation.json; no logs and no optimiser. Needs the extra 'hub' and a login. See docs/sharing.md.

    \b
    Example:
      fact-clip share runs/mine OWNER/NAME --private
      fact-clip segment my.mp4 --run hf://OWNER/NAME
    """
    from fact_clip.run import share as upload

    print(upload(run, repository, private=private, message=message, licence=licence))


def plugins(as_json: AsJson = False) -> None:
    """List the parts that installed packages add: encoders, heads, formats and metrics.

    Each is loaded once, to say whether it works. See docs/extending.md.

    \b
    Example:
      fact-clip plugins --json
    """
    from fact_clip.core.plugins import list_plugins
    from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS
    from fact_clip.formats import FORMATS
    from fact_clip.metrics.report import METRICS
    from fact_clip.models.heads import HEADS

    rows = list_plugins([FRAME_ENCODERS, TEXT_ENCODERS, HEADS, FORMATS, METRICS])
    print_result(rows, table(rows) if rows else "no plug-ins", as_json)
