"""Size of a report, and how soon it answers in a browser: 200 videos of 2,000 frames, 60 classes, both voters.

    PYTHONPATH=. python benchmarks/report.py [--videos 200] [--frames 2000] [--seed 0]

The labels are made up: true segments of 20 to 120 frames, a prediction that errs in one segment of four, and voters
that flicker, with a change every five frames (frames) and every fifteen (tokens) on average. Times are from the start
of the navigation in headless Chromium (Debian's, without a GPU): until the page is built, until the first timelines are
drawn, and what a search and a change of the order take. Each is the median of five loads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.config import Config
from fact_clip.core import Vocabulary
from fact_clip.evaluation.record import Record, Video
from fact_clip.report.evaluated import Evaluated
from fact_clip.report.page import save_report
from fact_clip.runs.facts import classes_of
from fact_clip.runs.run import Run

TARGET_SECONDS, TARGET_MB = 2.0, 5.0
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def segments(
    rng: np.random.Generator, frames: int, classes: int, low: int, high: int
) -> NDArray[np.int64]:
    """Labels of segments of `low` to `high` frames."""
    lengths = rng.integers(low, high + 1, 1 + frames // low)
    return np.repeat(rng.integers(0, classes, len(lengths)), lengths)[:frames]


def made_up(videos: int, frames: int, classes: int, seed: int) -> list[Video]:
    """Videos with all four rows."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(videos):
        truth = segments(rng, frames, classes, 20, 120)
        edges = np.cumsum(np.r_[0, truth[1:] != truth[:-1]])
        wrong = rng.random(edges[-1] + 1) < 0.25
        rows = {"truth": truth, "prediction": np.where(wrong[edges], np.roll(truth, 17), truth)}
        for row, most in (("frames", 9), ("tokens", 29)):
            noise = segments(rng, frames, classes, 1, most)
            rows[row] = np.where(segments(rng, frames, 2, 1, most) == 1, noise, rows["prediction"])
        shares = {row: rng.random(frames).astype(np.float16) for row in rows if row != "truth"}
        found.append(Video(f"video_{number:03}", rows, shares, np.arange(frames + 1) / 15))
    return found


def evaluated(folder: Path, videos: list[Video], classes: int) -> Evaluated:
    """What an evaluation of these videos would have left in a run folder."""
    names = [
        "no action",
        *(f"screw part {number} with the hex screwdriver" for number in range(1, classes)),
    ]
    vocabulary = Vocabulary.from_names(names, background=names[:1])
    truth, prediction = ([video.labels[row] for video in videos] for row in ("truth", "prediction"))
    per_class = metrics.per_class(truth, prediction, classes)
    result: dict[str, Any] = {
        "split": "test",
        "videos": [video.name for video in videos],
        "metrics": {"profile": "fact", **metrics.evaluate(truth, prediction)},
        "per_class": [{**row, "name": name} for row, name in zip(per_class, names, strict=True)],
        "background_counted": True,
    }
    (folder / "run.json").write_text(json.dumps({"fact_clip": "made up"}))
    nothing: Any = None
    run = Run(
        classes=classes_of(vocabulary, "closed"),
        layout="TD",
        fps=15.0,
        mean_transcript_length=None,
        path=folder,
        config=Config(),
        vocabulary=vocabulary,
        transform=nothing,
    )
    record = Record(vocabulary, np.full(classes, 1000), {"commit": "made up"}, videos)
    return Evaluated(run, "made up", "", result, record)


WATCH = """() => new Promise((done) => {
  const look = () => [...document.querySelectorAll("article canvas")].some((canvas) => canvas.width > 0)
    ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look);
  document.querySelector("#videos").scrollIntoView();
  look();
})"""
SEARCH = """(words) => new Promise((done) => {
  const field = document.querySelector("input[type=search]"), start = performance.now();
  field.value = words;
  field.dispatchEvent(new Event("input"));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
SORT = """() => new Promise((done) => {
  const field = document.querySelector("select"), start = performance.now();
  field.selectedIndex = 1;
  field.dispatchEvent(new Event("change"));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""


def measure(path: Path, loads: int = 5) -> dict[str, float]:
    """Median seconds of each step over some loads of the page."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    rows: list[dict[str, float]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        for _ in range(loads):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.as_uri())
            built = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
            row = {
                "page built": page.evaluate(built),
                "first timelines drawn": page.evaluate(WATCH),
            }
            row["first search"] = page.evaluate(SEARCH, "part 17 ")
            row["next search"] = page.evaluate(SEARCH, "video_19")
            row["sorted anew"] = page.evaluate(SORT)
            rows.append(row)
            page.close()
        browser.close()
    return {name: statistics.median(row[name] for row in rows) / 1000 for name in rows[0]}


def main() -> int:
    """Print the figures; 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("videos", 200), ("frames", 2000), ("classes", 60), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one = evaluated(
            Path(folder),
            made_up(given.videos, given.frames, given.classes, given.seed),
            given.classes,
        )
        start = time.perf_counter()
        path = save_report([one], Path(folder) / "report.html")
        took = time.perf_counter() - start
        print(
            f"{given.videos} videos of {given.frames} frames, {given.classes} classes, seed {given.seed}"
        )
        size, times = path.stat().st_size / 1e6, measure(path)
    print(f"size {size:.2f} MB (target {TARGET_MB:g}), written in {took:.1f} s")
    for name, seconds in times.items():
        print(f"{name:24} {seconds:.2f} s")
    print(f"target: {TARGET_SECONDS:g} s for each; load of the machine {os.getloadavg()[0]:.1f}")
    return int(size > TARGET_MB or max(times.values()) > TARGET_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
