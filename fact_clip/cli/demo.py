"""fact-clip demo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import progress, table
from fact_clip.cli.show import segment_table
from fact_clip.core.paths import locked

if TYPE_CHECKING:
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset

HOLDOUT = "zero_shot/A.json"  # in the data: three classes whose words occur in others, and two that choose gamma


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the runs and the pictures.")] = Path("demo-out"),
) -> None:
    """Try everything on synthetic data: recognise actions without examples, from their names.

    Writes a small benchmark, holds out three actions, trains one model that reads names and one that does not, scores
    both, segments a video and draws it. Takes a few minutes on two cores.

    \b
    Example:
      fact-clip demo --out demo-out
    """
    from fact_clip.config import Config
    from fact_clip.core import InputError
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.synthetic import write_workbench

    if out.exists() and not out.is_dir():
        raise InputError(out, "this is a file", "name a folder")
    data = out / "data"
    foreign = min(out.iterdir(), default=None) if out.is_dir() else None
    if foreign is not None and not (data / HOLDOUT).is_file():
        raise InputError(foreign, "this was not written by a demo", "name another --out")
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(data, f"cannot be made ({error.strerror})") from None
    print(f"1. Writing a benchmark to {data}. The data is SYNTHETIC: its figures say nothing about real video.")
    write_workbench(data)
    config = Config.load("demo")
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(data), "holdout": HOLDOUT})})
    dataset = Dataset.open(config.data)
    names = dataset.vocabulary.names
    unseen = ", ".join(names[label] for label in dataset.unseen)
    print(f"2. {len(dataset.learning)} videos of {len(names)} classes for training, {len(dataset.test)} for the test.")
    print(f"   Held out, so that no frame of them is trained: {unseen}. Their words occur in other actions.")
    closed = config.model_copy(update={"model": config.model.model_copy(update={"head": "closed"})})
    print("3. Training a model that reads the names of the actions.")
    results = {"reads names": _train_and_score(config, out / "run")}
    print("4. Training a closed-set model, with one output per class, on the same videos.")
    results["closed set"] = _train_and_score(closed, out / "closed")
    print(f"5. The {len(dataset.test)} test videos, in percent; every class is a candidate in every frame.")
    print("   S, U: mean accuracy of the seen and of the unseen classes; H: their harmonic mean")
    print(_comparison(results))
    _segment_one(out, dataset)
    _report(out)


def _train_and_score(config: Config, run: Path) -> dict[str, Any]:
    """Train into a run folder, in place of that of an earlier demo, and score it."""
    from fact_clip import training

    if (run / "run.json").is_file():
        with locked(run, "a training"):
            shutil.rmtree(run)
    with progress("training") as report:
        facts = training.train(config, run, progress=report)
    print(f"   {facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters")
    with progress("evaluating") as report:
        return training.evaluate(run, progress=report)


def _comparison(results: dict[str, dict[str, Any]]) -> str:
    """The main zero-shot figures of each model, and what guessing gives."""
    from fact_clip.metrics import figure_name

    keys = ("S", "U", "H", "ausuc", "frame_accuracy", "edit")
    zero_shot = {name: result["zero_shot"] for name, result in results.items()}
    figures = {name: {**report["ways"]["in use"], "ausuc": report["ausuc"]} for name, report in zero_shot.items()}
    rows = [[name, *(f"{row[key]:.1f}" for key in keys)] for name, row in figures.items()]
    chance = f"{next(iter(zero_shot.values()))['chance']:.1f}"
    rows.append(["chance", chance, chance, chance, "", chance, ""])
    return table(["model", *map(figure_name, keys)], rows, right=range(1, len(keys) + 1))


def _segment_one(out: Path, dataset: Dataset) -> None:
    """Segment the first test video, print the segments, and draw them below the labels."""
    from fact_clip import load
    from fact_clip.core import Segmentation
    from fact_clip.report import save_timeline

    name = dataset.test[0]
    print(f"6. Segmenting the test video {name}.")
    prediction = load(out / "run").segment(dataset.features(name))
    print(segment_table(prediction))
    truth = Segmentation.from_frames(dataset.vocabulary.decode(dataset.labels(name)), dataset.fps)
    rows = {"truth": truth, "prediction": prediction}
    files = [prediction.save(out / f"{name}{suffix}") for suffix in (".csv", ".json")]
    look: dict[str, Any] = {"background": dataset.vocabulary.background, "title": f"{name} (synthetic)"}
    files += [save_timeline(rows, out / f"timeline{suffix}", **look) for suffix in (".png", ".svg")]
    print("7. Written: " + ", ".join(map(str, files)))


def _report(out: Path) -> None:
    """Write the page that compares the two models, and print its address."""
    from fact_clip.cli.report import write

    page = write([out / "closed", out / "run"], out=out / "report.html")
    print(f"8. The report of both models, to open in a browser: {page.resolve().as_uri()}")
