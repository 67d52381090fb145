"""fact-clip demo."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fact_clip.cli.console import figures_table, note, progress, segment_table
from fact_clip.cli.options import option
from fact_clip.core import InputError
from fact_clip.core.extras import install_command
from fact_clip.core.paths import locked

if TYPE_CHECKING:
    from fact_clip.config import Config
    from fact_clip.core import Segmentation
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.evaluation.results import Evaluation

HOLDOUT = "zero_shot/A.json"
"""Hold-out file: six classes whose words occur in other classes, and three that select gamma."""

CLOSED: dict[str, Any] = {"model.head": "closed", "data.objects.file": None, "augment.swap": 0}
"""Settings of the closed-set model, which does not use the names of objects."""

RECORDING = "subj5_scrambledegg"
"""Test recording to segment and draw. Its accuracy is the median of the nine recordings."""


def demo(
    out: Annotated[Path, option("Folder for the data, the runs and the plot.")] = Path("demo-out"),
) -> None:
    """Try the main features on real data: recognise actions from their names.

    The command writes the data set KSCGR, 30 recordings of people who cook, and hides six actions.
    It trains one model that reads names and one that does not, evaluates both, and segments and
    draws a test recording. This takes about two minutes on two cores. Nothing is downloaded.

    \b
    Example:
      fact-clip demo --out demo-out
    """
    from fact_clip.cli.report import write_report
    from fact_clip.config import Config, with_values
    from fact_clip.datasets.dataset import Dataset
    from fact_clip.datasets.kscgr import write_kscgr

    data = out / "data"
    first_file = min(out.iterdir(), default=None) if out.exists() else None
    if first_file is not None and not (data / HOLDOUT).is_file():
        raise InputError(first_file, "it was not written by a demo", "name a different --out")
    write_kscgr(data)
    print(f"1. {data}: KSCGR, 30 real recordings of people who cook (MIT licence, see README.md).")
    config = with_values(Config.load("demo"), {"data.root": str(data), "data.holdout": HOLDOUT})
    dataset = Dataset.open(config.data)
    unseen = ", ".join(dataset.vocabulary.decode(dataset.unseen))
    print(
        f"2. {len(dataset.vocabulary)} classes; {len(dataset.learning)} recordings for training, "
        f"{len(dataset.test)} of two other people for the test.\n"
        f"   Hidden, so that none of their frames is used for training: {unseen}.\n"
        "   Each of their words occurs in the name of a different class."
    )
    print("3. Training a model that reads the names of the actions.")
    reader = _train_and_score(config, out / "run")
    print("4. Training a closed-set model, with one output per class, on the same recordings.")
    closed = _train_and_score(with_values(config, CLOSED), out / "closed")
    print(
        f"5. The {len(dataset.test)} test recordings, in percent. Every class is a candidate in "
        "every frame.\n"
        "   S, U: mean accuracy of the seen and of the unseen classes; H: their harmonic mean.\n"
        "   The README averages two choices of hidden actions and three larger models that were\n"
        "   trained longer, so its figures differ."
    )
    print(_comparison({"reads names": reader, "closed set": closed}))
    _segment_recording(out, dataset)
    page = write_report([out / "closed", out / "run"], out=out / "report.html")
    print(f"8. The report of both models, to open in a browser: {page.resolve().as_uri()}")


def _train_and_score(config: Config, run: Path) -> Evaluation:
    """Train into a run folder, replacing an earlier run, and return the evaluation."""
    from fact_clip import training
    from fact_clip.cli.train import summary_of

    if (run / "run.json").is_file():
        with locked(run, "a training run"):
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


def _segment_recording(out: Path, dataset: Dataset) -> None:
    """Segment a test recording, print the segments, and draw them below the labels."""
    from fact_clip import load

    print(f"6. Segmenting the test recording {RECORDING}.")
    prediction = load(out / "run").segment(dataset.features(RECORDING))
    print(segment_table(prediction))
    written = [prediction.save(out / f"{RECORDING}.csv")]
    if importlib.util.find_spec("matplotlib") is None:
        note(f"no plot is drawn, because matplotlib is missing; {install_command('plots')}")
    else:
        written.append(_draw(prediction, dataset, out / "timeline.png"))
    print(f"7. Written: {', '.join(map(str, written))}")


def _draw(prediction: Segmentation, dataset: Dataset, path: Path) -> Path:
    """Draw the labels of the recording, its hidden actions, and the prediction."""
    from fact_clip.core import Segmentation
    from fact_clip.report.plots import save_figure, timeline

    vocabulary = dataset.vocabulary
    labels = vocabulary.decode(dataset.labels(RECORDING))
    unseen = vocabulary.decode(dataset.unseen)
    (background,) = vocabulary.background
    unseen_labels = [label if label in unseen else background for label in labels]
    figure = timeline(
        {
            "labels": Segmentation.from_frames(labels, dataset.fps),
            "hidden actions": Segmentation.from_frames(unseen_labels, dataset.fps),
            "prediction": prediction,
        },
        background=vocabulary.background,
        title=f"{RECORDING}: labels, the actions that were hidden from training, and prediction",
    )
    return save_figure(figure, path)
