"""The report in a browser: what it shows, finds, sorts and prints. Its pictures are for the docs (tests/browser.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fact_clip import training
from fact_clip.cli.report import write_report
from fact_clip.config import Config
from fact_clip.report.evaluated import Evaluated
from fact_clip.report.page import save_report
from fact_clip.runs.run import Run

from ..browser import Browser, shoot
from .conftest import NASTY, rows_of

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Callable[..., Any]:
    """``opened(page, runs)``: the report of some runs in a page."""

    def show(page: Any, runs: Sequence[Evaluated] | Path) -> Any:
        path = runs if isinstance(runs, Path) else save_report(runs, tmp_path / "report.html")
        page.goto(path.resolve().as_uri())
        assert page.evaluate("reportIsReady")
        page.evaluate("for (const part of document.querySelectorAll('section > details')) part.open = true")
        return page

    return show


def many(count: int = 8, classes: int = 5, frames: int = 400, seed: int = 0, errors: float = 0.05) -> list:
    """Videos of twelve segments each, the later ones with more errors, at 10 frames a second."""
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(count):
        truth = np.repeat(rng.integers(0, classes, 12), rng.multinomial(frames - 12, [1 / 12] * 12) + 1)
        wrong = np.repeat(rng.random(40) < errors * (number + 1), 10)[:frames]
        guess = np.where(wrong, np.repeat(rng.integers(0, classes, 40), 10)[:frames], truth)
        videos.append(rows_of(truth, guess, f"video {number}", np.arange(frames + 1) / 10))
    return videos


COOKING = ("no action", "pour milk", "stir milk", "crack egg", "pour egg")
"""Names of the pictures for the docs."""


def at_timelines(page: Any, at_least: int = 1) -> Any:
    """Scroll to the timelines and wait until some are drawn."""
    page.evaluate("document.querySelector('#videos').scrollIntoView()")
    page.locator("article.video canvas").nth(at_least - 1).wait_for()
    return page.locator("article.video canvas").first


def names_of(page: Any) -> list[str]:
    return page.locator("article.video h3").evaluate_all("nodes => nodes.map((node) => node.firstChild.data)")


def test_names_show_as_text(browser, opened, evaluated):
    video = rows_of([1, 1, 3, 3, 4, 4], [1, 3, 3, 3, 3, 4], name=NASTY, times=np.arange(7.0))
    with browser.page() as page:
        opened(page, [evaluated([video], unseen=[NASTY], title="<b>run</b>")])
        assert page.locator("img").count() == 0
        assert page.locator("main b").evaluate_all("nodes => nodes.every((node) => node.className.includes('swatch'))")
        assert page.title() == "Report of <b>run</b> (2026-01-01)"
        assert names_of(page) == [NASTY]
        at_timelines(page).hover(position={"x": 600, "y": 15})
        assert page.locator(".tl-tip").text_content().startswith("truth\n")
        listed = page.get_by_role("table", name="classes").locator("td.name").all_text_contents()
        assert f"3{NASTY} (unseen)" in listed
        page.get_by_label("search videos and actions").fill("onerror")
        assert names_of(page) == [NASTY]


def test_timelines_hold_what_was_evaluated(browser, opened, evaluated):
    """Times are those of the frames, which do not all last equally long."""
    video = rows_of([1, 1, 2, 2], [1, 2, 2, 2], times=np.array([0, 1, 1.5, 4, 8]))
    with browser.page() as page:
        opened(page, [evaluated([video])])
        canvas = at_timelines(page)
        canvas.focus()
        said = []
        for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown"):
            page.keyboard.press(key)
            said.append(canvas.get_attribute("aria-label"))
    # Confidence rises from 0.2 to 0.9 in four steps; the tokens' labels are those of the prediction, turned round.
    assert said == [
        "truth, pour milk, 0.00 to 1.50 s (1.50 s)",
        "truth, stir milk, 1.50 to 8.00 s (6.50 s)",
        "prediction, stir milk, 1.00 to 8.00 s (7.00 s), confidence 67 %",
        "frames, stir milk, 1.00 to 8.00 s (7.00 s), confidence 67 %",
        "tokens, stir milk, 0.00 to 4.00 s (4.00 s), confidence 43 %",
    ]


def test_videos_are_searched_and_sorted(browser, opened, evaluated):
    truth = [1] * 10
    videos = [rows_of(truth, [1] * right + [2] * (10 - right), f"video {right}") for right in (5, 9, 2)]
    with browser.page() as page:
        opened(page, [evaluated(videos)])
        assert names_of(page) == ["video 2", "video 5", "video 9"]
        page.get_by_label("order").select_option("accuracy, highest first")
        assert names_of(page) == ["video 9", "video 5", "video 2"]
        page.get_by_label("search videos and actions").fill("VIDEO 5")
        assert names_of(page) == ["video 5"]
        assert page.get_by_text("1 of 3 videos").count() == 1
        page.get_by_label("search videos and actions").fill("stir")
        assert len(names_of(page)) == 3
        page.get_by_label("search videos and actions").fill("nothing of this kind")
        assert page.get_by_text("No video has such a name or action.").count() == 1
        shoot(page, "report-nothing-found", clip={"x": 0, "y": 0, "width": 1100, "height": 800})


def test_only_what_is_near_the_screen_is_drawn(browser, opened, evaluated):
    with browser.page() as page:
        opened(page, [evaluated(many(60))])
        at_timelines(page)
        drawn = "[...document.querySelectorAll('canvas')].filter((canvas) => canvas.width > 0).length"
        assert 3 <= page.evaluate(drawn) < 15
        # In one step, as in printing; later what is off the screen is put away again.
        assert page.evaluate(f"window.dispatchEvent(new Event('beforeprint')) && {drawn}") == 60
        assert page.pdf().startswith(b"%PDF")


def test_the_first_page_says_it_in_words(browser, opened, evaluated):
    """Of twelve frames three are wrong: "pour milk" is called "stir milk" in two of its five."""
    worse, better = (
        rows_of([1, 1, 1, 2, 2, 2], [1, 2, 2, 2, 2, 1], "a"),
        rows_of([1, 1, 2, 2, 2, 2], [1, 1, 2, 2, 2, 2], "b"),
    )
    with browser.page() as page:
        opened(page, [evaluated([better, worse])])
        page.reload()
        parts = page.locator("section > details[open]").evaluate_all("nodes => nodes.map((node) => node.parentNode.id)")
        assert parts == ["short", "videos"]
        lines = page.locator("#short li").all_text_contents()
        assert lines[0] == "75.0 % of all frames have the right name."
        assert lines[-2:] == [
            "The worst video is a: 50.0 % of its frames are right.",
            "Most confused: 1pour milk is called 2stir milk in 40.0 % of its frames.",
        ]
        page.locator("nav a", has_text="Classes").click()
        assert page.locator("#classes table").is_visible()
        page.locator("#short button").click()
        assert page.locator("article.video:has(canvas:focus) h3").text_content().startswith("a")


def test_an_uncertain_segment_is_shown_in_its_timeline(browser, opened, evaluated):
    with browser.page() as page:
        opened(page, [evaluated(many())])
        row = page.get_by_role("table", name="least certain segments").locator("tbody tr").first
        video, start, stop, label = (row.locator("td").nth(place).text_content() for place in range(4))
        row.get_by_role("button").click()
        said = page.locator("article.video canvas:focus").get_attribute("aria-label")
        assert said.startswith(f"prediction, {label.lstrip('0123456789')}, {start} to {stop} s")
        assert page.locator("article.video:has(canvas:focus) h3").text_content().startswith(video)


def test_confusions_by_class(browser, opened, evaluated):
    """Two of the three frames of "pour milk" are named "stir milk"."""
    with browser.page() as page:
        opened(page, [evaluated([rows_of([1, 1, 1, 2], [1, 2, 2, 2])])])
        rows = page.get_by_role("table", name="largest confusions").locator("tbody tr").all_text_contents()
        assert rows == ["1pour milk2stir milk266.7"]
        titles = page.locator("#confusion rect title").all_text_contents()
        assert "true pour milk, predicted stir milk: 2 frames, 66.7 %" in titles


def test_a_class_that_is_only_predicted_has_a_column(browser, opened, evaluated):
    with browser.page() as page:
        opened(page, [evaluated([rows_of([1, 1, 1, 1], [1, 2, 2, 2])])])
        titles = page.locator("#confusion rect title").all_text_contents()
        assert "true pour milk, predicted stir milk: 3 frames, 75.0 %" in titles


def test_reliability(browser, opened, evaluated):
    with browser.page() as page:
        opened(page, [evaluated(many(2))])
        assert page.locator("#reliability polyline").count() == 1  # there are no confidences after calibration
        title = page.locator("#reliability circle title").text_content()
        assert title == "scores: 4 frames, confidence 62.5, correct 50.0"


def test_two_runs_stand_side_by_side(browser, opened, evaluated):
    truth = [1] * 5 + [2] * 5
    first = evaluated([rows_of(truth, [1] * 10, "a"), rows_of(truth, truth, "b")], title="before")
    second = evaluated([rows_of(truth, truth, "a"), rows_of(truth, [2] * 10, "b")], title="after")
    with browser.page() as page:
        opened(page, [first, second])
        rows = page.get_by_role("table", name="change by video").locator("tbody tr").all_text_contents()
        assert rows == ["b100.050.0−50.0", "a50.0100.0+50.0"]
        rows = page.get_by_role("table", name="change by class").locator("tbody tr").all_text_contents()
        assert rows == ["1pour milk100.050.0−50.0", "2stir milk50.0100.0+50.0"]
        canvas = at_timelines(page)
        canvas.focus()
        for _ in range(3):
            page.keyboard.press("ArrowDown")
        assert canvas.get_attribute("aria-label").startswith("after, ")  # rows: truth, before, after


def test_two_runs_of_many_videos(browser, opened, evaluated):
    first = evaluated(many(errors=0.05), COOKING, title="before")
    missing, *videos = many(errors=0.01)
    second = evaluated(videos, COOKING, title="after")
    with browser.page(height=900) as page:
        opened(page, [first, second])
        page.get_by_label("order").select_option("change of accuracy, largest first")
        assert len(names_of(page)) == 8
        assert names_of(page)[-1].startswith(missing.name)  # no change is known
        assert page.evaluate("[119.999, 59.999, 61.5].map((time) => Timeline.clock(time))") == [
            "2:00.00",
            "1:00.00",
            "1:01.50",
        ]
        page.get_by_label("search videos and actions").fill("video 7")
        at_timelines(page)
        shoot(page, "report-two-runs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sixty_classes(browser, opened, evaluated, scheme):
    names = ["no action", *(f"screw part {number} with the hex screwdriver" for number in range(60))]
    run = evaluated(many(6, 61), names, unseen=names[7:12])
    with browser.page(scheme=scheme) as page:
        opened(page, [run])
        assert page.locator(".legend div").count() == 60
        numbers = page.locator(".legend .swatch").all_text_contents()
        assert numbers == [str(number) for number in range(1, 61)]
        at_timelines(page, 3)
        shoot(page, f"report-60-classes-{scheme}")


def test_a_narrow_window_does_not_scroll_sideways(browser, opened, evaluated):
    with browser.page(380, 800) as page:
        opened(page, [evaluated(many(), COOKING, unseen=["stir milk"])])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        at_timelines(page)
        shoot(page, "report-narrow")


def test_an_empty_report_and_a_damaged_one_say_so(browser, evaluated, tmp_path):
    path = save_report([evaluated([rows_of([1], [1])])], tmp_path / "report.html")
    path.write_text(path.read_text().replace('{"classes"', '{"classes'))
    with browser.page(800, 300) as page:
        page.goto(path.as_uri())
        assert page.locator("main").text_content().startswith("This report is damaged:")
        shoot(page, "report-damaged")
        browser.faults.clear()  # the script is meant to fail


@pytest.fixture(scope="session")
def kscgr_run(kscgr: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of one epoch on KSCGR with classes held out, scored on its test videos.

    For the pictures in the docs FACT_CLIP_KSCGR_RUN names a run that was trained and evaluated properly.
    """
    if "FACT_CLIP_KSCGR_RUN" in os.environ:
        return Path(os.environ["FACT_CLIP_KSCGR_RUN"])
    small = [
        "model.input.hidden=48",
        "model.input.frame_dim=16",
        "model.input.frame_layers=4",
        "model.update.frame_layers=2",
    ]
    small += ["model.input.action_dim=16", "model.input.feedforward=32", "model.tokens=80", "text.encoder=hash:32"]
    small += ["train.epochs=1", "train.members=1", "train.validate_from=0", "data.context=[5]", "train.device=cpu"]
    small += ["data.stride=8", "data.interleave=false"]
    config = Config.load("kscgr_zero_shot", [f"data.root={kscgr}", *small])
    run = tmp_path_factory.mktemp("kscgr") / "run"
    training.train(config, run)
    training.evaluate(run)
    return run


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_of_a_kscgr_run(browser, opened, kscgr_run, scheme):
    path, run = write_report([kscgr_run]), Run.read(kscgr_run)
    assert path == kscgr_run / "report.html"
    with browser.page(scheme=scheme) as page:
        opened(page, path)
        videos = names_of(page)
        assert len(videos) == 9
        heads = page.locator("h2").all_text_contents()
        assert heads == [
            "In short", "Numbers", "Seen and unseen", "Timelines", "Confusions", "Errors on unseen classes",
            "Segments and boundaries", "Classes", "Least certain segments", "Reliability", "Settings and versions",
        ]  # fmt: skip
        assert page.locator("#curve polyline").count() == 1
        assert page.get_by_text("H* (oracle)").count() == 1
        assert page.get_by_label("by", exact=True).locator("option").all_text_contents() == [
            "class",
            *run.vocabulary.slots,
        ]
        page.get_by_label("by", exact=True).select_option("object")
        assert page.get_by_text("predicted; true in rows").count() == 1
        assert page.get_by_role("table", name="unseen classes").locator("tbody tr").count() == 6
        page.evaluate("document.querySelector('#short').scrollIntoView()")
        shoot(page, f"report-numbers-{scheme}")
        at_timelines(page, 3)
        shoot(page, f"report-timelines-{scheme}")
