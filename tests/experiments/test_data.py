"""The builders of real data sets: their digests, their check of a clone, and what each converts."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from fact_clip import InputError
from fact_clip.core import FileLocation
from fact_clip.datasets.kscgr import write_kscgr

from ..scripts import ROOT, load_script

building = load_script("experiments/data/building.py")  # first, because the builders import it
captaincook = load_script("experiments/data/captaincook.py")
kscgr = load_script("experiments/data/kscgr.py")
openpack = load_script("experiments/data/openpack.py")
salads = load_script("experiments/data/salads.py")

BUILDERS = (captaincook, kscgr, openpack, salads)
EMPTY = hashlib.sha256(b"").hexdigest()
ONE_LINE = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7"  # sha256sum of "a\n"


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


# --- digests ----------------------------------------------------------------------------------------------------


def small_folder(root: Path) -> Path:
    write(root / "b.txt", "a\n")
    write(root / "a/c.txt", "")
    write(root / "README.md", "not part of the digest")
    return root


def test_digest_of_a_folder_by_hand(tmp_path):
    digests = building.file_digests(small_folder(tmp_path))
    assert list(digests.items()) == [("a/c.txt", EMPTY), ("b.txt", ONE_LINE)]
    listing = f"{EMPTY}  a/c.txt\n{ONE_LINE}  b.txt\n"
    assert building.folder_digest(digests) == hashlib.sha256(listing.encode()).hexdigest()
    write(tmp_path / "list.sha256", listing)
    assert building.read_digests(tmp_path / "list.sha256") == digests


def test_changed_missing_and_new_files_are_named(tmp_path):
    root = small_folder(tmp_path / "data")
    expected = {"a/c.txt": ONE_LINE, "b.txt": ONE_LINE, "gone.txt": EMPTY}
    write(root / "new.txt", "")
    with pytest.raises(InputError, match=r"3 of 4 files .* a/c\.txt, gone\.txt, new\.txt") as error:
        building.check_digests(root, expected)
    assert error.value.where == FileLocation(root)


@pytest.mark.parametrize("script", BUILDERS, ids=lambda script: script.BUILDER.name)
def test_documented_digest_is_the_recorded_one(script):
    path = ROOT / "experiments/data/digests" / f"{script.BUILDER.name}.sha256"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == building.folder_digest(building.read_digests(path))
    assert f"`{digest}`" in (ROOT / "experiments/data/README.md").read_text(encoding="utf-8")


def test_kscgr_of_the_package_is_what_the_builder_writes(tmp_path):
    root = write_kscgr(tmp_path / "kscgr")
    recorded = building.read_digests(ROOT / "experiments/data/digests/kscgr.sha256")
    assert building.file_digests(root) == recorded
    readme = ROOT / "experiments/data/files/kscgr/README.md"
    assert (root / "README.md").read_bytes() == readme.read_bytes()


# --- the clone ----------------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "clone"
    write(folder / "labels/a.txt", "a\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Add labels")
    return folder


@pytest.fixture
def source(clone):
    return building.Source("owner/name", git(clone, "rev-parse", "HEAD"), ("labels",))


def test_clone_at_the_commit_is_accepted(clone, source):
    building.check_commit(clone, source)
    write(clone / "unrelated.txt", "")
    building.check_commit(clone, source)


def test_a_different_commit_is_an_error_with_the_command(clone, source):
    other = replace(source, commit="0" * 40)
    with pytest.raises(InputError, match=rf"not 0000000\. Run git -C .*clone checkout {'0' * 40}") as error:
        building.check_commit(clone, other)
    assert error.value.where == FileLocation(clone)


@pytest.mark.parametrize("content", ["b\n", None], ids=["changed", "missing"])
def test_a_changed_or_missing_file_of_the_clone_is_an_error(clone, source, content):
    if content is None:
        (clone / "labels/a.txt").unlink()
    else:
        write(clone / "labels/a.txt", content)
    with pytest.raises(InputError, match=r"labels/a\.txt") as error:
        building.check_commit(clone, source)
    assert error.value.where == FileLocation(clone)


def test_a_folder_that_is_no_clone_is_an_error(tmp_path, source, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(InputError) as error:
            building.check_commit(folder, source)
        assert error.value.where == FileLocation(folder)


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of scripts with one file to copy and one recorded digest."""
    folder = tmp_path / "scripts"
    write(folder / "files/small" / building.README, "text")
    write(folder / "digests/small.sha256", f"{ONE_LINE}  a.txt\n")
    monkeypatch.setattr(building, "HERE", folder)
    return folder


def copy_labels(clone: Path, root: Path) -> None:
    write(root / "a.txt", (clone / "labels/a.txt").read_text())


def run(build, source, *arguments: object) -> int:
    builder = building.Builder("small", (source,), build)
    return building.run_builder(builder, "Build.", [str(argument) for argument in arguments])


def test_command_writes_the_folder_and_compares_it(tmp_path, clone, source, here, capsys):
    assert run(copy_labels, source, clone, tmp_path / "out/data") == 0
    digest = hashlib.sha256(f"{ONE_LINE}  a.txt\n".encode()).hexdigest()
    assert capsys.readouterr().out == f"{tmp_path / 'out/data'}: digest {digest} matches\n"
    assert sorted(path.name for path in (tmp_path / "out/data").iterdir()) == ["README.md", "a.txt"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


def test_command_names_files_that_differ(tmp_path, clone, source, here, capsys):
    write(here / "digests/small.sha256", f"{EMPTY}  a.txt\n")
    assert run(copy_labels, source, clone, tmp_path / "data") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "1 of 1 files differ from the recorded ones: a.txt" in message
    assert run(copy_labels, source, clone, tmp_path / "again", "--record") == 0
    assert lines(here / "digests/small.sha256") == [f"{ONE_LINE}  a.txt"]


def test_command_leaves_nothing_after_an_error(tmp_path, clone, source, here, capsys):
    def fail(clone: Path, root: Path) -> None:
        write(root / "half.txt", "")
        raise InputError(clone, "broken")

    write(tmp_path / "full/file.txt", "")
    other = replace(source, commit="0" * 40)
    assert run(fail, source, clone, tmp_path / "out/data") == 2
    assert run(copy_labels, other, clone, tmp_path / "out/data") == 2
    assert run(copy_labels, source, clone, tmp_path / "full") == 2
    assert capsys.readouterr().err.count("\n") == 3
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file.txt"]


def test_script_runs_by_itself():
    command = [sys.executable, "experiments/data/kscgr.py", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert kscgr.SOURCE.commit[:7] in result.stdout


# --- conversions --------------------------------------------------------------------------------------------------


def test_kscgr(tmp_path):
    clone = tmp_path / "clone"
    root = tmp_path / "root"
    header = "Frame:\tLabel:\tPoints:\tBounding Box ID:\tFrame path:\n"
    boxes = [
        "0\tham\t(0,0,64,32)\t1\t0.jpg",
        "0\tham\t(8,0,65,32)\t1\t0.jpg",  # larger, so that it counts
        "3\tham\t(200,0,64,32)\t1\t3.jpg",  # not a fifth frame
        "5\tham\t(24,8,64,32)\t1\t5.jpg",
        "5\tknife\t(128,128,128,64)\t1\t5.jpg",
        "10\tham\t(224,8,64,32)\t1\t10.jpg",
        "11\ttable\t(0,0,1,1)\t1\t11.jpg",
    ]
    relations = [
        "Initial_frame-Final_frame Subject Relation Object",
        "0-4 ham on table",
        "5-10 person moving knife",
        "5-9 person moving cutting_board",
        "10-11 knife cutting ham",
        "10-11 chopstick moving mixed_egg",
    ]
    write(clone / "LICENSE", "MIT\n")
    write(clone / "bounding boxes/data1-ham.txt", header + "\n".join(boxes) + "\n---\nModified on: 1.1.2020\n")
    write(clone / "relations/1-ham.txt", "\n".join(relations) + "\n")
    write(clone / "bounding boxes/data2-egg.txt", f"{header}0\tham\t(0,0,64,32)\t1\t0.jpg\n")
    write(clone / "relations/2-egg.txt", "0-4 person holding pan_lid\n0-4 chopstick moving mixed_egg\n")
    write(root / "objects.txt", "ham\nknife\ntable\n")
    kscgr.build(clone, root, recordings=[(1, "ham"), (2, "egg")])

    assert lines(root / "groundTruth/subj1_ham.txt") == ["no action", "move cutting board", "cut ham"]
    assert lines(root / "groundTruth/subj2_egg.txt") == ["move mixed egg with chopstick"]
    names = ["cut ham", "move cutting board", "move mixed egg with chopstick", "no action"]
    assert lines(root / "mapping.txt") == [f"{index} {name}" for index, name in enumerate(names)]
    assert lines(root / "splits/test.split2.bundle") == ["subj2_egg"]
    assert lines(root / "splits/train.split2.bundle") == ["subj1_ham"]

    features = np.load(root / "features/subj1_ham.npy")
    assert features.shape == (3, 18)
    assert features.dtype == np.float16
    assert features[:, 0:3].tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert features[:, 3].tolist() == [0, np.float16((16 + 8) / 256 * 5), 1]
    assert features[1, 6:10].tolist() == [56 / 256, 24 / 256, 192 / 256, 160 / 256]
    assert features[0, 12:14].tolist() == [np.float16(65 / 256), 32 / 256]


def sensor_table(values: list[float]) -> str:
    rows = [",".join(["unixtime", *openpack.COLUMNS])]
    for index, value in enumerate(values):
        rows.append(",".join([str(30 * index), *[str(value)] * 10]))
    return "\n".join(rows) + "\n"


def test_openpack(tmp_path):
    clone = tmp_path / "clone"
    root = tmp_path / "root"
    folder = clone / openpack.FOLDER
    for sensor in openpack.SENSORS:
        write(folder / f"atr/{sensor}/S0500.csv", sensor_table([0, 3, 6, 9, 12, 15, 18, 21]))
    day = "1970-01-01 09:00:0"
    operations = [
        "box,id,start,end",
        f"1,100,{day}0.030000+09:00,{day}0.330000+09:00",
        f"15,100,{day}0.000000+09:00,{day}0.199000+09:00",
    ]
    actions = [
        "box,id,action,start,end",
        f"1,101,Pick Up HT,{day}0.080000+09:00,{day}0.279000+09:00",  # 0.5 and 2.49 rows
        f"1,8103,Ignore,{day}0.030000+09:00,{day}0.330000+09:00",
        f"15,902,Put Packed Box,{day}0.000000+09:00,{day}0.100000+09:00",
    ]
    write(folder / "annotation/openpack-operations/S0500.csv", "\n".join(operations) + "\n")
    write(folder / "annotation/openpack-actions/S0500.csv", "\n".join(actions) + "\n")
    root.mkdir()
    openpack.build(clone, root)

    first = "U0209_S0500_box01"
    assert lines(root / f"groundTruth/{first}.txt") == ["no action", "pick_up ht", "no action", "no action"]
    assert lines(root / "groundTruth/U0209_S0500_box15.txt") == ["put packed box", "no action"]
    assert lines(root / "mapping.txt") == ["0 no action", "1 pick_up ht", "2 put packed box"]
    assert lines(root / "splits/train.split1.bundle") == [first]
    assert lines(root / "splits/test.split1.bundle") == ["U0209_S0500_box15"]
    with (root / "segments.csv").open(newline="") as file:
        assert list(csv.reader(file))[1] == [first, "0.05", "0.249", "pick_up ht"]
    assert lines(root / "factors.csv")[2] == "pick_up ht,pick up,ht"

    features = np.load(root / f"features/{first}.npy")
    assert features.shape == (4, 40)
    # the average of three equals the middle; after the last sample (at 210 ms), the mean of two stays
    expected = np.array([3, 13, 19.5, 19.5])
    assert np.array_equal(features[:, 0], expected.astype(np.float16))
    assert np.array_equal(features[:, 13], (expected / 100).astype(np.float16))


def test_captaincook(tmp_path):
    features = tmp_path / "features"
    annotations = tmp_path / "annotations"
    root = tmp_path / "root"
    values = np.arange(12, dtype=np.float32).reshape(6, 2) / 3
    (features / captaincook.FEATURE_FOLDER).mkdir(parents=True)
    for name in ("1_2", "1_20", "2_1"):
        path = features / captaincook.FEATURE_FOLDER / f"{name}{captaincook.FEATURE_SUFFIX}"
        np.savez(path.with_suffix(""), features=values)
    steps = [
        {"start_time": 2.5, "end_time": 4.4, "description": "Stir-then stir the bowl"},
        {"start_time": 0.4, "end_time": 3.0, "description": "Cut -Cut a muffin"},
        {"start_time": -1, "end_time": -1, "description": "rinse-rinse a tomato"},
    ]
    recordings = {
        "1_2": {"activity_name": "Egg", "person_id": 1, "steps": steps},
        "1_20": {"activity_name": "Egg", "person_id": 3, "steps": []},
    }
    write(annotations / captaincook.ANNOTATIONS, json.dumps(recordings))
    write(annotations / "LICENSE", "MIT\n")
    write(features / "LICENSE", "Apache\n")
    root.mkdir()
    captaincook.build(features, annotations, root)

    expected = ["cut a muffin"] * 3 + ["stir then stir the bowl", "background", "background"]
    assert lines(root / "groundTruth/1_2.txt") == expected
    assert lines(root / "mapping.txt") == ["0 background", "1 cut a muffin", "2 stir then stir the bowl"]
    assert lines(root / "splits/train.split1.bundle") == ["1_20"]
    assert lines(root / "splits/test.split1.bundle") == ["1_2"]
    assert lines(root / "recipes.csv") == ["recording,recipe,person", "1_2,Egg,1", "1_20,Egg,3"]
    assert np.array_equal(np.load(root / "features/1_2.npy"), values.astype(np.float16))


def test_salads(tmp_path):
    clone = tmp_path / "clone"
    root = tmp_path / "root"
    write(root / "mapping.txt", "0 background\n1 cut_tomato\n")
    write(root / "devices.txt", "plate\nbowl\n")
    images = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    sensors = np.arange(6, dtype=np.float64).reshape(2, 3)
    for number in salads.SPLITS:
        write(clone / f"{salads.LISTS}/Split_{number}/train.txt", "01-1\n")
        write(clone / f"{salads.LISTS}/Split_{number}/test.txt", "02-1\n")
        folder = clone / f"{salads.FEATURES}/Split_{number}"
        folder.mkdir(parents=True)
        for video in ("01-1", "02-1"):
            arrays = {"A": images + number, "S": sensors, "Y": np.array([[1], [1], [0]])}
            savemat(folder / f"rgb-{video}.avi.mat", arrays)
        for name in salads.NETWORKS.values():
            scores = np.empty(1, dtype=object)
            scores[0] = np.array([[0.25, 0.75]], dtype=np.float32) / number
            path = clone / f"{salads.PREDICTIONS}/{name}/{number}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"S": scores})
    salads.build(clone, root)

    assert np.array_equal(np.load(root / "split4/features/01-1.npy"), (images + 4).astype(np.float16))
    assert np.array_equal(np.load(root / "sensors/features/02-1.npy"), sensors.T.astype(np.float16))
    for name in ("split4", "sensors"):
        assert lines(root / name / "groundTruth/01-1.txt") == ["cut_tomato", "cut_tomato", "background"]
        assert lines(root / name / "mapping.txt") == ["0 background", "1 cut_tomato"]
    assert lines(root / "sensors/splits/test.split5.bundle") == ["02-1"]
    assert lines(root / "sensors/devices.txt") == ["plate", "bowl"]
    scores = np.load(root / "peer_scores/dilated_tcn/split2/02-1.npy")
    assert scores.tolist() == [[0.125, 0.375]]
    assert sorted(path.name for path in root.iterdir()) == [
        "peer_scores",
        "sensors",
        *[f"split{n}" for n in salads.SPLITS],
    ]
