"""The films to try the page on."""

from __future__ import annotations


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
