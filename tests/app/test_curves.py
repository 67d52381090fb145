"""Curves of sensors and features next to a video: their outlines, their table, and the page without a film."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip_app.store.history import History, Person
from fact_clip_app.store.project import Action, Project
from fact_clip_app.workspace.curves import _extremes, _read_table

from ..browser import shoot
from ..refusals import refused
from .browsing import HEAD, entered, labels, served_here, settled, until
from .browsing import opened as opened_video


def table(path, *lines: str):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_outlines_by_hand():
    values = np.array([1, 5, 2, 4], np.float32)
    starts = np.array([0.0, 1, 2, 3, 4])
    low, high = _extremes(values, starts, np.array([0.0, 2, 4, 6]))
    assert (low[:2].tolist(), high[:2].tolist()) == ([1, 2], [5, 4])
    assert np.isnan([low[2], high[2]]).all()
    # Bins that are shorter than a row have its value.
    low, high = _extremes(values, starts, np.array([-1.0, 0, 0.5, 1, 1.5]))
    assert np.isnan(low[0])
    assert low[1:].tolist() == high[1:].tolist() == [1, 1, 5]


@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=30), st.integers(1, 12), st.integers(-5, 20), st.integers(1, 40)
)
def test_outlines_are_the_extremes_of_the_rows_in_each_bin(values, n_bins, start, length):
    starts = np.arange(len(values) + 1, dtype=float)
    edges = np.linspace(start, start + length, n_bins + 1)
    low, high = _extremes(np.array(values, np.float32), starts, edges)
    for bin_low, bin_high, first, last in zip(low, high, edges[:-1], edges[1:], strict=True):
        rows = [value for row, value in enumerate(values) if row < last and row + 1 > first]
        if rows:
            assert (bin_low, bin_high) == (min(rows), max(rows))
        else:
            assert np.isnan([bin_low, bin_high]).all()


def test_a_table_and_its_faults(tmp_path):
    names, seconds, values = _read_table(table(tmp_path / "a.csv", "acc x;Time;gyro", "1;0.5;2", "3;1;4"))
    assert (names, seconds.tolist(), values.tolist()) == (("acc x", "gyro"), [0.5, 1], [[1, 2], [3, 4]])
    for lines in (
        ("time", "1"),
        ("a,b", "1,2"),
        ("time,a,a", "0,1,2"),
        ("time,a",),
        ("time,a", "0,x"),
        ("time,a", "0,1,2"),
        ("time,a", "1,1", "1,2"),
        ("time,a", "0,nan"),
    ):
        with refused("b.csv"):
            _read_table(table(tmp_path / "b.csv", *lines))


@pytest.fixture
def sensors(tmp_path):
    """Features of ten seconds at ten rows per second: a rising and a constant column."""
    rows = np.column_stack([np.arange(100), np.full(100, 7)]).astype(np.float32)
    np.save(tmp_path / "walk.npy", rows)
    return tmp_path / "walk.npy"


def test_curves_of_features_and_of_a_table(opened, sensors, tmp_path):
    user = opened(run=None)()
    video = user.add(sensors, fps=10)
    path = f"/api/videos/{video}/curves"
    assert user.ask("GET", path) == {"columns": ["column 1", "column 2"], "drawn": []}
    assert user.ask("PUT", path, json={"curves": ["column 1"]})["drawn"] == ["column 1"]
    answer = user.ask("GET", f"{path}/outlines", params={"start": 0, "stop": 20, "bins": 4})
    (curve,) = answer["curves"]
    assert (curve["name"], curve["low"], curve["high"]) == ("column 1", [0, 50, None, None], [49, 99, None, None])
    assert (curve["least"], curve["most"]) == (0, 99)

    user.ask("PUT", path, 400, json={"curves": ["lost"]})
    user.ask("PUT", path, 400, json={"curves": ["column 1"] * 9})
    file = user.upload(table(tmp_path / "imu.csv", "seconds,column 1,gyro", "0,1,2", "5,3,4"))
    columns = user.ask("PUT", path, json={"file": file})["columns"]
    assert columns == ["column 1", "gyro", "column 1 (features)", "column 2"]
    user.ask("PUT", path, json={"curves": ["gyro", "column 1 (features)"]})
    answer = user.ask("GET", f"{path}/outlines", params={"start": 0, "stop": 10, "bins": 2})
    assert [(curve["name"], curve["high"]) for curve in answer["curves"]] == [
        ("gyro", [2, 4]), ("column 1 (features)", [49, 99]),
    ]  # fmt: skip
    # A table that does not overlap with the video, and one that is damaged, leave the first as it is.
    for lines in (("time,gyro", "100,1", "101,2"), ("time,gyro", "0,x")):
        bad = user.upload(table(tmp_path / "bad.csv", *lines))
        assert "bad.csv" in user.ask("PUT", path, 400, json={"file": bad})["error"]
    assert user.ask("GET", path)["columns"] == columns


def test_names_of_feature_columns_come_from_their_description(opened, sensors, tmp_path):
    user = opened(run=None)()
    facts = tmp_path / "walk.json"
    facts.write_text(json.dumps({"fps": 10, "columns": ["left", "right"]}))
    answer = user.client.post("/api/videos", json={"files": [user.upload(sensors), user.upload(facts)]})
    video = answer.json()["video"]
    assert user.ask("GET", f"/api/videos/{video}/curves")["columns"] == ["left", "right"]


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
def test_a_recording_without_a_video_plays_and_is_labelled_by_its_curves(sensors, tmp_path, browser):
    """The clock goes on at speed 4, a key labels while it plays, and a click on a curve moves the cursor."""
    project = Project(tmp_path / "project")
    History(project).add([Action("walk", key="w")], Person())
    project.add_video("walk", None, sensors, np.arange(101) / 10, layout="TD", fps=10.0)
    project.close()
    with served_here(tmp_path / "project") as address, browser.page() as page:
        entered(page, address)
        opened_video(page, 0)
        page.click("#curve-chooser summary")
        page.get_by_label("column 1").check()
        canvas = page.locator("#curve-plot canvas")
        canvas.wait_for()
        shoot(page, "curves_without_a_video")
        box = canvas.bounding_box()
        canvas.click(position={"x": HEAD + (box["width"] - 8 - HEAD) / 2, "y": 20})
        assert frame(page) in (49, 50, 51)
        page.locator("#timeline canvas").focus()
        page.keyboard.press("]")
        page.keyboard.press("]")
        page.keyboard.press("w")
        page.keyboard.press("i")
        started = frame(page)
        page.keyboard.press("Space")
        until(page, "parseFloat(document.querySelector('#time').textContent.replace('0:0', '')) > 7")
        page.keyboard.press("o")
        page.keyboard.press("Space")
        settled(page)
        ((start, stop, name),) = labels(page)
        assert (name, start) == ("walk", started)
        assert stop >= 70


def frame(page) -> int:
    """The frame under the cursor, as the page shows it."""
    page.wait_for_timeout(200)
    return int(re.search(r"frame (\d+)", page.locator("#time").text_content())[1])
