"""Tables of 0 and 1: one row per frame of the video, one column per class."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import UNLABELLED, Clock, Segment, Segmentation
from fact_clip.formats import load_rating, save, save_tracks
from fact_clip.formats.base import Options, TiersError
from fact_clip.formats.binary import read_annotations
from fact_clip.formats.boris import Behaviour
from fact_clip.formats.conversion import convert_label_files
from fact_clip.formats.gaps import to_frames
from fact_clip.metrics import time_agreement

from ..refusals import refused

TAKE = Segmentation(
    (Segment(0, 2, "idle"), Segment(2, 4, "stir"), Segment(4, 5, UNLABELLED), Segment(5, 6, "pour")),
    fps=5.0,
    media="take.mp4",
    background=("idle",),
)


def written(tmp_path, *lines: str):
    path = tmp_path / "take.binary.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def spans(path, **options):
    (annotation,) = read_annotations(path, Options(**options))
    return [(span.start, span.stop, span.label) for span in annotation.spans]


def test_a_table_by_hand(tmp_path):
    lines = save(TAKE, tmp_path / "take.binary.csv").read_text().splitlines()
    assert lines == ["frame,stir,pour", "0,0,0", "1,0,0", "2,1,0", "3,1,0", "4,-1,-1", "5,0,1"]
    shown = save(TAKE, tmp_path / "all.binary.csv", with_background=True).read_text().splitlines()
    assert shown[:2] == ["frame,idle,stir,pour", "0,1,0,0"]
    # As many rows as the video has pictures: the features are at 5, the video at 10 per second.
    twice = save(replace(TAKE, video_fps=10.0), tmp_path / "twice.binary.csv").read_text().splitlines()
    assert len(twice) == 1 + 12
    assert twice[4:8] == ["3,0,0", "4,1,0", "5,1,0", "6,1,0"]


def test_tracks_and_listed_classes_share_a_table(tmp_path):
    left = Segmentation((Segment(0, 1, UNLABELLED), Segment(1, 3, "stir")), 5.0, background=("idle",))
    right = Segmentation(
        (Segment(0, 1, UNLABELLED), Segment(1, 2, "idle"), Segment(2, 3, "pour")), 5.0, background=("idle",)
    )
    codes = {"wave": Behaviour(), "stir": Behaviour()}
    path = save_tracks({"left": left, "right": right}, tmp_path / "take.binary.csv", ethogram=codes)
    assert path.read_text().splitlines() == ["frame,wave,stir,pour", "0,-1,-1,-1", "1,0,1,0", "2,0,1,1"]
    longer = replace(right, segments=(*right.segments, Segment(3, 4, "pour")))
    with refused("take.binary.csv"):
        save_tracks({"left": left, "right": longer}, path)


def test_reading_by_hand(tmp_path):
    path = written(tmp_path, ",rear,turn", "0,1,0", "1,1,0", "2,0,0", "3,-1,-1", "4,0,1.0")
    assert spans(path) == [(0, 2, "rear"), (4, 5, "turn"), (3, 4, UNLABELLED)]
    (annotation,) = read_annotations(path, Options())
    assert (annotation.name, annotation.end, annotation.unit, annotation.fps) == ("take", 5, "frames", None)
    assert to_frames(annotation, Clock(5)).labels == ["rear", "rear", "background", UNLABELLED, "turn"]
    rating = load_rating(path, fps=10)
    assert [tuple(state) for state in rating.states] == [(0, 0.2, "rear"), (0.4, 0.5, "turn")]
    np.testing.assert_allclose(rating.rated, [(0, 0.3), (0.4, 0.5)])


def test_tables_of_other_programs(tmp_path):
    # A-SOiD and BORIS: times, of which the rate follows; DeepEthogram: a column of background
    times = written(tmp_path, "time,rear", "0.0,0", "0.04,1", "0.08,1")
    (annotation,) = read_annotations(times, Options())
    assert (annotation.fps, spans(times)) == (25, [(1, 3, "rear")])
    ethogram = written(tmp_path, ",background,rear", "0,1,0", "1,0,1", "2,-1,-1")
    assert spans(ethogram) == [(1, 2, "rear"), (2, 3, UNLABELLED)]
    plain = written(tmp_path, "rear;turn, fast", "0;1")  # no numbers of frames, and a comma in a name
    assert spans(plain) == [(0, 1, "turn, fast")]
    quoted = written(tmp_path, 'rear,"turn; fast"', "0,1")
    assert spans(quoted) == [(0, 1, "turn; fast")]


@pytest.mark.parametrize("rate", [25, 30, 29.97, 240])
@pytest.mark.parametrize("digits", [3, 12])
@pytest.mark.parametrize("first", [0, 1])
def test_the_rate_follows_from_times_that_a_program_has_rounded(rate, digits, first, tmp_path):
    """The times of the rows are the starts or the ends of the frames."""
    rows = [f"{(number + first) / rate:.{digits}f},{int(number > 5)}" for number in range(2000)]
    (annotation,) = read_annotations(written(tmp_path, "time,rear", *rows), Options())
    assert annotation.fps == pytest.approx(rate, rel=1e-4)
    assert spans(annotation.path) == [(6, 2000, "rear")]


def test_a_cell_of_a_tier_that_nobody_has_labelled(tmp_path):
    path = written(tmp_path, "frame,rear,turn", "0,1,1", "1,-1,0", "2,0,1")
    assert spans(path, tier="rear") == [(0, 1, "rear"), (1, 2, UNLABELLED)]
    assert spans(path, tier="turn") == [(0, 1, "turn"), (2, 3, "turn")]
    counted_from_1 = written(tmp_path, "frame,background,rear", "1,1,-1", "2,0,-1", "3,0,1")
    assert spans(counted_from_1) == [(2, 3, "rear"), (1, 2, UNLABELLED)]


def test_columns_that_overlap_are_tiers(tmp_path):
    path = written(tmp_path, "frame,rear,turn,sniff", "0,1,0,0", "1,1,1,0", "2,0,1,0", "3,0,0,1")
    with pytest.raises(TiersError) as error:
        spans(path, tier="none")
    assert error.value.tiers == ("action", "rear", "turn")
    assert spans(path, tier="rear") == [(0, 2, "rear")]
    assert spans(path, tier="turn") == [(1, 3, "turn")]
    assert spans(path, tier="action") == [(3, 4, "sniff")]


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (("frame,rear", "0,2"), "take.binary.csv:2"),
        (("frame,rear", "0,1", "1,x"), "take.binary.csv:3"),
        (("frame,rear", "0,"), "take.binary.csv:2"),
        (("frame,rear", "0,1,1"), "take.binary.csv:2"),
        (("frame", "0"), "take.binary.csv"),
        (("frame,", "0,1"), "take.binary.csv"),
        (("frame,rear",), "take.binary.csv"),
        (("frame,rear,rear", "0,1,1"), "take.binary.csv:1"),
        (("frame,background", "0,1"), "take.binary.csv"),
        (("frame,rear", "0,1", "5,1"), "take.binary.csv:3"),
        (("frame,rear", "500,0", "501,1"), "take.binary.csv:2"),
        (("time,rear", "0,0", "1,1", "5,1"), "take.binary.csv"),
        (("time,rear", "10.0,0", "10.1,1", "10.2,1"), "take.binary.csv"),
    ],
)
def test_what_is_no_table_of_0_and_1(lines, place, tmp_path):
    with refused(place):
        spans(written(tmp_path, *lines))


labels = st.lists(st.sampled_from(["idle", "stir", "pour", UNLABELLED]), min_size=1, max_size=30)


@given(labels)
def test_frames_come_back(tmp_path_factory, names):
    video = replace(Segmentation.from_frames(names, 5.0), background=("idle",))
    path = save(video, tmp_path_factory.mktemp("table") / "x.binary.csv")
    if {*names} <= {"idle"}:
        with refused("x.binary.csv"):
            read_annotations(path, Options())
        return
    if {*names} <= {"idle", UNLABELLED}:
        return  # no class has a column
    (annotation,) = read_annotations(path, Options())
    assert to_frames(annotation, Clock(len(names), 5.0), "idle").labels == names


@pytest.fixture
def tables_of_banos(tmp_path):
    paths = []
    for path in sorted((Path(__file__).parent / "banos").glob("*.gz")):
        paths.append(tmp_path / f"{path.name.removesuffix('.csv.gz')}.binary.csv")
        paths[-1].write_bytes(gzip.decompress(path.read_bytes()))
    return paths


def test_tables_of_banos_agree_as_their_rows_do(tables_of_banos):
    """Two people labelled a recording. Their agreement is counted here from the cells of the tables."""
    rows = [np.loadtxt(path, int, delimiter=",", skiprows=1) for path in tables_of_banos]
    first, second = (table.argmax(axis=1) for table in rows)
    assert len(first) == len(second) == 6641
    agreement = np.mean(first == second)
    chance = sum(np.mean(first == label) * np.mean(second == label) for label in range(4))
    result = time_agreement([tuple(load_rating(path, fps=25) for path in tables_of_banos)])
    assert result.seconds == pytest.approx(6641 / 25)
    assert result.figures["accuracy"] == pytest.approx(100 * agreement)
    assert result.figures["kappa"] == pytest.approx((agreement - chance) / (1 - chance))
    assert round(result.figures["kappa"], 2) == 0.75


def test_a_table_of_banos_comes_back_with_its_rows_and_its_columns_of_zeros(tables_of_banos, tmp_path):
    clock = Clock(fps=25.0, video_fps=25.0)
    for kind, out in (("boris", "boris"), ("binary.csv", "again")):
        sources = tables_of_banos[:1] if kind == "boris" else tables_of_banos[1:]
        convert_label_files(sources, "binary.csv", tmp_path / out, [kind], lambda _: clock)
    converted = tmp_path / "boris/annotator_1.boris"
    convert_label_files([converted], "boris", tmp_path / "again", ["binary.csv"], lambda _: clock)
    for path in tables_of_banos:
        lines = (tmp_path / "again" / path.name).read_text().split()
        assert [line.partition(",")[2] for line in lines] == path.read_text().split()
        assert lines[0] == "frame,attack,investigation,mount,other"
