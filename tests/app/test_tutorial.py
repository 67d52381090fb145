"""The tutorial of the labelling page, from nothing to files for ELAN and BORIS, and the pictures that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

import fact_clip
from fact_clip.formats import boris, elan
from fact_clip.formats.base import Options

from .browsing import (
    FPS,
    ROOT,
    TRAINED,
    add_classes,
    asked,
    at,
    dragged,
    entered,
    film,
    labels,
    opened,
    picture,
    place,
    served,
    settled,
    shown,
    to_panel,
    trained,
    until,
    upload,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

PAGE = ROOT / "docs/tutorials/first_labels.md"
ACTIONS = TRAINED[1:]
PLANS = {
    "bench_01": (2, 0, 3, 1, 4, 0, 2, 3, 1, 4),
    "bench_02": (0, 1, 4, 2, 3, 0, 4, 1, 3, 2),
    "bench_03": (1, 0, 3, 4, 2, 0, 1, 2, 4, 3),
    "bench_04": (0, 3, 2, 1, 4, 0, 2, 4, 1, 3),
}
"""Actions of a film, by their places in TRAINED; each takes some seconds."""


@dataclass(frozen=True)
class Film:
    """A film and its true segments, in pictures."""

    path: Path
    truth: tuple[tuple[str, int, int], ...]


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> list[Film]:
    folder = tmp_path_factory.mktemp("films")
    made = []
    for number, (name, order) in enumerate(PLANS.items()):
        plan = [(2 + (number + position) % 3, TRAINED[index]) for position, index in enumerate(order)]
        rows = film(folder / f"{name}.mp4", plan, seed=20 + number)
        segments = fact_clip.Segmentation.from_frames(rows)
        truth = tuple((one.label, 3 * one.start, 3 * one.stop) for one in segments)
        made.append(Film(folder / f"{name}.mp4", truth))
    return made


def spot(page, shown_film: Film, seconds: float) -> tuple[float, float]:
    """Where a time of a film lies on the first row of the timeline."""
    return place(page, seconds, duration=shown_film.truth[-1][2] / FPS)


def label(page, *segments: tuple[str, int, int]) -> None:
    """Label as step 4 says: the key of a class where its action begins, and again where it ends."""
    page.locator("#timeline canvas").focus()
    for key, start, stop in segments:
        at(page, start / FPS)
        page.keyboard.press(key)
        at(page, stop / FPS)
        page.keyboard.press(key)
    settled(page)


def test_the_tutorial_of_the_page(films, browser, tmp_path):
    keys = {name: str(number) for number, name in enumerate(ACTIONS, start=1)}
    with (
        served(tmp_path / "my_project") as address,
        browser.page(1300, 860, accept_downloads=True) as page,
    ):
        # 2. open the page
        entered(page, address)
        picture(page, "tutorial-1-empty")

        # 3. videos and classes
        upload(page, *(each.path for each in films))
        add_classes(page, *ACTIONS)
        at(page, 4.0)
        until(page, "document.querySelector('video').readyState === 4")
        picture(page, "tutorial-2-videos")

        # 4. label three films
        for number, each in enumerate(films[:3]):
            opened(page, number)
            label(page, *((keys[name], start, stop) for name, start, stop in each.truth if name in keys))
            expected = sorted((start, stop, name) for name, start, stop in each.truth if name in keys)
            assert labels(page, number) == expected
            if number < 2:  # of the third one the page asks, before it trains
                page.check("#complete")
                settled(page)
        opened(page, 3)
        page.click(f'#class-list li[data-name="{ACTIONS[2]}"] .give')
        dragged(page, spot(page, films[3], 5.0), spot(page, films[3], 8.0))
        ((_, _, name),) = labels(page, 3)
        assert name == ACTIONS[2]
        page.keyboard.press("Control+z")
        settled(page)
        assert labels(page, 3) == []
        opened(page, 0)
        page.mouse.click(*spot(page, films[0], 12.0))
        settled(page)
        until(page, "document.querySelector('video').readyState === 4")
        page.mouse.move(5, 5)  # no tooltip
        picture(page, "tutorial-3-label")

        # 5. train
        figures = trained(page, "#train", "model-1", 0.08)
        assert figures["after"]["right"] > 60
        to_panel(page, "teach")
        picture(page, "tutorial-4-train", clip={"x": 0, "y": 0, "width": 1300, "height": 420})
        to_panel(page, "label")

        # 6. correct the drafts of the fourth film
        opened(page, 3)
        until(page, "document.querySelector('#videos progress') === null", 60)
        settled(page)
        drafts = shown(page, 3)["drafts"]
        assert {one["label"] for one in drafts} <= {"background", *ACTIONS}
        first = next(index for index, one in enumerate(drafts) if one["label"] in keys)
        middle = (drafts[first]["start"] + drafts[first]["stop"]) / 2
        page.mouse.click(*spot(page, films[3], middle / FPS))
        page.keyboard.press("Enter")
        settled(page)
        assert asked(page, "/api/state")["videos"][3]["labels"] == 1
        opened(page, 3)
        page.mouse.move(5, 5)  # no tooltip
        at(page, middle / FPS)
        until(page, "document.querySelector('video').readyState === 4")
        picture(page, "tutorial-5-correct")

        # 7. files for ELAN and BORIS
        for number in (1, 4):
            opened(page, number - 1)
            to_panel(page, "results")
            for kind in ("eaf", "boris"):
                page.select_option("#format", kind)
                with page.expect_download() as download:
                    page.click("#download")
                assert download.value.suggested_filename == f"bench_0{number}.{kind}"
                download.value.save_as(tmp_path / download.value.suggested_filename)
            to_panel(page, "label")
    (annotation,) = elan.read_annotations(tmp_path / "bench_04.eaf", Options())
    assert [span.label for span in annotation.spans] == [drafts[first]["label"]]  # what was accepted
    expected = sorted((start / FPS, stop / FPS, name) for name, start, stop in films[0].truth if name in keys)
    for name, read in (("bench_01.eaf", elan.read_annotations), ("bench_01.boris", boris.read_annotations)):
        (annotation,) = read(tmp_path / name, Options())
        found = sorted((span.start, span.stop, span.label) for span in annotation.spans)
        assert [one for *_, one in found] == [one for *_, one in expected]
        times = [time for start, stop, _ in expected for time in (start, stop)]
        assert [time for start, stop, _ in found for time in (start, stop)] == pytest.approx(times, abs=0.001)


def test_the_tutorial_shows_its_pictures():
    """Each picture of the test is on the page, and each picture of the page is of the test."""
    written = Path(__file__).read_text(encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    for image in sorted((ROOT / "docs/images").glob("tutorial-*.png")):
        assert f'"{image.stem}"' in written
        assert f"../images/{image.name}" in text
