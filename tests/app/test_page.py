"""The page in a real browser, from nothing and from a model, on films of the workbench."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

import fact_clip
from fact_clip.datasets.labels import UNLABELLED
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
def served(project: Path, *arguments: object, ending: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """`fact-clip app` on a project in a process of its own; its address. It ends by a signal."""
    command = [
        sys.executable,
        "-m",
        "fact_clip",
        "app",
        str(project),
        *map(str, arguments),
        "--port",
        "0",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "XDG_DATA_HOME": str(project.parent / "home")}
    piped = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": environment}
    with subprocess.Popen(command, **piped) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/\?token=[\w-]{43}\n", line), line
            yield line.split()[1]
        finally:
            process.send_signal(ending)
            process.wait(20)


def asked(page, path: str):
    """The JSON that the server answers to the page."""
    return page.evaluate(f"fetch('{path}').then((one) => one.json())")


def shown(page, number: int = 0):
    """A video of the project, as the page gets it."""
    return asked(page, f"/api/videos/{asked(page, '/api/state')['videos'][number]['id']}")


def parts(segments):
    return [(each["start"], each["stop"], each["label"]) for each in segments]


def drawn(page, row: int = 0):
    """The segments of the page as (start, stop, label) in frames: those of the first track, or of the prediction."""
    video = shown(page)
    return parts(video["tracks"][0]["segments"] if row == 0 else video["drafts"])


def share_of_new(segments, truth) -> float:
    """Of the frames that show `NEW`, how many are named so."""
    names = [label for start, stop, label in segments for _ in range(start, stop)][1::3]  # a picture of each row
    return float(np.mean([name == NEW for name, true in zip(names, truth, strict=True) if true == NEW]))


def place(page, seconds: float, row: int = 0, longest: str = "prediction") -> tuple[float, float]:
    """Where a time lies on the timeline: names take 7 pixels a letter and 8 more, a row 26 and 6 between."""
    page.locator("#timeline canvas").scroll_into_view_if_needed()
    box = page.locator("#timeline canvas").bounding_box()
    left = 7 * len(longest) + 8
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
    """A screenshot for the docs, in few colours so that it is small, without the folders of this machine."""
    renamed = "note.textContent.replace(/Project .*?\\. Everything/, 'Project /home/ada/my_project. Everything')"
    page.evaluate(f"(note => {{ note.textContent = {renamed} }})(document.querySelector('#note'))")
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


def at(page, seconds: float) -> None:
    """Move the player."""
    page.evaluate(f"document.querySelector('video').currentTime = {seconds}")
    until(page, "!document.querySelector('video').seeking")


def upload(page, *paths: Path) -> None:
    """Add files, and wait until the page has them."""
    page.set_input_files("#files", paths)
    page.locator("#work").wait_for(timeout=60_000)
    until(page, "document.querySelector('#note').textContent === ''")
    settled(page)


def everything(page, path: Path) -> dict[str, bytes]:
    """The files of "Download all videos", by name."""
    page.select_option("#format", "json")
    with page.expect_download() as download:
        page.click("#download-all")
    download.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_from_an_upload_to_an_adapted_model(bench, browser, tmp_path):
    folder, truth = bench
    with (
        served(tmp_path / "p", "--run", folder / "run", "--training-set", tmp_path / "set") as address,
        browser.page(1100, 1400, accept_downloads=True) as page,
    ):
        page.goto(address)
        assert "token" not in page.url
        upload(page, folder / "new.mp4")
        until(page, "document.querySelector('#videos progress') === null", 60)
        settled(page)
        before = drawn(page)
        assert before == drawn(page, 1) != []

        # names
        page.fill("#actions", "\n".join([*TRAINED[1:4], NEW, NASTY]))
        until(page, "document.querySelector('#command').textContent.includes('<img')")
        settled(page)
        named = drawn(page)
        assert named != before
        assert {label for *_, label in named} <= {*TRAINED[:4], NEW, NASTY}
        assert NASTY in page.locator("#command").text_content()
        assert page.locator("img").count() == 0

        # a click seeks; a segment is labelled over the drafts, and its edge is dragged
        page.mouse.click(*place(page, 8.0, 1))
        until(page, "Math.abs(document.querySelector('video').currentTime - 8) < 0.1")
        page.keyboard.press("Escape")
        for seconds, key in ((5.0, "4"), (5.0, "i"), (11.0, "o")):
            at(page, seconds)
            page.keyboard.press(key)
        settled(page)
        assert (75, 165, NEW) in drawn(page)
        start, middle = place(page, 5.0)
        page.mouse.move(start + 3, middle)  # an edge is grabbed from inside
        page.mouse.down()
        page.mouse.move(place(page, 6.0)[0] + 3, middle, steps=5)
        page.mouse.up()
        settled(page)
        dragged = next(each for each in drawn(page) if each[2] == NEW and each[1] == 165)
        assert abs(dragged[0] - 90) <= 1
        page.fill("#start", "6.0")
        page.press("#start", "Enter")
        settled(page)
        assert (90, 165, NEW) in drawn(page)
        page.fill("#start", "900")
        page.press("#start", "Enter")
        assert page.locator("#fault-text").text_content().startswith("Enter a time between 0 and")
        page.click("#dismiss")

        # a name that looks like HTML is text everywhere
        page.mouse.click(*place(page, 1.0))
        page.fill("#label", NASTY)
        page.press("#label", "Enter")
        settled(page)
        assert NASTY in page.locator("#legend").text_content()
        assert page.locator("img").count() == 0
        page.click("#undo")
        settled(page)
        page.fill("#actions", "\n".join([*TRAINED[1:4], NEW]))  # the picture is for the docs
        until(page, "!document.querySelector('#legend').textContent.includes('<img')")
        settled(page)
        page.set_viewport_size({"width": 1100, "height": 1100})
        at(page, 8.0)
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
        until(page, "document.querySelector('#training-note').textContent.startsWith('Trained')", 120)
        page.select_option("#model", "adapted-1")
        settled(page)
        assert (90, 165, NEW) in drawn(page)
        adapted = share_of_new(drawn(page, 1), truth)
        assert adapted > base + 0.3, (base, adapted)
        assert "adapted-1" in page.locator("#command").text_content()


def test_labels_from_nothing_survive_a_kill_and_another_browser(bench, browser, tmp_path):
    """Two videos, two tracks, by keyboard and mouse, without a model; then kill -9, and another browser."""
    folder, _ = bench
    project = tmp_path / "p"
    with (
        served(project, ending=signal.SIGKILL) as address,
        browser.page(1100, 1200, accept_downloads=True) as page,
    ):
        page.goto(address)
        until(page, "document.querySelector('#empty-text').textContent !== ''")
        upload(page, folder / "new.mp4", folder / "v0.mp4")
        page.fill("#actions", "stir\npour [q]\nhold")
        settled(page)
        until(page, "document.querySelectorAll('#legend li').length === 3")
        page.locator("#timeline canvas").focus()
        for key, start, stop in (("1", 1.0, 3.0), ("q", 4.0, 6.0), ("1", 6.0, 8.0)):
            page.keyboard.press("Escape")
            at(page, start)
            page.keyboard.press(key)
            page.keyboard.press("i")
            at(page, stop)
            page.keyboard.press("o")
            settled(page)
        assert drawn(page) == [(15, 45, "stir"), (60, 90, "pour"), (90, 120, "stir")]
        page.keyboard.press(".")  # the start of the chosen one, and the end of its neighbour
        settled(page)
        assert drawn(page)[1:] == [(60, 91, "pour"), (91, 120, "stir")]
        page.keyboard.press("Control+z")
        settled(page)
        page.reload()
        page.locator("#work").wait_for()
        settled(page)
        page.keyboard.press("Control+Shift+z")  # after a reload
        settled(page)
        assert drawn(page)[1:] == [(60, 91, "pour"), (91, 120, "stir")]
        at(page, 12.0)
        page.keyboard.press("p")
        page.keyboard.press("j")
        settled(page)
        assert (180, 180, "stir") in drawn(page)

        page.fill("#track-name", "left hand")
        page.click("#add-track")
        settled(page)
        page.keyboard.press("2")  # the first key that is free
        x, y = place(page, 2.0, 1, "left hand")
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(*place(page, 5.0, 1, "left hand"), steps=4)
        page.mouse.up()
        settled(page)
        (held,) = shown(page)["tracks"][1]["segments"]
        assert abs(held["start"] - 30) <= 1
        assert abs(held["stop"] - 75) <= 1
        assert (held["label"], held["origin"]) == ("hold", "drawn")
        at(page, 5.0)
        picture(page, "app-two-tracks")

        # removal asks, and can be undone
        page.click("[aria-label='Remove v0']")
        page.click("#ask-yes")
        until(page, "document.querySelectorAll('#videos li').length === 1")
        page.click("#removed button")
        until(page, "document.querySelectorAll('#videos li').length === 2")

        before = everything(page, tmp_path / "before.zip")
    with served(project, ending=signal.SIGINT) as address, browser.page(1100, 1200, accept_downloads=True) as page:
        page.goto(address)
        page.locator("#work").wait_for()
        settled(page)
        assert everything(page, tmp_path / "after.zip") == before
        # a file of labels is loaded into the other video
        page.click("#videos li:nth-child(2) button")
        settled(page)
        (tmp_path / "v0.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nstir\n")
        page.set_input_files("#load", tmp_path / "v0.srt")
        until(page, "document.querySelector('#saved').textContent.startsWith('v0.srt')")
        assert parts(shown(page, 1)["tracks"][0]["segments"]) == [(15, 30, "stir")]
        page.keyboard.press("?")
        assert page.locator("#help").is_visible()
    assert len(list((project / "videos").iterdir())) == 2


def by_keys(page, *segments: tuple[str, int, int]) -> None:
    """Label with the keyboard alone: the key of an action, I at its first picture, O at its last; in pictures."""
    page.locator("#timeline canvas").focus()
    for key, start, stop in segments:
        page.keyboard.press("Escape")
        at(page, start / FPS)
        page.keyboard.press(key)
        page.keyboard.press("i")
        at(page, stop / FPS)
        page.keyboard.press("o")
        settled(page)


def trained(page, button: str, run: str, minutes: float) -> dict:
    """Press a button, say that the rest of each video is background, and wait; the figures before and after."""
    page.fill("#minutes", str(minutes))
    page.click(button)
    until(page, "document.querySelector('#rest').open")
    questions = page.locator("#rest-videos p")
    for number in range(questions.count()):
        assert "is labelled to" in questions.nth(number).text_content()
        questions.nth(number).locator("select").select_option("background")
    page.click("#rest button[value=yes]")
    until(page, f"fetch('/api/state').then((one) => one.json()).then((state) => !!state.runs['{run}'] || "
                "state.training?.state === 'failed')", 300)  # fmt: skip
    state = asked(page, "/api/state")
    assert run in state["runs"], state["training"]
    settled(page)
    return state["runs"][run]


def test_a_whole_day(bench, browser, tmp_path):
    """From nothing to a model that was taught a new action, by keys; then kill -9 and another browser."""
    folder, _ = bench
    project, films = tmp_path / "p", ["v0", "v1", "v2", "v3"]
    truth = {}
    for name in films:
        rows = (folder / f"data/groundTruth/{name}.txt").read_text().splitlines()
        truth[name] = [(one.label, 3 * one.start, 3 * one.stop) for one in fact_clip.Segmentation.from_frames(rows)]
    first, new = TRAINED[1:4], TRAINED[4]
    keys = {name: str(number) for number, name in enumerate(TRAINED[1:], start=1)}
    with (
        served(project, ending=signal.SIGKILL) as address,
        browser.page(1100, 1200, accept_downloads=True) as page,
    ):
        page.goto(address)
        until(page, "document.querySelector('#empty-text').textContent !== ''")
        upload(page, *(folder / f"{name}.mp4" for name in films))
        page.fill("#actions", "\n".join(first))
        settled(page)
        until(page, "document.querySelectorAll('#legend li').length === 3")
        for number, name in enumerate(films[:3]):
            page.click(f"#videos li:nth-child({number + 1}) button")
            settled(page)
            by_keys(page, *((keys[label], start, stop) for label, start, stop in truth[name] if label in first))
            expected = sorted((start, stop, label) for label, start, stop in truth[name] if label in first)
            assert parts(shown(page, number)["tracks"][0]["segments"]) == expected
        figures = trained(page, "#train", "model-1", 0.1)
        assert figures["before"] is None
        assert figures["after"]["right"] > 40  # of one film, by two
        until(page, "document.querySelector('#training-note').textContent.includes('before: –')")

        # drafts on the fourth film: one is corrected, and a new action is taught
        page.click("#videos li:nth-child(4) button")
        until(page, "document.querySelector('#videos progress') === null", 60)
        settled(page)
        assert {name for *_, name in parts(shown(page, 3)["drafts"])} <= {"background", *first}
        page.fill("#actions", "\n".join(TRAINED[1:]))
        settled(page)
        until(page, f"document.querySelector('#legend').textContent.includes('{new}')")  # its key is there
        by_keys(page, *((keys[label], start, stop) for label, start, stop in truth["v3"] if label != "no action"))
        expected = sorted((start, stop, label) for label, start, stop in truth["v3"] if label != "no action")
        drawn_by_hand = [one for one in shown(page, 3)["tracks"][0]["segments"] if one["origin"] != "draft"]
        assert parts(drawn_by_hand) == expected
        for number, name in enumerate(films[:3]):
            page.click(f"#videos li:nth-child({number + 1}) button")
            settled(page)
            by_keys(page, *((keys[label], start, stop) for label, start, stop in truth[name] if label == new))
        figures = trained(page, "#teach", "model-2", 0.05)
        assert figures["after"]["right"] >= figures["before"]["right"] > 0
        words = f"before: {figures['before']['right']:.0f} %"
        until(page, f"document.querySelector('#training-note').textContent.includes('{words}')")

        page.click("#budget")
        until(page, "!document.querySelector('#budget-table').hidden")
        for name in (new, *first):
            until(page, f"document.querySelector('#budget-table').textContent.includes('{name}')")
        before = everything(page, tmp_path / "before.zip")
        state = asked(page, "/api/state")
    with served(project, ending=signal.SIGINT) as address, browser.page(1100, 1200, accept_downloads=True) as page:
        page.goto(address)
        page.locator("#work").wait_for()
        settled(page)
        until(page, "document.querySelector('#videos progress') === null", 60)
        again = asked(page, "/api/state")
        assert (again["runs"], again["actions"], again["model"]["chosen"]) == (
            state["runs"], state["actions"], state["model"]["chosen"])  # fmt: skip
        assert everything(page, tmp_path / "after.zip") == before


SIXTY = [f"{verb} {part}" for verb in ("grasp", "place", "turn", "lift", "push", "wipe") for part in
         ("shaft", "gear", "bearing", "bolt", "nut", "lid", "cup", "spoon", "plate", "box")]  # fmt: skip


def test_how_it_looks(bench, browser, tmp_path):
    """Screenshots for the docs; here that nothing is wider than the window, in every state, and that all has a name."""
    folder, _ = bench
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    with served(
        tmp_path / "p", "--run", folder / "run", "--training-set", tmp_path / "set", ending=signal.SIGHUP
    ) as address:
        with browser.page(1100, 1100, scheme="dark") as page:
            page.goto(address)
            upload(page, folder / "new.mp4")
            until(page, "document.querySelector('#videos progress') === null", 60)
            settled(page)
            page.mouse.click(*place(page, 8.0))
            settled(page)
            until(page, "document.querySelector('video').readyState === 4")
            assert page.evaluate(fits)
            picture(page, "app-dark")
            unnamed = page.evaluate(
                "[...document.querySelectorAll('input, select, textarea, button')].filter((one) => "
                "!one.labels?.length && !one.textContent.trim() && !one.ariaLabel).map((one) => one.id)"
            )
            assert unnamed == []
            before = drawn(page)
            page.locator("#timeline canvas").focus()
            page.keyboard.press("ArrowRight")
            page.keyboard.press("s")
            settled(page)
            assert len(drawn(page)) == len(before) + 1
            page.keyboard.press("Control+z")
            settled(page)
            assert drawn(page) == before
            page.select_option("#first", "shown")  # without labels this is the prediction
            page.click("#compare")
            settled(page)
            assert page.locator("#figures td").all_text_contents() == ["100.0"] * 5 + ["1.000", "0.00", "1.000"]
            assert page.locator("#comparison canvas").is_visible()
            (tmp_path / "other.txt").write_text("grasp shaft\n" * 100)
            page.set_input_files("#label-files", tmp_path / "other.txt")
            until(page, "document.querySelector('#second').selectedOptions[0].textContent === 'other.txt'")
            page.click("#compare")
            until(page, "document.querySelector('#figures td').textContent !== '100.0'")
            page.click("#advanced summary")
            page.locator("#set-shortest").focus()
            page.keyboard.press("End")
            until(page, "document.querySelector('#command').textContent.includes('--minimal-duration 10')")
            page.click("#reset")
            page.fill("#actions", "\n".join(SIXTY))
            page.locator("#actions").focus()
            page.keyboard.press("Control+Home")
            page.keyboard.press("Alt+ArrowDown")
            until(page, "document.querySelector('#command').textContent.includes('grasp gear, grasp shaft')")
            video = shown(page)
            draft = [{"start": 5 * at, "stop": 5 * at + 5, "label": name} for at, name in enumerate(SIXTY)]
            body = {"track": video["tracks"][0]["id"], "revision": None, "segments": draft}
            how = {"method": "PUT", "body": json.dumps(body), "headers": {"content-type": "application/json"}}
            page.evaluate(f"fetch('/api/videos/{video['id']}/segments', {json.dumps(how)})")
            until(page, "document.querySelector('#videos small')?.textContent.startsWith('60 segments')")  # it was told
            settled(page)
            assert page.evaluate(fits)
            assert page.locator("#legend li").count() >= 60
            picture(page, "app-60-classes")
        with browser.page(400, 900) as page:
            page.goto(address)
            page.locator("#work").wait_for(timeout=60_000)
            settled(page)
            assert page.evaluate(fits)
            picture(page, "app-narrow")
            (tmp_path / "no_video.mp4").write_text("nothing to see")
            page.set_input_files("#files", tmp_path / "no_video.mp4")
            page.locator("#fault").wait_for()
            page.wait_for_timeout(700)  # longer than the page waits before it looks again
            assert page.locator("#fault-text").text_content().startswith("no_video.mp4: ")
            picture(page, "app-error")
            page.context.clear_cookies()
            page.goto(address.partition("?")[0])
            assert "whole address" in page.locator("[role=alert]").text_content()
