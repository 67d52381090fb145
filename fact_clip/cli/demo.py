"""fact-clip demo and data sample: synthetic data."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fact_clip.cli.console import figures_table, note, progress
from fact_clip.cli.options import check_new, option
from fact_clip.cli.results import segment_table
from fact_clip.cli.train import summary_of
from fact_clip.core.errors import InputError
from fact_clip.core.paths import locked

if TYPE_CHECKING:
    from fact_clip.config import Config
    from fact_clip.datasets.dataset import Dataset

HOLDOUT = "zero_shot/A.json"  # in the data: three classes whose words occur in others, and two that choose gamma


def demo(
    out: Annotated[Path, option("Folder for the data, the runs and the pictures.")] = Path("demo-out"),
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

    if out.exists() and not out.is_dir():
        raise InputError(out, "this is a file", "name a folder")
    data = out / "data"
    foreign = min(out.iterdir(), default=None) if out.is_dir() else None
    if foreign is not None and not (data / HOLDOUT).is_file():
        raise InputError(foreign, "this was not written by a demo", "name another --out")
    print(f"1. Writing a benchmark to {data}. The data is SYNTHETIC: its figures say nothing about real video.")
    write_workbench(data)
    config = with_values(Config.load("demo"), {"data.root": str(data), "data.holdout": HOLDOUT})
    dataset = Dataset.open(config.data)
    names = dataset.vocabulary.names
    unseen = ", ".join(names[label] for label in dataset.unseen)
    print(f"2. {len(dataset.learning)} videos of {len(names)} classes for training, {len(dataset.test)} for the test.")
    print(f"   Held out, so that no frame of them is trained: {unseen}. Their words occur in other actions.")
    print("3. Training a model that reads the names of the actions.")
    results = {"reads names": _train_and_score(config, out / "run")}
    print("4. Training a closed-set model, with one output per class, on the same videos.")
    results["closed set"] = _train_and_score(with_values(config, {"model.head": "closed"}), out / "closed")
    print(f"5. The {len(dataset.test)} test videos, in percent; every class is a candidate in every frame.")
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
    rows = {name: {**part["ways"]["in use"], "ausuc": part["ausuc"]} for name, part in parts.items()}
    rows["chance"] = dict.fromkeys(("S", "U", "H", "frame_accuracy"), next(iter(parts.values()))["chance"])
    return figures_table("model", rows, keys)


def _segment_one(out: Path, dataset: Dataset) -> None:
    """Segment the first test video, print the segments, and draw them below the labels."""
    from fact_clip import load
    from fact_clip.core import Segmentation
    from fact_clip.report.timeline import save_timeline

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


FPS = 15.0


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, a new one.")],
    videos: Annotated[int, option("Number of videos; six people take turns.", min=6, max=10_000)] = 24,
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
    print(f"{folder}: SYNTHETIC data, {content} features at {FPS:g} rows per second, labels and 3 splits")
    print(f"check it with: fact-clip data check {shlex.quote(str(folder))}")
    print(f'write a recipe with: fact-clip data init {shlex.quote(str(folder))} --fps {FPS:g} --background "no action"')


def _write_videos(folder: Path) -> int:
    """Draw the videos of the labels; return their number, 0 without the package that writes them."""
    from fact_clip.datasets.synthetic import draw_actions
    from fact_clip.video.overlay import can_write, write_video

    if not can_write():
        note("no videos are written: the package av is missing; pip install 'fact-clip[video]'")
        return 0
    labels = sorted((folder / "groundTruth").glob("*.txt"))
    with progress("drawing") as report:
        for number, path in enumerate(labels):
            if report is not None:
                report(number, len(labels), path.stem)
            names = path.read_text(encoding="utf-8").splitlines()
            write_video(folder / "videos" / f"{path.stem}.mp4", draw_actions(names, FPS, number), FPS)
    return len(labels)
