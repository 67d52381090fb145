"""fact-clip demo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fact_clip.cli.console import figures_table, progress, segment_table
from fact_clip.cli.data_sample import FPS, logger, write_videos
from fact_clip.cli.options import option
from fact_clip.core import InputError
from fact_clip.core.extras import require
from fact_clip.core.paths import locked
from fact_clip.core.progress import paced

if TYPE_CHECKING:
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.training.results import Evaluation

HOLDOUT = "zero_shot/A.json"
"""Hold-out file: three classes whose words occur in others, and two that select gamma."""


def demo(
    out: Annotated[Path, option("Folder for the data, the runs and the pictures.")] = Path(
        "demo-out"
    ),
) -> None:
    """Try everything on synthetic data: recognise actions without examples, from their names.

    Writes a small benchmark with videos, holds out three actions, trains one model that reads names
    and one that does not, scores both, segments a video and draws it. Takes a few minutes on two
    cores.

    \b
    Example:
      fact-clip demo --out demo-out
    """
    from fact_clip.cli.report import write_report
    from fact_clip.config import Config, with_values
    from fact_clip.datasets.dataset import Dataset

    require("fact-clip demo", "matplotlib", "plots")
    require("fact-clip demo", "av", "video")
    data = out / "data"
    first_file = min(out.iterdir(), default=None) if out.exists() else None
    if first_file is not None and not (data / HOLDOUT).is_file():
        raise InputError(first_file, "this was not written by a demo", "name another --out")
    print(
        f"1. Writing videos and their features to {data}. The data is SYNTHETIC: its figures say "
        "nothing about real video."
    )
    _write_data(data)
    config = with_values(Config.load("demo"), {"data.root": str(data), "data.holdout": HOLDOUT})
    dataset = Dataset.open(config.data)
    unseen = ", ".join(dataset.vocabulary.decode(dataset.unseen))
    print(
        f"2. {len(dataset.learning)} videos of {len(dataset.vocabulary)} classes for training, "
        f"{len(dataset.test)} for the test.\n"
        f"   Held out, so that no frame of them is trained: {unseen}. "
        "Their words occur in other actions."
    )
    print("3. Training a model that reads the names of the actions.")
    reader = _train_and_score(config, out / "run")
    print("4. Training a closed-set model, with one output per class, on the same videos.")
    closed = _train_and_score(with_values(config, {"model.head": "closed"}), out / "closed")
    print(
        f"5. The {len(dataset.test)} test videos, in percent; every class is a candidate in every "
        "frame.\n"
        "   S, U: mean accuracy of the seen and of the unseen classes; H: their harmonic mean"
    )
    print(_comparison({"reads names": reader, "closed set": closed}))
    _segment_first(out, dataset)
    page = write_report([out / "closed", out / "run"], out=out / "report.html")
    print(f"8. The report of both models, to open in a browser: {page.resolve().as_uri()}")


def _write_data(folder: Path) -> None:
    """Write the synthetic data set with videos and features made from them."""
    from fact_clip.datasets.synthetic import write_workbench
    from fact_clip.encoders import frame_encoder
    from fact_clip.video.extract import Settings, extract

    write_workbench(folder, fps=FPS)
    features = folder / "features"
    shutil.rmtree(features)
    write_videos(folder)
    with progress("extracting") as report:
        videos = sorted((folder / "videos").iterdir())
        encoder = frame_encoder("grid")
        for video in paced(videos, "extracting", logger, report):
            extract(video, encoder, features, Settings(fps=FPS))


def _train_and_score(config: Config, run: Path) -> Evaluation:
    """Train into a run folder, replacing that of an earlier demo, and return its evaluation."""
    from fact_clip import training
    from fact_clip.cli.train import summary_of

    if (run / "run.json").is_file():
        with locked(run, "a training"):
            shutil.rmtree(run)
    with progress("training") as report:
        facts = training.train(config, run, progress=report)
    print(f"   {summary_of(facts)}")
    with progress("evaluating") as report:
        return training.evaluate(run, progress=report)


def _comparison(results: dict[str, Evaluation]) -> str:
    rows = {}
    for name, result in results.items():
        zero_shot = result.details["zero_shot"]
        rows[name] = {**zero_shot["ways"]["in use"], "ausuc": zero_shot["ausuc"]}
        chance = zero_shot["chance"]
    rows["chance"] = dict.fromkeys(("S", "U", "H", "frame_accuracy"), chance)
    return figures_table("model", rows, ("S", "U", "H", "ausuc", "frame_accuracy", "edit"))


def _segment_first(out: Path, dataset: Dataset) -> None:
    """Segment the first test video, print the segments, and draw them below the labels."""
    from fact_clip import load
    from fact_clip.core import Segmentation
    from fact_clip.report.plots import save_figure, timeline

    name = dataset.test[0]
    print(f"6. Segmenting the test video {name}.")
    prediction = load(out / "run").segment(dataset.features(name))
    print(segment_table(prediction))
    labels = dataset.vocabulary.decode(dataset.labels(name))
    truth = Segmentation.from_frames(labels, dataset.fps)
    table = prediction.save(out / f"{name}.csv")
    figure = timeline(
        {"truth": truth, "prediction": prediction},
        background=dataset.vocabulary.background,
        title=f"{name} (synthetic)",
    )
    picture = save_figure(figure, out / "timeline.png")
    print(f"7. Written: {table}, {picture}")
