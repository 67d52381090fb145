"""When a line about long work is due, by a clock that the test sets."""

from __future__ import annotations

import itertools
import logging
import shutil

import pytest

from fact_clip.core import progress
from fact_clip.core.progress import Pace, paced


@pytest.fixture
def clock(monkeypatch):
    """The time that Pace sees: ``clock[0] = seconds``."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def told(clock, each: Pace, seconds: float, total: int) -> list[int]:
    """After which of `total` steps of `seconds` a line was due."""
    due = []
    for done in range(1, total + 1):
        clock[0] += seconds
        if each.left(done, total):
            due.append(done)
    return due


def test_quick_work_has_a_line_a_tenth(clock):
    assert told(clock, Pace(), 0.01, 50) == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    assert told(clock, Pace(), 0.01, 2) == [1, 2]


def test_slow_work_has_a_line_in_ten_seconds(clock):
    assert told(clock, Pace(), 4.0, 100)[:4] == [3, 6, 9, 12]  # after 12, 24, 36 seconds
    assert told(clock, Pace(), 60.0, 1000)[:3] == [1, 2, 3]


def test_one_video_of_many_has_lines_by_time_only(clock):
    assert told(clock, Pace(tenths=False), 1.0, 9) == []
    assert told(clock, Pace(tenths=False), 4.0, 9) == [3, 6, 9]


def test_nothing_new_has_no_line(clock):
    each = Pace()
    clock[0] += 60
    assert not each.left(0, 10)
    assert each.left(1, 10)
    clock[0] += 60
    assert not each.left(1, 10)


@pytest.mark.parametrize(
    ("seconds", "done", "text"), [(10.0, 20, "40 s"), (300.0, 50, "5 min"), (7200.0, 50, "2.0 h"), (30.0, 0, None)]
)
def test_time_left_of_a_hundred_steps(clock, seconds, done, text):
    each = Pace()
    clock[0] += seconds
    assert each.left(done, 100) == text


def test_resumed_work_counts_only_what_it_did_itself(clock):
    each = Pace(60)
    clock[0] += 20
    assert each.left(80, 100) == "20 s"
    assert not Pace(60).left(60, 100)


def test_items_come_with_a_line_now_and_then(clock, caplog):
    calls, came = [], []
    with caplog.at_level(logging.INFO):
        items = paced(list("abcdef"), "reading", logging.getLogger("fact_clip.test"), lambda *call: calls.append(call))
        for item in items:
            came.append(item)
            clock[0] += 6
    assert came == list("abcdef")
    assert calls == [(done, 6, item) for done, item in enumerate("abcdef")]
    assert caplog.messages == ["reading: 2 of 6, 24 s left", "reading: 4 of 6, 12 s left"]


@pytest.mark.parametrize("what", ["evaluate", "check", "summary"])
def test_long_work_on_videos_says_how_far_it_is(what, tiny_run, workbench, tmp_path, monkeypatch, caplog):
    """Each look at the clock is a minute after the one before, so that every video is due a line."""
    from fact_clip.config import DataConfig
    from fact_clip.datasets.inspect import Inspection
    from fact_clip.datasets.summary import summarize
    from fact_clip.training import evaluate

    data = DataConfig(root=str(workbench), name="workbench")
    work = {
        "evaluate": lambda: evaluate(shutil.copytree(tiny_run, tmp_path / "run")),
        "check": lambda: list(Inspection(data)),
        "summary": lambda: summarize(data),
    }
    minutes = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: 60.0 * next(minutes))
    with caplog.at_level(logging.INFO, "fact_clip"):
        work[what]()
    lines = [message for message in caplog.messages if " left" in message]
    expected = {"evaluate": ["evaluating: 1 of 2, "], "summary": [f"counting: {done} of 6, " for done in range(1, 6)]}
    expected["check"] = [f"reading {part}: {done} of 6, " for part in ("labels", "features") for done in range(1, 6)]
    assert [line[: line.index(", ") + 2] for line in lines] == expected[what]
