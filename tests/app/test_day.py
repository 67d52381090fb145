"""A day of two people on the page: from nothing to two models and to files of ELAN and BORIS, and back."""

from __future__ import annotations

import json
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

import fact_clip

from ..shell import commands
from .browsing import (
    FPS,
    ROOT,
    TRAINED,
    add_classes,
    asked,
    by_keys,
    called,
    encoded,
    entered,
    everything,
    film,
    labels,
    opened,
    picture,
    served,
    served_here,
    settled,
    shown,
    to_panel,
    trained,
    until,
    upload,
    while_playing,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

CLASSES = (*TRAINED[1:], "rest hands")
PLANS = ((2, 0, 3, 1, 4, 0, 2, 3), (0, 1, 4, 2, 3, 0, 4, 1), (1, 0, 3, 4, 2, 0, 1, 2))
"""Actions of a film, by their places in TRAINED; each takes some seconds."""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films, and the true segments of each in pictures, without "no action"."""
    folder = tmp_path_factory.mktemp("day")
    truth = {}
    for number, order in enumerate(PLANS):
        plan = [(2 + (number + position) % 3, TRAINED[index]) for position, index in enumerate(order)]
        rows = film(folder / f"day_{number}.mp4", plan, seed=40 + number)
        segments = fact_clip.Segmentation.from_frames(rows)
        truth[f"day_{number}"] = [(one.label, 3 * one.start, 3 * one.stop) for one in segments if one.label in CLASSES]
    return folder, truth


def fields(track) -> list[tuple]:
    return [(one["start"], one["stop"], one["label"], one["comment"]) for one in track["segments"]]


def told(segments) -> list[tuple[int, int, str]]:
    """Segments (label, start, stop) as the server has them."""
    return sorted((start, stop, label) for label, start, stop in segments)


def downloaded(page, kind: str, folder: Path) -> Path:
    """All videos in a format; the folder of the files."""
    to_panel(page, "results")
    page.select_option("#format", kind)
    with page.expect_download() as download:
        page.click("#download-all")
    download.value.save_as(folder / f"{kind}.zip")
    with zipfile.ZipFile(folder / f"{kind}.zip") as archive:
        archive.extractall(folder / kind)
    to_panel(page, "label")
    return folder / kind / "labels"


def loaded(page, path: Path) -> None:
    """Load a label file whose name fits a video, into a new project."""
    page.set_input_files("#files", path)
    page.locator("#load-target").wait_for()
    settled(page)
    page.click("#ask-yes")
    until(page, f"document.querySelector('#toast-text').textContent.startsWith('{path.name}')")
    settled(page)


def test_a_day_of_two_people(films, browser, tmp_path):
    folder, truth = films
    names = list(truth)
    keys = {name: str(number) for number, name in enumerate(CLASSES, start=1)}
    with (
        served(tmp_path / "day", ending=signal.SIGKILL) as address,
        browser.page(1400, 900, accept_downloads=True) as anna,
        browser.page(1400, 900) as bernd,
    ):
        # Anna labels two videos, the first one while it plays
        entered(anna, address)
        called(anna, "Anna")
        upload(anna, *(folder / f"{name}.mp4" for name in names))
        add_classes(anna, *CLASSES)
        for number, name in enumerate(names[:2]):
            opened(anna, number)
            by_hand = while_playing if number == 0 else by_keys
            by_hand(anna, *((keys[label], start, stop) for label, start, stop in truth[name]))
            anna.fill("#comment", f"the last of {name}, half hidden")
            anna.press("#comment", "Enter")
            settled(anna)
            anna.check("#complete")
            settled(anna)
        assert [label for *_, label in labels(anna)] == [label for *_, label in told(truth[names[0]])]
        assert labels(anna, 1) == told(truth[names[1]])

        # Bernd labels the first one, too, on a track of his own, a third of a second later, and names one differently
        entered(bernd, address)
        called(bernd, "Bernd")
        bernd.fill("#track-name", "Bernd")
        bernd.click("#add-track")
        settled(bernd)
        late = [(label, start + 5, stop + 5) for label, start, stop in truth[names[0]][:-1]]
        _, start, stop = truth[names[0]][-1]
        late.append(("rest hands", start + 5, stop))
        by_keys(bernd, *((keys[label], start, stop) for label, start, stop in late))
        bernd.check("#complete")
        settled(bernd)
        assert labels(bernd, 0, 1) == told(late)
        bernd.close()

        # they compare, and the command line says the same of the files
        opened(anna, 0)
        to_panel(anna, "results")
        anna.select_option("#first", "track main")
        anna.select_option("#second", "track Bernd")
        anna.click("#compare")
        settled(anna)
        kappa = figure(anna, "Cohen's kappa")
        anna.check("#all-videos")
        anna.click("#compare")
        settled(anna)
        assert figure(anna, "Cohen's kappa") == kappa
        assert "rest hands" in anna.locator("#confusion").text_content()
        to_panel(anna, "label")
        before_training = kappa_of_files(downloaded(anna, "json", tmp_path / "one"))
        assert f"{before_training:.3f}" == kappa

        # a model drafts the third video; Anna corrects it, and trains again
        figures = trained(anna, "#train", "model-1", 0.06)
        assert figures["after"]["right"] > 40
        opened(anna, 2)
        until(anna, "fetch('/api/state').then((one) => one.json()).then((state) => state.videos[2].predicted)", 60)
        settled(anna)
        by_keys(anna, *((keys[label], start, stop) for label, start, stop in truth[names[2]]))
        assert labels(anna, 2) == told(truth[names[2]])
        anna.check("#complete")
        settled(anna)
        figures = trained(anna, "#teach", "model-2", 0.02)
        assert figures["before"]["right"] > 0
        to_panel(anna, "teach")
        words = f"before: {figures['before']['right']:.0f} %"
        until(anna, f"document.querySelector('#training-note').textContent.includes('{words}')")
        assert anna.locator("#models-table tbody tr").count() == 2
        picture(anna, "app-teach")

        # files for ELAN and BORIS
        expected = [fields(track) for track in shown(anna)["tracks"]]
        assert any(comment for *_, comment in expected[0])
        exports = {kind: downloaded(anna, kind, tmp_path / "two") for kind in ("eaf", "boris")}

        # plots
        to_panel(anna, "results")
        for name in CLASSES:
            until(anna, f"document.querySelector('#budget-table').textContent.includes('{name}')")
        anna.select_option("#plot-name", "bins")
        anna.fill("#plot-bins", "2")
        until(
            anna,
            "document.querySelector('#plot')?.src.includes('bins=2')"
            " && document.querySelector('#plot').naturalWidth > 100",
        )
        anna.select_option("#plot-name", "transitions")
        until(anna, "document.querySelector('#plot')?.naturalWidth > 100")
        with anna.expect_download() as download:
            anna.click("#plot-png")
        assert download.value.suggested_filename == "transitions.png"
        before = everything(anna, tmp_path / "before.zip")
        state = asked(anna, "/api/state")

    # the server was killed: nothing is lost
    with served(tmp_path / "day") as address, browser.page(1400, 900, accept_downloads=True) as page:
        entered(page, address)
        encoded(page)
        again = asked(page, "/api/state")
        for key in ("runs", "actions"):
            assert again[key] == state[key]
        assert again["model"]["chosen"] == state["model"]["chosen"]
        assert everything(page, tmp_path / "after.zip") == before
    for kind, export in exports.items():
        with served_here(tmp_path / kind) as address, browser.page(1400, 900) as page:
            entered(page, address)
            upload(page, folder / f"{names[0]}.mp4")
            loaded(page, export / f"{names[0]}.{kind}")  # tracks are tiers or subjects
            assert [fields(track) for track in shown(page)["tracks"]] == expected, kind
            assert {one["name"] for one in asked(page, "/api/state")["actions"]} >= set(CLASSES)


def figure(page, title: str) -> str:
    row = page.locator("#figures tr", has_text=title)
    return row.locator("td").text_content()


def kappa_of_files(folder: Path) -> float:
    """Kappa of the two tracks of the first video, by the command line."""
    files = [str(folder / f"day_0.{track}.json") for track in ("main", "Bernd")]
    command = [commands() / "fact-clip", "summary", files[0], "--against", files[1], "--json"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)["agreement"][0]["kappa"]


def test_pictures_and_seconds_are_those_of_the_film(films):
    """What the day's test counts in pictures lies on whole rows of features."""
    _, truth = films
    for segments in truth.values():
        assert all(start % (FPS / 5) == stop % (FPS / 5) == 0 for _, start, stop in segments)
