"""Values that Python takes and nobody means: flags that are texts, masked arrays, frames that are not there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fact_clip.core import InputError, Segment, Segmentation, Vocabulary, majority_stride, row_times
from fact_clip.core.arguments import array_of, flag_of, is_list, names_of, number_of, table_of
from fact_clip.core.errors import no_name
from fact_clip.core.files import LONGEST_LINE, read_lines
from fact_clip.core.public import public
from fact_clip.core.segments import MOST_FRAMES
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.formats import load, save

TIMED = Segmentation((Segment(0, 2, "a"),), times=(0, 0.1, 0.3))
TWO = {"names": ["a", "b"], "background": [], "slots": ["verb"]}


def told(call):
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("value", ["no", "", 0, 1, None, 0.0, [], np.array([True])])
def test_a_flag_is_true_or_false(value):
    assert told(lambda: flag_of(value, "overwrite")) == f"overwrite: {value!r}; expected true or false"


def test_flags_of_public_functions_are_looked_at_before_the_call():
    called = []

    @public
    def write(path: str, keep: bool = False, *, overwrite: bool = False) -> None:
        called.append((path, keep, overwrite))

    assert told(lambda: write("a", "no")) == "keep: 'no'; expected true or false"
    assert told(lambda: write("a", overwrite="no")) == "overwrite: 'no'; expected true or false"
    assert not called
    write("a", np.True_, overwrite=False)
    write("b")
    assert called == [("a", True, False), ("b", False, False)]


def test_failures_of_torch_are_looked_at_too():
    @public
    def add(count: int) -> None:
        raise RuntimeError("shapes")

    assert told(lambda: add("x")) == "count: str 'x'; expected a whole number"
    with pytest.raises(RuntimeError, match="shapes"):
        add(3)


def test_numbers_in_bounds():
    assert number_of(0.5, "x", "a share", 0, 1) == 0.5
    assert told(lambda: number_of(1.5, "x", "a share", 0, 1)) == "x: 1.5; expected a share"
    assert told(lambda: number_of(math.nan, "x", "a share", 0, 1)) == "x: nan; expected a share"


def test_arrays_without_an_axis_are_no_lists():
    assert not is_list(np.array(5))
    assert is_list(np.zeros(0))
    assert told(lambda: names_of(np.array("a"), "names")).startswith("names: array('a'")


def test_tables():
    assert table_of([[1, 2]], "x", ("N", 2)).shape == (1, 2)
    assert told(lambda: table_of([[1, 2]], "x", ("N", 3))) == "x: an array of shape (1, 2); expected (N, 3)"
    assert told(lambda: table_of([], "x", ("N",))) == "x: an array of shape (0,); expected (N,)"
    assert told(lambda: table_of([math.nan], "x", ("N",))) == "x: NaN or an infinity; expected finite numbers, (N,)"
    assert np.isnan(table_of([math.nan], "x", ("N",), finite=False)).all()
    assert told(lambda: table_of(["a"], "x", ("N",))) == "x: list of type <U1; expected numbers, (N,)"


def test_masked_entries_are_not_read():
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    assert told(lambda: array_of(masked, "x", "numbers")) == "x: an array with masked entries; expected numbers"
    assert array_of(np.ma.masked_array([1.0, 2.0]), "x", "numbers").tolist() == [1, 2]


@pytest.mark.parametrize("confidence", [2.0, -3.0, math.nan, 1.0000001, "90%"])
def test_a_confidence_is_from_0_to_1(confidence):
    expected = f"the confidence of segment 'a': {confidence!r}; expected a number from 0 to 1"
    assert told(lambda: Segment(0, 3, "a", confidence)) == expected


def test_confidences_of_frames():
    call = lambda: Segmentation.from_frames(["a", "b"], confidence=[0.5, 7])  # noqa: E731
    assert told(call) == "confidence: 7; expected numbers from 0 to 1"
    assert [each.confidence for each in Segmentation.from_frames(["a", "b"], confidence=[0, 1])] == [0, 1]


@pytest.mark.parametrize("video", [TIMED, Segmentation.from_frames(["a", "a"], fps=5)], ids=["times", "rate"])
@pytest.mark.parametrize("frame", [3, -1, "1", 0.5, None])
def test_frames_that_a_video_does_not_have(video, frame):
    assert told(lambda: video.seconds(frame)) == f"frame: {frame!r}; expected a whole number, 0 to 2"


def test_the_end_has_seconds():
    assert (TIMED.seconds(np.int64(2)), Segmentation.from_frames(["a", "a"], fps=5).seconds(2)) == (0.3, 0.4)


def test_other_values_of_a_segmentation():
    assert told(lambda: TIMED.without(3)).startswith("labels: 3; expected a list of names")
    assert told(lambda: Segment(0, MOST_FRAMES + 1, "a")).endswith("expected 20,000,000 frames at most")
    assert told(lambda: Segmentation(TIMED.segments, new_words=("x",))) == "new_words: 'x'; expected a NewWord"
    assert told(lambda: majority_stride([0, 1], 2, math.nan)).startswith("ignore: nan; expected a whole number")
    assert told(lambda: row_times([math.nan], 5.0)) == "shown: NaN or an infinity; expected seconds"
    assert told(lambda: row_times([0.0], 5.0, math.inf)) == "end: inf; expected seconds, 0 or more, or None"


def test_texts_are_no_lists_of_names():
    assert told(lambda: Vocabulary("ab", (), ("s",), (("a",), ("b",)))).startswith("names: one text, 'ab'")
    assert told(lambda: Vocabulary(("a", "b"), "a", ("s",), (("a",), ("b",)))).startswith("background: one text, 'a'")
    expected = "class 'b': factors 'y'; expected a list with one entry for each slot"
    assert told(lambda: Vocabulary(("a", "b"), (), ("s",), (("x",), "y"))) == expected
    assert told(lambda: Vocabulary.from_dict({**TWO, "factors": [["x"], "y"]})) == expected
    assert told(lambda: Vocabulary.from_names(["a"], factors=lambda name: 1)).startswith("class 'a': factors 1;")
    assert Vocabulary.from_dict({**TWO, "factors": [["x"], ["y"]]}).factors == (("x",), ("y",))


def test_what_is_wrong_with_a_name(tmp_path):
    assert no_name("x" * 5000) == f"a name of 5,000 signs, {'x' * 40!r}..."
    assert no_name("a\u200b") == "control characters or unseen signs in 'a\\u200b'"
    assert no_name(" ") == "a blank name, ' '"
    path = tmp_path / "mapping.txt"
    path.write_text(f"0 a\n1 {'x' * 5000}\n")
    _, faults = parse_mapping(path)
    assert str(faults[0]).startswith(f"{path}:2: a name of 5,000 signs, 'xxxx")
    assert str(faults[0]).endswith("expected a name that can be printed, of at most 1,000 signs")


def test_a_line_has_a_bound(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a\r\nb\rc\n" + "x" * LONGEST_LINE)
    assert [line[:1] for line in read_lines(path, "labels")] == ["a", "b", "c", "x"]
    path.write_text("a\n" + "x" * (LONGEST_LINE + 1))
    assert told(lambda: read_lines(path, "labels")) == f"{path}:2: a line of 1,048,577 signs; expected labels"


def test_lengths_that_disagree(tmp_path):
    path = tmp_path / "x.csv"
    save(Segmentation.from_frames(["a"] * 5, fps=2.5), path)
    found = told(lambda: load(path, n_frames=7))
    assert found.startswith(f"{path}: 5 frames; expected 7, as n_frames says; name the background")
    assert load(path, n_frames=5).n_frames == 5
    assert load(path, n_frames=7, background="b").to_frames() == ["a"] * 5 + ["b"] * 2
    assert told(lambda: load(path, n_frames=0)).startswith("n_frames: 0; expected a whole number, 1 to")

    path = tmp_path / "x.json"
    path.write_text('{"fps":5,"n_frames":9,"segments":[{"start":0,"stop":2,"action":"a"}]}')
    assert told(lambda: load(path)) == f"{path}: segments to frame 2, and n_frames 9; expected the same length twice"
    assert load(path, background="b").to_frames() == ["a"] * 2 + ["b"] * 7
    path.write_text('{"fps":5,"n_frames":"2","segments":[{"start":0,"stop":2,"action":"a"}]}')
    assert told(lambda: load(path)).startswith(f"{path}: n_frames '2'; expected a whole number")
    path.write_text('{"fps":5,"segments":[{"start":0,"stop":2,"action":"a","confidence":7}]}')
    assert told(lambda: load(path)) == f"{path}, segment 0, confidence: 7; expected a number from 0 to 1"


def test_saving_takes_a_flag(tmp_path):
    path = tmp_path / "x.csv"
    assert told(lambda: TIMED.save(path, with_background="no")) == "with_background: 'no'; expected true or false"
    assert not path.exists()


@pytest.mark.parametrize(("start", "stop"), [(0, 10**5000), (-(10**5000), 3)], ids=["stop", "start"])
def test_frames_without_end(start, stop):
    assert told(lambda: Segment(start, stop, "a")).endswith("frames out of bounds; expected 20,000,000 frames at most")
