"""The page in a real browser, from an upload to an adapted model, on a film of the workbench."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

import fact_clip
from fact_clip.core import Segmentation
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.datasets.synthetic import FACTORS, draw_actions
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings, extract
from fact_clip.video.overlay import write_video

from ..browser import shoot
from ..small import write_dataset

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

ROOT = Path(__file__).parents[2]
FPS, ROWS = 15.0, 5.0  # pictures and rows a second
NEW = "rotate gear"  # no frame of it is trained
NASTY = "<img src=x onerror=alert(1)>"
SHOWN = ((2, "no action"), (4, "grasp shaft"), (5, NEW), (4, "tap shaft with mallet"), (5, "screw nut with wrench"))
TRAINED = ("no action", "grasp shaft", "tap shaft with mallet", "screw nut with wrench", "place bearing")


def film(path: Path, plan, seed: int) -> list[str]:
    """Draw (seconds, action) one after the other; a label for each row of features."""
    pictures = [name for seconds, name in plan for _ in range(round(seconds * FPS))]
    write_video(path, draw_actions(pictures, FPS, seed), FPS)
    return [name for seconds, name in plan for _ in range(round(seconds * ROWS))]


@pytest.fixture(scope="module")
def bench(tiny, tmp_path_factory):
    """A data set of rendered films, a run that was trained on it without `NEW`, and a film that shows it."""
    folder = tmp_path_factory.mktemp("bench")
    data, shown, rng = folder / "data", {}, np.random.default_rng(0)
    for number in range(4):
        order = [TRAINED[place] for place in rng.permutation(len(TRAINED))]
        shown[f"v{number}"] = film(folder / f"v{number}.mp4", [(3 + number % 2, name) for name in order], number)
        extract(folder / f"v{number}.mp4", frame_encoder("grid"), data / "features", Settings(fps=ROWS))
    write_dataset(data, FACTORS, shown, train=("v0", "v1", "v2"), test=("v3",))
    settings = {
        "data": {"root": str(data), "fps": ROWS, "stride": 1, "standardize": True, "validation": 0.0},
        "model": {"head": "text", "blocks": "i", "input": {"frame_dim": 32, "frame_layers": 4}},
        "text": {"encoder": "hash:64", "parts": ["factors"]},
        "decode": {"frame_weight": 1.0},
        "augment": {"channels": 0.0, "time_spans": 0},
        "train": {"epochs": 40, "lr": 2e-3},
    }
    fact_clip.training.train(tiny(**settings), folder / "run")
    truth = film(folder / "new.mp4", SHOWN, 9)
    return folder, truth


@contextmanager
def served(folder: Path, *arguments: object, ending: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """`fact-clip app` in a process of its own; its address. Nothing of it is left after the signal that ends it."""
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "fact_clip", "app", *map(str, arguments), "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    piped = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": environment}
    with subprocess.Popen(command, **piped) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/\?token=[\w-]{43}\n", line), line
            yield line.split()[1]
            assert any(scratch.iterdir())
        finally:
            process.send_signal(ending)
            process.wait(20)
    assert [path for path in scratch.iterdir() if path.name.startswith("fact-clip")] == []


def drawn(page, row: int = 0):
    """The segments of the page as (start, stop, label) in frames: those of the result, or of the prediction."""
    video = page.evaluate("fetch('/api/state').then((one) => one.json()).then((state) => state.videos[0].id)")
    found = page.evaluate(f"fetch('/api/videos/{video}').then((one) => one.json())")
    return [(each["start"], each["stop"], each["label"]) for each in found["shown" if row == 0 else "predicted"]]


def share_of_new(segments, truth) -> float:
    """Of the frames that show `NEW`, how many are named so."""
    names = [label for start, stop, label in segments for _ in range(start, stop)]
    return float(np.mean([name == NEW for name, true in zip(names, truth, strict=True) if true == NEW]))


def place(page, seconds: float, row: int = 0) -> tuple[float, float]:
    """Where a time lies on the timeline: names take 7 pixels a letter and 8 more, a row 26 and 6 between."""
    box = page.locator("#timeline canvas").bounding_box()
    left = 7 * len("prediction") + 8
    duration = sum(length for length, _ in SHOWN)
    return box["x"] + left + seconds / duration * (box["width"] - left - 8), box["y"] + 2 + 32 * row + 13


def until(page, condition: str, patience: float = 30) -> None:
    """Wait for a condition in JavaScript; the policy of the page forbids playwright's own way."""
    for _ in range(round(10 * patience)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(condition)


def picture(page, name: str, **how) -> None:
    """A screenshot for the docs, in few colours so that it is small."""
    path = shoot(page, name, **how)
    if path is not None:
        from PIL import Image

        Image.open(path).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )


def settled(page) -> None:
    """Wait until every question of the page is answered; one answer may lead to the next question."""
    for _ in range(3):
        until(page, "document.body.getAttribute('aria-busy') !== 'true'")
        page.wait_for_timeout(20)


def test_from_an_upload_to_an_adapted_model(bench, browser, tmp_path):
    folder, truth = bench
    start_of_new, stop_of_new = 6.0, 11.0
    with (
        served(tmp_path, "--run", folder / "run", "--training-set", tmp_path / "set") as address,
        browser.page(1100, 1400, accept_downloads=True) as page,
    ):
        page.goto(address)
        assert "token" not in page.url
        assert page.locator("#empty").is_visible()
        picture(page, "app-empty", clip={"x": 0, "y": 0, "width": 1100, "height": 760})

        # upload
        page.set_input_files("#files", folder / "new.mp4")
        page.locator("#work").wait_for(timeout=60_000)
        assert page.locator("#name").text_content() == "new"
        before = drawn(page)
        assert before == drawn(page, 1)

        # names
        page.fill("#actions", "\n".join([*TRAINED[1:4], NEW, NASTY]))
        until(page, "document.querySelector('#command').textContent.includes('rotate gear')")
        settled(page)
        named = drawn(page)
        assert named != before
        assert {label for *_, label in named} <= {*TRAINED[:4], NEW, NASTY}
        assert NASTY in page.locator("#command").text_content()
        assert page.locator("img").count() == 0

        # a click seeks
        page.mouse.click(*place(page, 8.0, 1))
        until(page, "Math.abs(document.querySelector('video').currentTime - 8) < 0.1")

        # a segment is drawn by hand: split at 6 s and at 11 s, named, and an edge is dragged to its place
        one = next(each for each in named if each[0] <= 5 * start_of_new < each[1])
        page.mouse.click(*place(page, 6.4))
        page.fill("#label", NEW)
        page.fill("#start", "5.4")
        page.fill("#stop", f"{max(one[1] / ROWS, 7.0):.2f}")
        page.press("#stop", "Tab")
        page.click("#apply")
        settled(page)
        first = next(each for each in drawn(page) if each[2] == NEW and each[0] <= 32 < each[1])
        page.mouse.move(*place(page, first[0] / ROWS))
        page.mouse.down()
        page.mouse.move(*place(page, start_of_new), steps=5)
        page.mouse.up()
        settled(page)
        dragged = next(each for each in drawn(page) if each[2] == NEW and each[0] <= 32 < each[1])
        assert dragged[0] == 30
        page.click("#undo")
        settled(page)
        assert first in drawn(page)
        page.click("#redo")
        settled(page)
        assert dragged in drawn(page)

        # merged to the right until it is as long as it should be
        while True:
            here = next(each for each in drawn(page) if each[0] == 30)
            if here[1] >= 5 * stop_of_new:
                break
            page.mouse.click(*place(page, 6.4))
            page.click("#merge")
            settled(page)
        if here[1] > 5 * stop_of_new:
            page.mouse.move(*place(page, here[1] / ROWS))
            page.mouse.down()
            page.mouse.move(*place(page, stop_of_new), steps=5)
            page.mouse.up()
            settled(page)
        assert (30, 55, NEW) in drawn(page)

        # a name that looks like HTML is text everywhere
        page.mouse.click(*place(page, 1.0))
        page.fill("#label", NASTY)
        page.press("#label", "Enter")
        settled(page)
        assert NASTY in page.locator("#legend").text_content()
        assert page.locator("img").count() == 0
        page.click("#undo")
        settled(page)

        # saved: after a reload the draft is there, and the file that is downloaded has it
        page.reload()
        page.locator("#work").wait_for()
        settled(page)
        assert (30, 55, NEW) in drawn(page)
        page.select_option("#format", "json")
        with page.expect_download() as download:
            page.click("#download")
        assert download.value.suggested_filename == "new.json"
        download.value.save_as(tmp_path / "new.json")
        parsed = Segmentation.load(tmp_path / "new.json")
        assert parsed.to_frames() == [label for start, stop, label in drawn(page) for _ in range(start, stop)]
        assert (parsed.media, parsed.video_fps) == ("new.mp4", FPS)
        page.set_viewport_size({"width": 1100, "height": 960})
        page.locator("video").evaluate("(one) => { one.currentTime = 8; }")
        until(page, "document.querySelector('video').readyState === 4")
        picture(page, "app-light")
        page.set_viewport_size({"width": 1100, "height": 1400})

        # added and adapted
        page.check("#only-corrected")
        page.click("#add")
        until(page, "document.querySelector('#saved').textContent.startsWith('Added')")
        labels = (tmp_path / "set/groundTruth/new.txt").read_text().splitlines()
        assert labels[30:55] == [NEW] * 25
        assert UNLABELLED in labels
        base = share_of_new(drawn(page, 1), truth)
        page.fill("#epochs", "40")
        page.click("#adapt")
        until(page, "document.querySelector('#training-note').textContent.startsWith('trained')", 120)
        page.select_option("#model", "adapted-1")
        settled(page)
        assert (30, 55, NEW) in drawn(page)
        adapted = share_of_new(drawn(page, 1), truth)
        assert adapted > base + 0.3, (base, adapted)
        assert "adapted-1" in page.locator("#command").text_content()
    facts = json.loads((tmp_path / "set/runs/adapted-1/log.jsonl").read_text().splitlines()[-1])
    assert facts["epoch"] == 40


SIXTY = [f"{verb} {part}" for verb in ("grasp", "place", "turn", "lift", "push", "wipe") for part in
         ("shaft", "gear", "bearing", "bolt", "nut", "lid", "cup", "spoon", "plate", "box")]  # fmt: skip


def test_how_it_looks(bench, browser, tmp_path):
    """Screenshots for the docs; here that nothing is wider than the window, in every state."""
    folder, _ = bench
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    with served(tmp_path, "--run", folder / "run", "--training-set", tmp_path / "set") as address:
        with browser.page(1100, 900, scheme="dark") as page:
            page.goto(address)
            page.set_input_files("#files", folder / "new.mp4")
            page.locator("#work").wait_for(timeout=60_000)
            settled(page)
            page.mouse.click(*place(page, 8.0))
            settled(page)
            until(page, "document.querySelector('video').readyState === 4")
            assert page.evaluate(fits)
            picture(page, "app-dark")
            page.fill("#actions", "\n".join(SIXTY))
            until(page, "document.querySelector('#command').textContent.includes('wipe box')")
            draft = [{"start": at, "stop": at + 1, "label": name} for at, name in enumerate(SIXTY)]
            video = page.evaluate("fetch('/api/state').then((one) => one.json()).then((state) => state.videos[0].id)")
            how = {"method": "PUT", "body": json.dumps({"segments": draft})}
            page.evaluate(f"fetch('/api/videos/{video}/corrections', {json.dumps(how)})")
            page.reload()
            page.locator("#work").wait_for()
            settled(page)
            assert page.evaluate(fits)
            assert page.locator("#legend li").count() >= 60
            picture(page, "app-60-classes")
        with browser.page(390, 900) as page:
            page.goto(address)
            page.set_input_files("#files", folder / "new.mp4")
            page.locator("#work").wait_for(timeout=60_000)
            settled(page)
            assert page.evaluate(fits)
            picture(page, "app-narrow")
        with browser.page(1200, 500) as page:
            page.goto(address)
            (tmp_path / "no_video.mp4").write_text("nothing to see")
            page.set_input_files("#files", tmp_path / "no_video.mp4")
            page.locator("#fault").wait_for()
            assert page.locator("#fault-text").text_content().startswith("no_video.mp4: ")
            picture(page, "app-error")
            page.context.clear_cookies()
            page.goto(address.partition("?")[0])
            assert "whole address" in page.locator("[role=alert]").text_content()


def test_the_page_works_from_the_keyboard(bench, browser, tmp_path):
    folder, _ = bench
    run = "--run", folder / "run"
    with served(tmp_path, *run, ending=signal.SIGHUP) as address, browser.page(1200, 1100) as page:
        page.goto(address)
        page.set_input_files("#files", folder / "new.mp4")
        page.locator("#work").wait_for(timeout=60_000)
        settled(page)
        assert not page.locator("#training-set").is_visible()  # there is none
        before = drawn(page)
        page.locator("#timeline canvas").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("s")
        settled(page)
        assert len(drawn(page)) == len(before) + 1
        page.keyboard.press("Control+z")
        settled(page)
        assert drawn(page) == before
        page.keyboard.press("Control+Shift+z")
        settled(page)
        assert len(drawn(page)) == len(before) + 1
        page.click("#compare")
        settled(page)
        assert page.locator("#figures td").all_text_contents() == ["100.0"] * 5 + ["1.000"]
        assert page.locator("#comparison canvas").is_visible()
        (tmp_path / "other.txt").write_text("grasp shaft\n" * 100)
        page.set_input_files("#label-files", tmp_path / "other.txt")
        until(page, "document.querySelector('#second').textContent.includes('other.txt')")
        page.select_option("#second", label="other.txt")
        page.click("#compare")
        until(page, "document.querySelector('#figures td').textContent !== '100.0'")
        page.fill("#actions", "grasp shaft\nrotate gear\nplace bearing")
        page.locator("#actions").focus()
        page.keyboard.press("Control+Home")
        page.keyboard.press("Alt+ArrowDown")
        until(page, "document.querySelector('#command').textContent.includes('rotate gear, grasp shaft')")
        page.locator("#set-shortest").focus()
        page.keyboard.press("End")
        until(page, "document.querySelector('#command').textContent.includes('--minimal-duration 10')")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, select, textarea, button')].filter((one) => "
            "!one.labels?.length && !one.textContent.trim() && !one.ariaLabel).map((one) => one.id)"
        )
        assert unnamed == []
