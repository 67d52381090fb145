"""Values that Python takes and nobody means: flags that are texts, masked arrays, frames that are not there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.core import Segment, Segmentation
from fact_clip.core.arguments import array_of, flag_of, is_list, names_of, number_of, table_of
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.formats import load, save

from ..refusals import refused

TIMED = Segmentation((Segment(0, 2, "a"),), times=(0, 0.1, 0.3))
TWO = {"names": ["a", "b"], "background": [], "slots": ["verb"]}


@pytest.mark.parametrize("value", ["no", "", 0, 1, None, 0.0, [], np.array([True])])
def test_a_flag_is_true_or_false(value):
    with refused("overwrite"):
        flag_of(value, "overwrite")


def test_numbers_in_bounds():
    assert number_of(0.5, "x", "a share", 0, 1) == 0.5
    with refused("x"):
        number_of(1.5, "x", "a share", 0, 1)
    with refused("x"):
        number_of(math.nan, "x", "a share", 0, 1)


def test_arrays_without_an_axis_are_no_lists():
    assert not is_list(np.array(5))
    assert is_list(np.zeros(0))
    with refused("names"):
        names_of(np.array("a"), "names")


def test_tables():
    assert table_of([[1, 2]], "x", ("N", 2)).shape == (1, 2)
    with refused("x"):
        table_of([[1, 2]], "x", ("N", 3))
    with refused("x"):
        table_of([], "x", ("N",))
    with refused("x"):
        table_of([math.nan], "x", ("N",))
    assert np.isnan(table_of([math.nan], "x", ("N",), finite=False)).all()
    with refused("x"):
        table_of(["a"], "x", ("N",))


def test_masked_entries_are_not_read():
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with refused("x"):
        array_of(masked, "x", "numbers")
    assert array_of(np.ma.masked_array([1.0, 2.0]), "x", "numbers").tolist() == [1, 2]


@pytest.mark.parametrize("confidence", [2.0, -3.0, math.nan, 1.0000001, "90%"])
def test_a_confidence_is_from_0_to_1(confidence):
    with refused("the confidence of segment 'a'"):
        Segment(0, 3, "a", confidence)


def test_confidences_of_frames():
    with refused("confidence"):
        Segmentation.from_frames(["a", "b"], confidence=[0.5, 7])
    assert [each.confidence for each in Segmentation.from_frames(["a", "b"], confidence=[0, 1])] == [0, 1]


@pytest.mark.parametrize("video", [TIMED, Segmentation.from_frames(["a", "a"], fps=5)], ids=["times", "rate"])
@pytest.mark.parametrize("frame", [3, -1, "1", 0.5, None])
def test_frames_that_a_video_does_not_have(video, frame):
    with refused("frame"):
        video.seconds(frame)


def test_the_end_has_seconds():
    assert (TIMED.seconds(np.int64(2)), Segmentation.from_frames(["a", "a"], fps=5).seconds(2)) == (0.3, 0.4)


def test_what_is_wrong_with_a_name(tmp_path):
    path = tmp_path / "mapping.txt"
    path.write_text(f"0 a\n1 {'x' * 5000}\n")
    _, faults = parse_mapping(path)
    assert str(faults[0].where) == f"{path}:2"


def test_lengths_that_disagree(tmp_path):
    path = tmp_path / "x.csv"
    save(Segmentation.from_frames(["a"] * 5, fps=2.5), path)
    with refused("x.csv"):
        load(path, n_frames=7)
    assert load(path, n_frames=5).n_frames == 5
    assert load(path, n_frames=7, background="b").to_frames() == ["a"] * 5 + ["b"] * 2
    with refused("n_frames"):
        load(path, n_frames=0)

    path = tmp_path / "x.json"
    path.write_text('{"fps":5,"n_frames":9,"segments":[{"start":0,"stop":2,"action":"a"}]}')
    with refused("x.json"):
        load(path)
    assert load(path, background="b").to_frames() == ["a"] * 2 + ["b"] * 7
    path.write_text('{"fps":5,"n_frames":"2","segments":[{"start":0,"stop":2,"action":"a"}]}')
    with refused("x.json"):
        load(path)
    path.write_text('{"fps":5,"segments":[{"start":0,"stop":2,"action":"a","confidence":7}]}')
    with refused("x.json, segment 0, confidence"):
        load(path)
