"""fact-clip demo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import progress, table
from fact_clip.cli.segment import segment_table

if TYPE_CHECKING:
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.inference.segmenter import Segmenter

HOLDOUT = "zero_shot/A.json"
"""Of the workbench: three compositional classes to hold out, and two by which gamma is chosen."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the run and the pictures.")] = Path("demo-out"),
) -> None:
    """Show the whole line on synthetic data: actions that no training video shows, recognised from their names.

    Writes a procedural benchmark, holds three actions out, trains a model that reads names and one that does not,
    scores both, segments a video and draws it; a few minutes on two cores.

    \b
    Example:
      fact-clip demo --out demo-out
    """
    from fact_clip import load
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.synthetic import write_workbench

    data = out / "data"
    print(
        f"1. Writing a procedural workbench to {data}. It is SYNTHETIC data: its figures say nothing about real video."
    )
    write_workbench(data)
    config = Config.load("demo")
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(data), "holdout": HOLDOUT})})
    dataset = Dataset.open(config.data)
    n_videos, names = len(dataset.learning), dataset.vocabulary.names
    unseen = ", ".join(names[label] for label in dataset.unseen)
    print(f"2. {n_videos} videos of {len(names)} classes to train on, {len(dataset.test)} for the test.")
    print(f"   Held out, no frame of theirs is trained: {unseen}. Their words occur in other actions.")
    closed = config.model_copy(update={"model": config.model.model_copy(update={"head": "closed"})})
    print("3. Training a model that reads the names of the actions.")
    found = {"reads names": _run(config, out / "run")}
    print("4. Training a closed-set model, which has one output a class, on the same videos.")
    found["closed set"] = _run(closed, out / "closed")
    print(f"5. The {len(dataset.test)} test videos, in percent; every class is a candidate in every frame.")
    print(_comparison(found))
    _show_one(load(out / "run"), dataset, out)


def _run(config: Config, run: Path) -> dict[str, Any]:
    """Train into a run folder, in place of that of an earlier demo, and score it."""
    from fact_clip import training

    if (run / "run.json").is_file():
        shutil.rmtree(run)
    with progress("training") as report:
        facts = training.train(config, run, progress=report)
    print(f"   {facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters")
    with progress("evaluating") as report:
        return training.evaluate(run, progress=report)


def _comparison(results: dict[str, dict[str, Any]]) -> str:
    """Seen, unseen, H and AUSUC of each model, and what guessing gives."""
    rows = []
    for name, result in results.items():
        found = result["zero_shot"]
        used = found["ways"]["in use"]
        numbers = (*(used[key] for key in ("S", "U", "H")), found["ausuc"], used["edit"], used["frame_accuracy"])
        rows.append([name, *(f"{number:.1f}" for number in numbers)])
    chance = next(iter(results.values()))["zero_shot"]["chance"]
    rows.append(["chance", *[f"{chance:.1f}"] * 3, "", "", f"{chance:.1f}"])
    return table(["model", "seen", "unseen", "H", "AUSUC", "edit", "frame accuracy"], rows, right=range(1, 7))


def _show_one(segmenter: Segmenter, dataset: Dataset, out: Path) -> None:
    """Segment the first test video, print its table, and draw it below its labels."""
    from fact_clip.core import Segmentation
    from fact_clip.report import save_timeline

    name = dataset.test[0]
    print(f"6. Segmenting the test video {name}.")
    prediction = segmenter.segment(dataset.features(name))
    truth = Segmentation.from_frames(dataset.vocabulary.decode(dataset.labels(name)), dataset.fps)
    print(segment_table(prediction))
    rows = {"truth": truth, "prediction": prediction}
    files = [prediction.save(out / f"{name}{suffix}") for suffix in (".csv", ".json")]
    for suffix in (".png", ".svg"):
        title = f"{name} (synthetic)"
        files.append(
            save_timeline(rows, out / f"timeline{suffix}", background=dataset.vocabulary.background, title=title)
        )
    print("7. Written: " + ", ".join(map(str, files)))
