"""Edges, points and refused edits of the page in a real browser: nothing else moves, and nothing is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from ..films import numbered, write_video
from .browsing import (
    SHOWN,
    asked,
    begun,
    edited,
    entered,
    film,
    labels,
    message,
    served_here,
    settled,
    small_project,
    upload,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "mouse.mp4"
    film(path, SHOWN, 9)
    return path


@pytest.fixture
def labelled(browser, clip, tmp_path):
    """A page with a labelled video of 300 pictures, 15 a second."""
    small_project(tmp_path / "my_project", clip)
    with served_here(tmp_path / "my_project") as address, browser.page(1300, 900) as page:
        begun(page, address, "a", "b", "tap")
        yield page


def give(page, *segments) -> None:
    """Give the first track these labels, and show them."""
    video = asked(page, "/api/state")["videos"][0]["id"]
    track = asked(page, f"/api/videos/{video}")["tracks"][0]["id"]
    added = [{"start": start, "stop": stop, "label": label} for start, stop, label in segments]
    body = {"track": track, "revision": None, "segments": added}
    how = {"method": "PUT", "body": json.dumps(body), "headers": {"content-type": "application/json"}}
    page.evaluate(f"fetch('/api/videos/{video}/segments', {json.dumps(how)}).then((one) => one.json())")
    page.wait_for_timeout(600)
    settled(page)


def choose(page, frame: int, is_point: bool = False) -> None:
    page.evaluate(
        "([frame, isPoint]) => import('/static/common/state.js')"
        ".then(({update}) => update({frame, isPoint, isPicked: true}))",
        [frame, is_point],
    )


def retime(page, start: str | None = None, stop: str | None = None) -> None:
    """Type times of the chosen segment; both before one of the fields is left."""
    move = """([start, stop]) => import('/static/label/labelling.js').then(async ({move}) => {
        const {chosenPart} = await import('/static/common/state.js');
        const part = chosenPart();
        move(part, start ?? part.start, stop ?? part.stop);
    })"""
    page.evaluate(move, [start, stop])
    page.wait_for_timeout(300)


CASES = [
    # a segment that moves as a whole shares no edge
    ([(0, 100, "a"), (100, 200, "b")], 100, (210, 250), [(0, 100, "a"), (210, 250, "b")]),
    ([(0, 99, "b"), (99, 200, "b"), (200, 250, "a")], 200, (20, 60),
     [(0, 20, "b"), (20, 60, "a"), (60, 99, "b"), (99, 200, "b")]),
    # an edge alone takes its neighbour along
    ([(0, 100, "a"), (100, 200, "b")], 100, (120, None), [(0, 120, "a"), (120, 200, "b")]),
    # a point event lies over a segment and does not cut it
    ([(0, 100, "a"), (150, 150, "tap")], 150, (50, 50), [(0, 100, "a"), (50, 50, "tap")]),
]  # fmt: skip


def test_segments_move_and_nothing_else(labelled):
    page = labelled
    for before, chosen, (start, stop), after in CASES:
        give(page, *before)
        choose(page, chosen, is_point=(chosen, chosen) in [part[:2] for part in before])
        retime(page, start, stop)
        settled(page)
        assert labels(page) == after


def test_an_edge_moves_over_a_point_event(labelled):
    page = labelled
    give(page, (0, 100, "a"), (120, 120, "tap"))
    choose(page, 0)
    retime(page, None, 150)
    settled(page)
    assert labels(page) == [(0, 150, "a"), (120, 120, "tap")]


def test_edits_outlive_an_internal_error_and_a_token_that_is_renewed(labelled):
    page = labelled
    give(page, (0, 100, "a"))
    pattern = re.compile(r"/api/videos/\w+/edits")
    page.route(pattern, lambda route: route.fulfill(status=500, json={"error": "an internal error"}))
    choose(page, 0)
    retime(page, None, 120)
    assert message(page, "an internal error")
    page.unroute(pattern)
    page.click("#toast-button")  # it is offered again
    settled(page)
    assert labels(page) == [(0, 120, "a")]
    page.route(pattern, lambda route: route.fulfill(status=401, json={"error": "not let in"}))
    choose(page, 0)
    retime(page, None, 90)
    assert message(page, "Not stored yet")
    page.unroute(pattern)
    page.wait_for_timeout(2500)
    settled(page)
    assert labels(page) == [(0, 90, "a")]


def test_a_class_is_ticked_as_background(labelled):
    page = labelled
    give(page, (0, 100, "a"), (100, 200, "b"))
    edited(page, "b").locator(".class-background").check()
    settled(page)
    state = asked(page, "/api/state")
    assert (state["background"], state["videos"][0]["labels"]) == (["b", "background"], 1)


def test_points_of_a_tracker_that_are_dropped_with_their_film_are_its_features(browser, tmp_path):
    film_path = write_video(tmp_path / "take.mp4", numbered(30), rate=15)
    points = tmp_path / "takeDLC_resnet50_mouse.csv"
    rows = ["scorer,net,net,net,net,net,net", "bodyparts" + ",nose" * 3 + ",tail" * 3, "coords" + ",x,y,likelihood" * 2]
    rows += [f"{row},{row},5,1,9,{row},1" for row in range(30)]
    points.write_text("\n".join(rows) + "\n")
    pytest.importorskip("movement")
    with served_here(tmp_path / "p") as address, browser.page(1280, 720) as page:
        entered(page, address)
        upload(page, film_path, points)
        assert page.locator("#videos .name").all_text_contents() == ["take"]
    (features,) = (tmp_path / "p/videos").glob("*.npy")
    assert len(np.load(features)) == 20  # 10 a second
