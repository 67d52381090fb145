"""Records name all that a result depends on, so that an old result is never taken for a new one."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.core.identity import identity_of, is_same
from fact_clip.video.frames import SUFFIXES
from fact_clip_batch import BatchOptions, Inputs, SegmentSettings, batch_status, gather, segment_batch
from fact_clip_batch.commands.output import Output
from fact_clip_batch.segmentation import SegmentTask

from ..refusals import refused, refused_line
from .conftest import segment_files

ROWS = 120


@pytest.fixture
def rows(workbench):
    return np.load(workbench / "features" / "person1_video1.npy")[:ROWS]


@pytest.fixture
def segmenter(tiny_run):
    return fact_clip.load(tiny_run, "cpu")


def save(path: Path, rows, fps: float | None = None) -> Path:
    """Write features, and perhaps their description."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)
    if fps is not None:
        times = (np.arange(len(rows) + 1) / fps).tolist()
        path.with_suffix(".json").write_text(json.dumps({"fps": fps, "times": times}))
    return path


def ends(out: Path, table: Path) -> dict[str, float]:
    """Video -> the end of its last segment in the table of all results."""
    gather(out, table)
    with table.open() as file:
        return {row["video"]: round(float(row["stop"]), 2) for row in csv.DictReader(file)}


def test_parts_of_features_are_refused(segmenter, rows, tmp_path):
    save(tmp_path / "a.npy", rows)
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,uri,start,stop\np0,a.npy,0,2\np1,a.npy,2,4\n")
    outcomes = segment_batch(segmenter, Inputs([manifest]), tmp_path / "out")
    assert [outcome.error.where for outcome in outcomes] == ["start and stop"] * 2


def test_a_changed_description_or_row_is_a_changed_input(segmenter, rows, tmp_path):
    path, out = save(tmp_path / "x.npy", rows, 15.0), tmp_path / "out"
    segment_files(segmenter, [path], out)
    times = [0.5 + n / 15 for n in range(ROWS + 1)]
    path.with_suffix(".json").write_text(json.dumps({"fps": 15.0, "times": times}))
    (again,) = segment_files(segmenter, [path], out)
    assert (again.item.id, again.state) == ("x", "computed")
    assert ends(out, tmp_path / "t.csv") == {"x": 8.5}
    path.with_suffix(".json").write_text(json.dumps({"fps": 99.0}))
    with refused("x.json"):
        raise segment_files(segmenter, [path], out)[0].error


def test_an_equal_time_of_another_path_is_not_trusted(segmenter, rows, library, fact_clip_command, tmp_path):
    root = library("a/take.mp4", "b/take.mp4")
    for folder, change in (("a", b"1"), ("b", b"2")):
        save(root / folder / "take.npy", rows[:60] + int(change))
        with (root / folder / "take.mp4").open("ab") as file:
            file.write(change)
        for ending in ("npy", "mp4"):
            os.utime(root / folder / f"take.{ending}", (1, 1))
    out = tmp_path / "out"
    outcomes = [segment_files(segmenter, [root / folder / "take.npy"], out)[0] for folder in "aba"]
    assert [outcome.state for outcome in outcomes] == ["computed", "failed", "done"]
    how = ("extract", "--encoder", "grid", "--out", tmp_path / "features")
    codes = [fact_clip_command(*how, root / folder / "take.mp4").code for folder in "aba"]
    assert codes == [0, 2, 0]


def test_every_byte_of_features_counts(tmp_path):
    features = np.ones((4000, 64), np.float32)
    path, film = save(tmp_path / "x.npy", features), tmp_path / "x.mp4"
    film.write_bytes(path.read_bytes())
    identities = [identity_of(file) for file in (path, film)]
    features[1100] = 0
    save(path, features)
    film.write_bytes(path.read_bytes())
    for file in (path, film):
        os.utime(file, (1, 1))
    assert [is_same(*pair) for pair in zip(identities, (path, film), strict=True)] == [False, True]


def test_the_table_has_the_newest_results_of_the_last_inputs(segmenter, rows, tmp_path, caplog):
    paths, out, table = [save(tmp_path / f"{name}.npy", rows) for name in "xy"], tmp_path / "out", tmp_path / "t.csv"
    segment_files(segmenter, paths, out)
    (out / "x.csv").write_text("edited")
    save(paths[0], rows[:60])
    assert [outcome.state for outcome in segment_files(segmenter, paths, out)] == ["failed", "done"]
    assert [outcome.state for outcome in segment_files(segmenter, paths, out, overwrite=True)] == ["computed"] * 2
    assert ends(out, table) == {"x": 4.0, "y": 8.0}
    segment_files(segmenter, paths[:1], out)
    assert ends(out, table) == {"x": 4.0}
    assert "left out: 1" in caplog.messages[-1]
    status = batch_status(out)
    assert (status.inputs, status.done, status.missing) == (1, 1, 0)


def test_a_restored_input_has_its_result_again(segmenter, rows, tmp_path):
    paths, out = [save(tmp_path / f"{name}.npy", rows) for name in "xy"], tmp_path / "out"
    segment_files(segmenter, paths, out)
    for name in "xy":
        os.utime(out / ".results" / f"{name}.json", (1, 1))
    content, status = paths[0].read_bytes(), paths[0].stat()
    paths[0].write_bytes(b"damaged")
    assert segment_files(segmenter, paths, out)[0].state == "failed"
    assert ends(out, tmp_path / "t.csv") == {"y": 8.0}
    paths[0].write_bytes(content)
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    for _ in range(2):
        assert segment_files(segmenter, paths, out)[0].state == "done"
    assert ends(out, tmp_path / "t.csv") == {"x": 8.0, "y": 8.0}
    assert (batch_status(out).done, batch_status(out).failed) == (2, 0)
    assert len((out / "failures.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("formats", [["eaf", "boris", "via"], ["csv"]])
def test_a_changed_input_replaces_all_files_that_nobody_has_edited(segmenter, rows, tmp_path, formats):
    path, out = save(tmp_path / "x.npy", rows, 15.0), tmp_path / "out"
    segment_files(segmenter, [path], out, formats=["json", *formats])
    save(path, rows[:90], 15.0)
    (again,) = segment_files(segmenter, [path], out, formats=formats)
    assert (again.item.id, again.state) == ("x", "computed")
    assert json.loads((out / "x.json").read_text())["n_frames"] == 90


def test_a_result_of_another_file_stays_unless_it_may_be_overwritten(segmenter, rows, tmp_path):
    paths, out = (
        [save(tmp_path / folder / "x.npy", rows[:end]) for folder, end in (("a", 90), ("b", 60))],
        tmp_path / "out",
    )
    copy = save(tmp_path / "c" / "x.npy", rows[:90])
    segment_files(segmenter, paths[:1], out)
    (other,) = segment_files(segmenter, paths[1:], out)
    assert (other.state, other.written) == ("failed", ())
    assert str(paths[0]) in other.error.problem
    assert [outcome.state for outcome in segment_files(segmenter, [copy], out)] == ["done"]
    (other,) = segment_files(segmenter, paths[1:], out, overwrite=True)
    assert other.state == "computed"


@pytest.mark.parametrize("name", ["pipe.npy", "zero.npy", "pipe.mp4", "nul\0.npy"])
def test_pipes_devices_and_strange_names_are_refused(segmenter, tmp_path, name):
    path = tmp_path / name
    if "pipe" in name:
        os.mkfifo(path)
    elif "zero" in name:
        path.symlink_to("/dev/zero")
    inputs = Inputs([[path, tmp_path / "none.npy"]], SUFFIXES)
    outcomes = segment_batch(segmenter, inputs, tmp_path / "out")
    assert [outcome.state for outcome in outcomes] == ["failed"] * 2


@pytest.mark.parametrize(
    ("content", "place"), [(b"id,uri\n\xff,a\n", "m.csv"), (b"id,uri,stop\na,a,1" + b"0" * 400 + b"\n", "m.csv:2")]
)
def test_damaged_manifests_are_refused(tmp_path, content, place):
    (tmp_path / "m.csv").write_bytes(content)
    with refused(place):
        Inputs([tmp_path / "m.csv"])


def test_the_precision_is_part_of_the_request(tiny_run, tmp_path):
    requests = []
    for precision in ("auto", "bf16"):
        model = fact_clip.load(tiny_run, "cpu", precision=precision)
        requests.append(SegmentTask(model, tmp_path, SegmentSettings(), BatchOptions()).request)
    assert requests[0] != requests[1]


def test_the_command_replaces_features_of_another_video_only_if_told(library, fact_clip_command, tmp_path):
    root = library("a/take.mp4", "b/take.mp4")
    with (root / "b" / "take.mp4").open("ab") as file:
        file.write(b"another")
    how = ("extract", "--encoder", "grid", "--out", tmp_path / "out")
    assert fact_clip_command(*how, root / "a" / "take.mp4").code == 0
    first = (tmp_path / "out" / "take.json").read_bytes()
    answer = fact_clip_command(*how, root / "b" / "take.mp4")
    refused_line(answer, "take.mp4")
    assert "--overwrite" in answer.err
    assert (tmp_path / "out" / "take.json").read_bytes() == first
    assert fact_clip_command(*how, root / "b" / "take.mp4", "--overwrite").code == 0
    assert fact_clip_command(*how, root / "b" / "take.mp4").out.startswith("1 videos: 0 extracted, 1 current")


def test_a_result_of_an_input_that_has_changed_and_failed_is_left_out(segmenter, rows, tmp_path, caplog):
    paths, out, table = [save(tmp_path / f"{name}.npy", rows) for name in "xy"], tmp_path / "out", tmp_path / "t.csv"
    segment_files(segmenter, paths, out)
    save(paths[0], rows[:60] * np.nan)
    assert [outcome.state for outcome in segment_files(segmenter, paths, out)] == ["failed", "done"]
    status = batch_status(out)
    assert (status.done, status.failed, status.missing) == (1, 1, 0)
    assert ends(out, table) == {"y": 8.0}
    assert "left out: 1" in caplog.messages[-1]
    save(paths[0], rows[:90])
    segment_files(segmenter, paths, out)
    assert ends(out, table) == {"x": 6.0, "y": 8.0}


def test_features_of_a_part_keep_their_place_in_the_table(segmenter, rows, tmp_path):
    path, out = save(tmp_path / "late.npy", rows, 15.0), tmp_path / "out"
    facts = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**facts, "start": 6.0, "stop": 14.0}))
    for state in ("computed", "done"):
        assert [outcome.state for outcome in segment_files(segmenter, [path], out)] == [state]
    assert ends(out, tmp_path / "t.csv") == {"late": 14.0}


def test_media_names_the_video_of_features(segmenter, rows, tmp_path):
    path, out = save(tmp_path / "x.npy", rows, 15.0), tmp_path / "out"
    (outcome,) = segment_files(segmenter, [path], out, media="https://host/{name}")
    assert outcome.segmentation.media == "https://host/x"
    facts = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**facts, "video": "/films/take.mp4"}))
    (outcome,) = segment_files(segmenter, [path], out, media="https://host/{name}")
    assert outcome.segmentation.media == "https://host/take.mp4"


def test_other_words_in_braces_are_no_address(rows, tmp_path):
    inputs = Inputs([save(tmp_path / "x.npy", rows)], [".npy"])
    with refused("--media"):
        Output(media="https://host/{id}.mp4").check(str(tmp_path / "out"), inputs, [".csv"])


def test_the_id_of_a_manifest_may_be_zero(tmp_path):
    (tmp_path / "m.csv").write_text("id,uri\n0,a.npy\n")
    assert [item.id for item in Inputs([tmp_path / "m.csv"])] == ["0"]


def test_results_of_another_name_or_batch_are_left_out(segmenter, rows, tmp_path, caplog):
    """The table omits the record of a different input and results of different actions, and a warning counts them."""
    path, out = save(tmp_path / "x.npy", rows), tmp_path / "out"
    segment_files(segmenter, [path], out)
    record = out / ".results/x.json"
    record.rename(out / ".results/x-2.json")
    assert ends(out, tmp_path / "t.csv") == {}
    assert "left out: 1" in caplog.messages[-1]
    segment_files(segmenter, [path], out, overwrite=True)
    (out / ".results/x-2.json").unlink()
    batch = json.loads((out / ".batch").read_text())
    batch["request"]["actions"] = ["another"]
    (out / ".batch").write_text(json.dumps(batch))
    caplog.clear()
    assert ends(out, tmp_path / "t.csv") == {}
    assert "left out: 1" in caplog.messages[-1]


def test_a_refused_input_is_a_failure(segmenter, rows, tmp_path):
    """The result of another file with its name is not given as its own."""
    paths = [save(tmp_path / folder / "take.npy", rows[: 60 + 30 * number]) for number, folder in enumerate("ab")]
    paths.append(save(tmp_path / "b" / "other.npy", rows))
    out, table = tmp_path / "out", tmp_path / "t.csv"
    segment_files(segmenter, paths[:1], out)
    outcomes = segment_files(segmenter, [tmp_path / "b"], out)
    assert [outcome.state for outcome in outcomes] == ["computed", "failed"]
    assert (batch_status(out).done, batch_status(out).failed) == (1, 1)
    assert list(ends(out, table)) == ["other"]


def test_a_copy_of_a_folder_has_the_same_results(segmenter, rows, tmp_path):
    """Which input has failed since does not depend on the times of files."""
    paths, out = [save(tmp_path / f"{name}.npy", rows) for name in "xy"], tmp_path / "out"
    segment_files(segmenter, paths, out)
    save(paths[0], rows[:60] * np.nan)
    segment_files(segmenter, paths, out)
    copy = shutil.copytree(out, tmp_path / "copy", copy_function=shutil.copyfile)
    for folder in (out, copy):
        assert (batch_status(folder).done, batch_status(folder).failed) == (1, 1)
        assert list(ends(folder, tmp_path / "t.csv")) == ["y"]
    save(paths[0], rows[:60])
    segment_files(segmenter, paths, out)
    assert sorted(ends(out, tmp_path / "t.csv")) == ["x", "y"]


def test_actions_of_the_segmenter_are_part_of_the_request(tiny_run, rows, tmp_path):
    path, out = save(tmp_path / "x.npy", rows), tmp_path / "out"
    names = fact_clip.load(tiny_run, "cpu").vocabulary.names
    for actions, state in ((names[:3], "computed"), (names[:3], "done"), (names[3:6], "failed")):
        (outcome,) = segment_files(fact_clip.load(tiny_run, "cpu", actions=actions), [path], out)
        assert outcome.state == state


def test_edited_files_are_not_completed_in_silence(segmenter, rows, tmp_path, caplog):
    path, out = save(tmp_path / "x.npy", rows), tmp_path / "out"
    segment_files(segmenter, [path], out, formats=["csv"])
    (out / "x.csv").write_text((out / "x.csv").read_text().replace("\n0,", "\n1,", 1) + "\n")
    (outcome,) = segment_files(segmenter, [path], out, formats=["csv", "json"])
    assert (outcome.state, (out / "x.json").exists()) == ("failed", False)
    segment_files(segmenter, [path], out, formats=["csv"])
    ends(out, tmp_path / "t.csv")
    assert "1 results have files that have been edited since" in caplog.text


def test_an_input_whose_description_is_corrected_is_tried_again(segmenter, rows, tmp_path):
    paths = [save(tmp_path / f"{name}.npy", rows) for name in "xy"]
    paths[0].with_suffix(".json").write_text('{"fps": -1}')
    for state in ("failed", "failed", "failed", "set aside"):
        assert segment_files(segmenter, paths, tmp_path / "out")[0].state == state
    paths[0].with_suffix(".json").write_text('{"fps": 15}')
    assert segment_files(segmenter, paths, tmp_path / "out")[0].state == "computed"


def test_a_refusal_is_no_attempt(segmenter, rows, tmp_path):
    """What the message of a refusal advises works after any number of them."""
    paths, out = [save(tmp_path / f"{name}.npy", rows) for name in "xy"], tmp_path / "out"
    few = segmenter.vocabulary.names[:3]
    segment_files(segmenter, paths, out)
    for _ in range(4):
        assert {outcome.state for outcome in segment_files(segmenter, paths, out, actions=few)} == {"failed"}
    again = segment_files(segmenter, paths, out, overwrite=True, actions=few)
    assert {outcome.state for outcome in again} == {"computed"}
    assert sorted(ends(out, tmp_path / "t.csv")) == ["x", "y"]
