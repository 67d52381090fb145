"""fact-clip demo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fact_clip.cli.console import progress
from fact_clip.cli.segment import segment_table

if TYPE_CHECKING:
    from fact_clip.data.dataset import Dataset
    from fact_clip.segmenter import Segmenter


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data, the run and the pictures.")] = Path("demo-out"),
) -> None:
    """Show the whole line on synthetic data.

    Writes a procedural benchmark, trains on it, scores, segments a video and draws it; a few minutes on two cores.

    \b
    Example:
      fact-clip demo --out demo-out
    """
    from fact_clip import load, metrics, training
    from fact_clip.config import Config
    from fact_clip.data.dataset import Dataset
    from fact_clip.data.synthetic import write_workbench

    data, run = out / "data", out / "run"
    print(
        f"1. Writing a procedural workbench to {data}. It is SYNTHETIC data: its figures say nothing about real video."
    )
    write_workbench(data)
    config = Config.load("demo")
    config = config.model_copy(update={"data": config.data.model_copy(update={"root": str(data)})})
    dataset = Dataset.open(config.data)
    n_videos, n_classes = len(dataset.train) + len(dataset.validation), len(dataset.vocabulary)
    print(f"2. Training FACT on {n_videos} videos of {n_classes} classes; {len(dataset.test)} more are for the test.")
    if (run / "run.json").is_file():  # of an earlier demo
        shutil.rmtree(run)
    with progress("training") as report:
        facts = training.train(config, run, progress=report)
    print(f"   {facts['epoch']} epochs in {facts['seconds']:.0f} s, {facts['parameters']:,} parameters")
    print("3. Scoring the test videos.")
    with progress("evaluating") as report:
        result = training.evaluate(run, progress=report)
    print(metrics.format_table(result["metrics"]))
    _show_one(load(run), dataset, out)


def _show_one(segmenter: Segmenter, dataset: Dataset, out: Path) -> None:
    """Segment the first test video, print its table, and draw it below its labels."""
    from fact_clip.core import Segmentation
    from fact_clip.report import save_timeline

    name = dataset.test[0]
    print(f"4. Segmenting the test video {name}.")
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
    print("5. Written: " + ", ".join(map(str, files)))
