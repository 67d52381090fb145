"""The films to try the page on."""

from __future__ import annotations

import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from ..browser import IMAGES
from .browsing import asked, by_keys, entered, labels, message, picture, served_here, settled, until


def test_an_empty_project_is_filled_with_synthetic_films_and_their_classes(opened):
    user = opened(run=None)()
    state = user.ask("POST", "/api/example")
    names = [video["name"] for video in state["videos"]]
    assert names == [f"SYNTHETIC film {number}" for number in (1, 2, 3)]
    assert {video["media"] for video in state["videos"]} == {"original"}
    assert all(20 < video["duration"] < 60 for video in state["videos"])
    assert [(action["name"], action["key"], action["background"]) for action in state["actions"]] == [
        ("grasp shaft", "1", False),
        ("tap shaft with mallet", "2", False),
        ("screw nut with wrench", "3", False),
        ("place bearing", "4", False),
        ("no action", "5", True),
    ]
    assert user.ask("POST", "/api/example", 400)["error"] == (
        "example: there are videos already. Begin another project."
    )
    assert len(user.ask("GET", "/api/state")["videos"]) == 3


def test_classes_that_are_there_stay(opened):
    user = opened(run=None)()
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["stir"]})
    state = user.ask("POST", "/api/example")
    assert [action["name"] for action in state["actions"]][:2] == ["stir", "grasp shaft"]


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("scheme", ["light", "dark"] if IMAGES else ["light"])
def test_a_stranger_opens_an_example_and_labels_it_by_keys(browser, tmp_path, scheme):
    with served_here(tmp_path / "p") as address, browser.page(1280, 720, scheme=scheme) as page:
        entered(page, address)
        assert page.locator("#steps li svg").count() == 5
        assert page.evaluate("document.documentElement.scrollHeight") == 720
        page.click("#example")
        page.locator("#timeline canvas").wait_for()
        assert "SYNTHETIC" in message(page, "These videos")
        assert page.locator("#videos .name").all_text_contents() == [f"SYNTHETIC film {number}" for number in (1, 2, 3)]
        until(page, "[...document.querySelectorAll('#videos img')].every((one) => one.naturalWidth > 0)")
        assert page.locator("#classes .hint").first.is_visible()  # which says how to label
        by_keys(page, ("1", 30, 90), ("2", 90, 120))
        assert labels(page) == [(30, 90, "grasp shaft"), (90, 120, "tap shaft with mallet")]
        until(page, "document.querySelector('#videos small').textContent === '2 segments'")
        settled(page)
        picture(page, f"app-example-{scheme}")
        assert len(asked(page, "/api/state")["videos"]) == 3
