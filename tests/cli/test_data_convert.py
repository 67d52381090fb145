"""fact-clip data convert: from the files of a tool to a folder that trains, and back to the tool."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fact_clip.cli.data_convert import READABLE
from fact_clip.config import Config
from fact_clip.core import FileLocation, Instant, Segment, Segmentation
from fact_clip.datasets.convert import Target, convert_annotations, convert_to_clicks
from fact_clip.datasets.dataset import Dataset
from fact_clip.formats import FORMATS, READERS, save, save_tracks
from fact_clip.formats.base import Annotation, Options, Span

from ..refusals import refused, refused_line

VIDEO = Segmentation((Segment(0, 4, "idle"), Segment(4, 9, "pour"), Segment(9, 20, "stir")), fps=5.0)


@pytest.fixture
def rows(tmp_path):
    """Two videos in seconds, with a gap and an overlap."""
    path = tmp_path / "takes.csv"
    path.write_text("video,start,stop,label\na.mp4,0.4,1.0,pour\na.mp4,0.8,2.0,stir\nb.mp4,0,0.6,pour\n")
    return path


def test_the_command_takes_every_kind_that_can_be_read():
    assert set(READABLE) == {*READERS, "lmdb", "table", "pose"}


def test_the_command_reads_the_files_of_a_plugin(fact_clip, tmp_path, monkeypatch):
    path = tmp_path / "a.lines"
    path.write_text("0 2 pour")
    command = ("data", "convert", "--from", "lines", path, "--fps", 5, "--out", tmp_path / "data")
    assert "--from: there is no kind 'lines'. Use one of eaf, boris, " in fact_clip(*command).err

    def read(path, options):
        start, stop, label = path.read_text().split()
        span = Span(float(start), float(stop), label, FileLocation(path))
        return [Annotation(path, [span], "a", options.unit or "frames", options.fps)]

    monkeypatch.setitem(READERS.data, "lines", read)
    assert fact_clip(*command, "--unit", "seconds").code == 0
    assert (tmp_path / "data" / "groundTruth" / "a.txt").read_text() == "pour\n" * 10
    assert fact_clip(*command, "--dtype", "float16").code == 2


def test_csv_becomes_the_common_layout(fact_clip, rows, tmp_path):
    root = tmp_path / "data"
    command = ("data", "convert", "--from", "csv", rows, "--unit", "seconds", "--fps", 5, "--out", root)
    answer = fact_clip(*command)
    assert answer.code == 0
    assert (root / "mapping.txt").read_text() == "0 background\n1 pour\n2 stir\n"
    assert (root / "groundTruth/a.txt").read_text().split() == ["background"] * 2 + ["pour"] * 2 + ["stir"] * 6
    assert (root / "groundTruth/b.txt").read_text().split() == ["pour"] * 3
    assert answer.out.splitlines() == [
        "video  frames  segments  gaps  contested  lost",
        "a          10         3     2          1     0",
        "b           3         1     0          0     0",
        "total      13         4     2          1     0",
    ]
    assert answer.err == (
        f"written: 2 videos in {root}; 2 frames without a segment are 'background'; "
        "1 frames in overlapping segments were given to the segment that started last\n"
    )
    again = fact_clip(*command, "--json")
    assert "groundTruth: 2 existing label files were replaced\n" in again.err
    tree = json.loads(again.out)
    assert tree["videos"]["a"] == {"frames": 10, "segments": 3, "gaps": 2, "contested": 1, "lost": 0}
    assert tree["total"] == {"frames": 13, "segments": 4, "gaps": 2, "contested": 1, "lost": 0}


def test_rough_times_become_clicks(fact_clip, rows, tmp_path):
    """At five frames per second, the boundaries of a are 2, 5 and 4, 10; those of b are 0, 3."""
    root = tmp_path / "data"
    command = ("data", "convert", "--from", "csv", rows, "--unit", "seconds", "--fps", 5, "--as", "clicks")
    answer = fact_clip(*command, "--out", root)
    assert answer.code == 0
    assert (root / "mapping.txt").read_text() == "0 pour\n1 stir\n"
    assert (root / "clicks/a.csv").read_text() == "frame,label\n3,pour\n7,stir\n"
    assert (root / "clicks/b.csv").read_text() == "frame,label\n1,pour\n"
    assert not (root / "groundTruth").exists()
    assert answer.out.splitlines() == [
        "video  clicks  empty  inside  shared",
        "a           2      0       0       0",
        "b           1      0       0       0",
        "total       3      0       0       0",
    ]
    assert answer.err == f"written: 2 videos in {root}, 3 clicks\n"
    again = fact_clip(*command, "--out", root, "--json")
    assert "clicks: 2 existing click files were replaced\n" in again.err
    assert json.loads(again.out)["total"] == {"clicks": 3, "empty": 0, "inside": 0, "shared": 0}
    refused_line(fact_clip(*command, "--background", "idle", "--out", root), "--background")


def test_doubtful_segments_are_named(fact_clip, tmp_path):
    """In frames; row 3 has the middle of row 2, row 4 is empty and lies inside row 5."""
    path = tmp_path / "a.csv"
    path.write_text("start_frame,stop_frame,label\n4,6,pour\n0,10,stir\n14,14,pour\n12,20,stir\n")
    found = convert_to_clicks([path], "csv", tmp_path / "data", Target())
    assert found["a"].clicks == [(5, "pour"), (14, "pour"), (16, "stir")]
    answer = fact_clip("data", "convert", "--from", "csv", path, "--out", tmp_path / "data", "--as", "clicks")
    assert answer.out.splitlines()[1].split() == ["a", "3", "1", "2", "1"]
    warnings = [line for line in answer.err.splitlines() if "warning" in line]
    assert [line[line.index("(") :] for line in warnings] == [
        f"({path}:4)",
        f"({path}:2, {path}:4)",
        f"({path}:3)",
    ]


def test_labels_that_count_more_than_clicks(rows, tmp_path):
    (tmp_path / "groundTruth").mkdir()
    (tmp_path / "groundTruth/b.txt").write_text("pour\n")
    with refused("b.txt"):
        convert_to_clicks([rows], "csv", tmp_path, Target(fps=5.0), Options(unit="seconds"))
    assert not (tmp_path / "mapping.txt").exists()
    assert not (tmp_path / "clicks").exists()


@pytest.mark.parametrize("kind", ["csv", "json", "eaf", "boris"])
def test_segments_and_point_events_of_any_tool_become_clicks(kind, tmp_path):
    segments = (Segment(0, 4, "idle"), Segment(4, 9, "pour"), Segment(9, 20, "stir"))
    video = Segmentation(segments, fps=5.0, instants=(Instant(17, "beep"),))
    file = save(video, tmp_path / f"a.{kind}", with_background=True)
    found = convert_to_clicks([file], kind, tmp_path / "data", Target(fps=5.0), Options())
    assert found["a"].clicks == [(2, "idle"), (6, "pour"), (14, "stir"), (17, "beep")]


def test_a_data_set_of_clicks_opens(tmp_path):
    (tmp_path / "a.json").write_text(
        json.dumps({"segments": [{"start_seconds": "0:00", "stop_seconds": "0:04.4", "label": "pour"}]})
    )
    for name in "ab":
        (tmp_path / "features").mkdir(exist_ok=True)
        np.save(tmp_path / f"features/{name}.npy", np.arange(40, dtype=np.float32).reshape(20, 2))
        (tmp_path / "splits").mkdir(exist_ok=True)
    (tmp_path / "splits/train.split1.bundle").write_text("a\n")
    (tmp_path / "splits/test.split1.bundle").write_text("b\n")
    (tmp_path / "groundTruth").mkdir()
    (tmp_path / "groundTruth/b.txt").write_text("pour\n" * 20)
    target = Target(fps=5.0, features=tmp_path / "features", layout="TD")
    convert_to_clicks([tmp_path / "a.json"], "json", tmp_path, target)
    config = Config.from_tree({"data": {"name": "folder", "root": str(tmp_path), "fps": 5.0, "layout": "TD"}}, "test")
    dataset = Dataset.open(config.data)
    dataset.check()
    assert dataset.clicks(["a"]) == {"a": [11]}


def test_a_bad_row_is_named_and_nothing_is_written(fact_clip, tmp_path):
    """Headers in any case, a decimal comma."""
    path, root = tmp_path / "x.csv", tmp_path / "data"
    command = ("data", "convert", "--from", "csv", path, "--unit", "seconds", "--fps", 5, "--decimal", ",")
    good = ("Start;STOP;Label", "0,0;0,4;pour", "0,8;1,2;stir")
    for bad in ("0,4;x;stir", "0,8;0,6;stir", "1;2"):
        path.write_text("\n".join((*good[:2], bad, good[2])))
        refused_line(fact_clip(*command, "--out", root), "x.csv:3")
        assert not root.exists()
    path.write_text("\n".join(good))
    assert fact_clip(*command, "--out", root).code == 0
    assert (root / "groundTruth/x.txt").read_text().split() == ["pour"] * 2 + ["background"] * 2 + ["stir"] * 2


def test_from_elan_and_features_to_a_data_set_that_opens(fact_clip, tmp_path):
    root = tmp_path / "data"
    for name, n_frames in (("a", 22), ("b", 20)):
        save(VIDEO, tmp_path / f"{name}.eaf")
        (root / "features").mkdir(parents=True, exist_ok=True)
        np.save(root / f"features/{name}.npy", np.arange(7 * n_frames, dtype=np.float32).reshape(n_frames, 7))
    labels = ["--features", root / "features", "--layout", "TD", "--fps", 5, "--background", "idle"]
    answer = fact_clip(
        "data", "convert", "--from", "eaf", tmp_path / "a.eaf", tmp_path / "b.eaf", *labels, "--out", root
    )
    assert (answer.code, answer.err.split("; ")[1]) == (0, "2 frames without a segment are 'idle'\n")
    (root / "splits").mkdir()
    (root / "splits/train.split1.bundle").write_text("a\n")
    (root / "splits/test.split1.bundle").write_text("b\n")
    config = Config.from_tree({"data": {"name": "folder", "root": str(root), "background": ["idle"]}}, "test")
    dataset = Dataset.open(config.data)
    dataset.check()
    assert dataset.vocabulary.names == ("idle", "pour", "stir")
    assert dataset.vocabulary.decode(dataset.labels("a")) == VIDEO.to_frames() + ["idle"] * 2


def test_a_second_call_keeps_the_numbers_of_the_first(tmp_path, rows):
    save(VIDEO, tmp_path / "a.eaf")
    root = tmp_path / "data"
    convert_annotations([tmp_path / "a.eaf"], "eaf", root, Target(fps=5.0))
    assert (root / "mapping.txt").read_text() == "0 idle\n1 pour\n2 stir\n"
    (tmp_path / "more.csv").write_text("start_seconds,stop_seconds,label\n1,2,beat\n")
    convert_annotations([tmp_path / "more.csv"], "csv", root, Target(fps=5.0))
    assert (root / "mapping.txt").read_text() == "0 idle\n1 pour\n2 stir\n3 background\n4 beat\n"


def test_classes_that_the_mapping_gets_are_told(fact_clip, rows, tmp_path):
    (tmp_path / "mapping.txt").write_text("0 background\n1 pour\n")
    answer = fact_clip("data", "convert", "--from", "csv", rows, "--unit", "seconds", "--fps", 5, "--out", tmp_path)
    assert answer.err.splitlines()[0] == f"{tmp_path / 'mapping.txt'}: new classes: stir"


def test_a_given_mapping_is_the_whole_vocabulary(tmp_path, rows):
    (tmp_path / "m.txt").write_text("0 stir\n1 background\n2 idle\n3 pour\n")
    save(VIDEO, tmp_path / "a.eaf")
    convert_annotations([tmp_path / "a.eaf"], "eaf", tmp_path / "d", Target(fps=5.0, mapping=tmp_path / "m.txt"))
    assert (tmp_path / "d/mapping.txt").read_text() == (tmp_path / "m.txt").read_text()
    (tmp_path / "m.txt").write_text("0 idle\n1 stir\n")
    with refused("m.txt"):
        convert_annotations([tmp_path / "a.eaf"], "eaf", tmp_path / "e", Target(fps=5.0, mapping=tmp_path / "m.txt"))
    assert not (tmp_path / "e").exists()


def test_variable_rate_stays_in_sync_there_and_back(tmp_path):
    times = tuple(np.cumsum([0.0, *np.random.default_rng(0).uniform(0.02, 0.3, 20)]).tolist())
    video = Segmentation(VIDEO.segments, times=times)
    np.save(tmp_path / "a.npy", np.ones((20, 2)))
    (tmp_path / "a.json").write_text(json.dumps({"times": times}))
    for ending in (".eaf", ".boris", ".via.json"):
        file = save(video, tmp_path / f"a{ending}")
        kind = ending.split(".")[1]
        convert_annotations([file], kind, tmp_path / kind, Target(features=tmp_path))
        assert (tmp_path / kind / "groundTruth/a.txt").read_text().split() == video.to_frames()


def test_files_that_have_several_tiers_are_said(tmp_path, caplog):
    """The only tier with segments is that of each file alone."""
    for tier in ("behaviour", "remarks"):
        save_tracks({tier: VIDEO}, tmp_path / f"{tier}.eaf")
    files = sorted(tmp_path.glob("*.eaf"))
    for chosen in (files, files[:1]):
        convert_annotations(chosen, "eaf", tmp_path / "data", Target(fps=5.0))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "'behaviour', 'remarks'" in warning


def test_labels_of_a_whole_film_are_not_those_of_a_part(rows, tmp_path):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.ones((20, 2)))
        (tmp_path / f"{name}.json").write_text('{"fps": 5, "n_frames": 20, "start": 10.0}')
    with refused("a.npy"):
        convert_annotations([rows], "csv", tmp_path / "data", Target(features=tmp_path), Options(unit="seconds"))


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--from", "csv", "takes.csv", "--unit", "seconds"], "takes.csv"),
        (["--from", "csv", "takes.csv", "takes.csv", "--unit", "seconds", "--fps", "5"], "takes.csv"),
        (["--from", "csv", "takes.csv", "--unit", "seconds", "--fps", "5", "--features", "."], "a.npy"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, place, fact_clip, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = fact_clip("data", "convert", *arguments, "--out", tmp_path / "data")
    refused_line(answer, place)
    assert not (tmp_path / "data").exists()


def test_predictions_go_out_to_every_tool_and_come_back(tiny_run, workbench, fact_clip, tmp_path):
    video = workbench / "features" / "person1_video1.npy"
    names = [name for name, form in FORMATS.items() if form.is_installed]
    answer = fact_clip("segment", "--run", tiny_run, video, "--out", tmp_path / "o", "--format", ",".join(names))
    assert (answer.code, len(list((tmp_path / "o").glob("p*")))) == (0, len(names))
    predicted = (tmp_path / "o/person1_video1.txt").read_text()
    endings = {"eaf": ".eaf", "boris": ".boris", "via": ".via.json", "label-studio": ".label-studio.json"}
    for kind, ending in endings.items():
        file, root = tmp_path / f"o/person1_video1{ending}", tmp_path / kind
        fact_clip("data", "convert", "--from", kind, file, "--features", video.parent, "--layout", "TD", "--fps", 15,
                  "--out", root)  # fmt: skip
        assert (root / "groundTruth/person1_video1.txt").read_text() == predicted


def test_features_in_half_the_space(fact_clip, tmp_path):
    """Values are rounded to float16 once; one that it cannot hold is refused, with its place."""
    (tmp_path / "a.csv").write_text("x,y\n0.1,1000.5\n-3.0,2e-8\n")
    command = ("data", "convert", "--from", "table", tmp_path / "a.csv", "--dtype", "float16")
    assert fact_clip(*command, "--out", tmp_path / "data").code == 0
    found = np.load(tmp_path / "data/features/a.npy")
    assert found.dtype == np.float16
    # 0.1 = 1638 / 2^14 to the nearest; 1000.5 is exact; 2e-8 is below half of the smallest, 2^-24
    assert found.tolist() == [[1638 / 2**14, 1000.5], [-3.0, 0.0]]
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,70000\n")
    answer = fact_clip(*command, "--out", tmp_path / "other")
    refused_line(answer, "a.csv")
    assert not (tmp_path / "other/features/a.npy").exists()


def test_tables_become_features(fact_clip, tmp_path):
    (tmp_path / "a.csv").write_text("ms,label,x\n1000,pour,1\n1050,pour,3\n1200,stir,7\n")
    root = tmp_path / "data"
    command = ("data", "convert", "--from", "table", tmp_path / "a.csv", "--out", root, "--time", "ms")
    answer = fact_clip(*command, "--unit", "milliseconds", "--fps", 10, "--columns", "x")
    assert (answer.code, answer.out.splitlines()) == (
        0, ["video  rows  frames  columns  interpolated", "a         3       3        1             1"],
    )  # fmt: skip
    assert answer.err == (
        f"{tmp_path}/a.csv: times start at 1 s, which becomes frame 0\n"
        f"written: 1 files in {root}/features, 10 frames per second; "
        "1 frames without a row are interpolated linearly\n"
    )
    assert np.load(root / "features/a.npy").tolist() == [[2.0], [4.5], [7.0]]
    tree = json.loads(fact_clip(*command, "--fps", 1, "--columns", "x", "--json").out)
    assert tree["a"]["rows"] == 3


def test_label_files_to_label_files(tmp_path, fact_clip):
    source = tmp_path / "take.csv"
    source.write_text("start_seconds,stop_seconds,label\n0.5,2,rear\n2,3,turn\n")
    how = ("data", "convert", "--from", "csv", source, "--out", tmp_path / "new")
    answer = fact_clip(*how, "--to", "boris,binary.csv", "--fps", 10, "--json")
    assert answer.code == 0, answer.err
    counts = json.loads(answer.out)["videos"]["take"]
    assert (counts["files"], counts["frames"], counts["segments"], counts["contested"]) == (2, 30, 2, 0)
    assert len((tmp_path / "new/take.binary.csv").read_text().splitlines()) == 1 + 30
    assert not (tmp_path / "new/mapping.txt").exists()
    refused_line(fact_clip(*how, "--to", "boris"), "take.csv")  # no rate
    refused_line(fact_clip(*how, "--to", "boris", "--fps", 10, "--features", tmp_path), "--features")
    refused_line(fact_clip(*how, "--to", "lost", "--fps", 10), "--to")
    refused_line(fact_clip(*how, "--film", tmp_path), "--film")
    refused_line(fact_clip(*how, "--to", "boris", "--film", tmp_path), tmp_path)  # no video of this name
    refused_line(fact_clip("data", "convert", "--from", "lmdb", source, "--to", "csv", "--out", tmp_path), "--from")
