"""Every fault that is planted in a data set is found, by its kind and its place; a clean set has none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.inspect import Finding, Inspection

from ..refusals import refused


@pytest.fixture
def look(root: Path) -> Callable[..., list[Finding]]:
    def looked(split: str | None = None, **keys: object) -> list[Finding]:
        return list(Inspection(DataConfig.model_validate({"root": str(root), **keys}), split))

    return looked


def places(findings: list[Finding]) -> list[tuple[str, str]]:
    assert not any("\n" in str(finding.error) for finding in findings)
    return [(finding.kind, str(finding.error.where)) for finding in findings]


def located(root: Path, findings: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The places of findings, which are written below the data set, in full."""
    return [(kind, str(root / where)) for kind, where in findings]


def write(root: Path, name: str, text: str | bytes) -> None:
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def labels(root: Path, video: str, change: Callable[[list[str]], list[str]]) -> None:
    path = root / "groundTruth" / f"{video}.txt"
    path.write_text("\n".join(change(path.read_text().split("\n")[:-1])) + "\n")


def features(root: Path, video: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = root / "features" / f"{video}.npy"
    np.save(path, change(np.load(path)))


def poisoned(array: np.ndarray) -> np.ndarray:
    array[17, 3] = np.nan
    return array


def at_two_rates(root: Path, number: int) -> None:
    """Labels at 30 frames a second, features at 29.7, in videos of other lengths."""
    length = 400 * (number + 1)
    write(root, f"groundTruth/{'abc'[number]}.txt", "idle\npour milk\nstir\n" + "idle\n" * (length - 3))
    features(root, "abc"[number], lambda array: np.resize(array, (round(length * 0.99), 5)))


FOLDERS_OF = (("features", "npy"), ("groundTruth", "txt"))
TRAIN, TEST = "splits/train.split1.bundle", "splits/test.split1.bundle"

# name -> (plant it, every finding: kind, where)
PLANTED: dict[str, tuple[Callable[[Path], object], list[tuple[str, str]]]] = {
    "no labels of a video": (lambda root: (root / "groundTruth/b.txt").unlink(), [("labels", "groundTruth/b.txt")]),
    "no features of a video": (lambda root: (root / "features/b.npy").unlink(), [("features", "features/b.npy")]),
    "a video that is not there": (
        lambda root: write(root, TRAIN, "a\nb\nc\nghost.txt"),
        [("labels", "groundTruth/ghost.txt"), ("features", "features/ghost.npy")],
    ),
    "label not in the mapping": (
        lambda root: labels(root, "b", lambda lines: [*lines[:20], "pour mlik", *lines[21:]]),
        [("labels", "groundTruth/b.txt:21")],
    ),
    "blank line between labels": (
        lambda root: labels(root, "a", lambda lines: [lines[0], "", *lines[2:]]),
        [("labels", "groundTruth/a.txt:2")],
    ),
    "empty video": (lambda root: write(root, "groundTruth/c.txt", b"\r\n"), [("labels", "groundTruth/c.txt")]),
    "lengths": (lambda root: features(root, "a", lambda array: np.tile(array, (2, 1))), [("length", "features/a.npy")]),
    "orientation": (lambda root: features(root, "c", np.transpose), [("orientation", "features/c.npy")]),
    "ambiguous orientation": (
        lambda root: [features(root, video, lambda array: np.ones((len(array), len(array)))) for video in "abcd"],
        [("orientation", "features")],
    ),
    "width": (lambda root: features(root, "d", lambda array: array[:, :4]), [("width", "features/d.npy")]),
    "NaN": (lambda root: features(root, "b", poisoned), [("not finite", "features/b.npy")]),
    "unreadable .npy": (lambda root: write(root, "features/a.npy", b"not an array"), [("features", "features/a.npy")]),
    "features without frames": (
        lambda root: features(root, "b", lambda array: array[:0]),
        [("features", "features/b.npy")],
    ),
    "video twice in a list": (lambda root: write(root, TRAIN, "a\nb\nc\na.txt\n"), [("split", TRAIN + ":4")]),
    "video in training and test": (lambda root: write(root, TEST, "d\nb\n"), [("overlap", TEST + ":2")]),
    "empty list and a video in none": (
        lambda root: write(root, TEST, "\n"),
        [("split", TEST), ("coverage", "groundTruth/d.txt")],
    ),
    "list missing": (
        lambda root: write(root, "splits/train.split2.bundle", "a\nb\nc\nd\n"),
        [("split", "splits/test.split2.bundle")],
    ),
    "no splits": (lambda root: shutil.rmtree(root / "splits"), [("split", "")]),
    "class never trained": (
        lambda root: [labels(root, video, lambda lines: ["idle"] * len(lines)) for video in "abc"],
        [("never trained", "splits")],
    ),
    "class that nobody has": (
        lambda root: write(root, "mapping.txt", "0 idle\n1 pour milk\n2 stir\n3 whisk\n"),
        [("never trained", "mapping.txt")],
    ),
    "id twice": (
        lambda root: write(root, "mapping.txt", "0 idle\n1 pour milk\n2 stir\n1 whisk\n"),
        [("mapping", "mapping.txt:4")],
    ),
    "name twice": (
        lambda root: write(root, "mapping.txt", "0 idle\n1 pour milk\n2 stir\n3 idle\n"),
        [("mapping", "mapping.txt:4")],
    ),
    "gap in the ids": (
        lambda root: write(root, "mapping.txt", "0 idle\n1 pour milk\n3 stir\n"),
        [("mapping", "mapping.txt")],
    ),
    "malformed line": (
        lambda root: write(root, "mapping.txt", "0 idle\n1 pour milk\n2 stir\nwhisk\n"),
        [("mapping", "mapping.txt:4")],
    ),
    "two spellings": (
        lambda root: [
            write(root, "mapping.txt", "0 idle\n1 pour milk\n2 stir\n3 Stir\n"),
            labels(root, "a", lambda lines: ["Stir", *lines[1:]]),
        ],
        [("names", "mapping.txt")],
    ),
    "equal factors": (
        lambda root: write(root, "factors.csv", "class,verb\nidle,wait\npour milk,do\nstir,Do\n"),
        [("names", "mapping.txt")],
    ),
    "features at another rate": (
        lambda root: [at_two_rates(root, number) for number in range(3)],
        [("length", "features")],
    ),
    "features longer than labels": (
        lambda root: features(root, "b", lambda array: np.resize(array, (58, 5))),
        [("cut", "features/b.npy")],
    ),
    "a row too many": (lambda root: features(root, "b", lambda array: np.resize(array, (57, 5))), []),
    "clicks beside labels": (
        lambda root: [(root / "clicks").mkdir(), write(root, "clicks/b.csv", "frame,label\n3,stir\n")],
        [("clicks", "clicks/b.csv")],
    ),
    "a copy in the test": (
        lambda root: [
            shutil.copy(root / f"{folder}/a.{end}", root / f"{folder}/d.{end}") for folder, end in FOLDERS_OF
        ],
        [("copies", "features/d.npy")],
    ),
    "lists of two forms": (
        lambda root: [write(root, "2.train", "a\n"), write(root, "splits/test.split2.bundle", "b\n")],
        [("split", "2.test")],
    ),
    "a folder for a file of factors": (lambda root: (root / "factors.csv").mkdir(), [("factors", "factors.csv")]),
    "no mapping": (lambda root: (root / "mapping.txt").unlink(), [("mapping", "mapping.txt")]),
    "no features at all": (lambda root: shutil.rmtree(root / "features"), [("folder", "features")]),
    "no labels at all": (lambda root: shutil.rmtree(root / "groundTruth"), [("folder", "groundTruth")]),
}
FOLDERS = ("no features at all", "no labels at all")


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_fault_is_found_and_nothing_else(name, look, root):
    plant, expected = PLANTED[name]
    plant(root)
    assert places(look()) == located(root, expected)


# values and other splits are not looked at, and without a folder the first file is what is missing
@pytest.mark.parametrize("name", sorted(PLANTED.keys() - {"NaN", "list missing", *FOLDERS}))
def test_opening_and_checking_raise_the_first(name, root):
    PLANTED[name][0](root)
    config = DataConfig(root=str(root), validation=0.0)
    try:
        errors = [finding.error for finding in Inspection(config, "1") if finding.severity == "error"]
    except InputError as error:
        errors = [error]
    with refused(errors[0].where, type(errors[0])) if errors else nullcontext():
        Dataset.open(config).check()


def test_all_faults_are_listed_at_once(look, root):
    planted = ("no features of a video", "label not in the mapping", "width", "video in training and test", "id twice")
    for name in planted:
        PLANTED[name][0](root)
    expected = [finding for name in planted for finding in located(root, PLANTED[name][1])]
    assert sorted(places(look())) == sorted(expected)


def test_one_unknown_label_is_one_line_with_its_frames(look, root):
    for video in "ab":
        labels(root, video, lambda lines: ["pouring"] * 3 + lines[3:])
    (finding,) = look()
    assert "(6 frames in 2 videos)" in finding.error.problem


def test_background_and_layout_that_do_not_fit(look, root):
    (finding,) = look(background=["idel"], layout="TD")
    assert (finding.kind, finding.severity) == ("background", "error")
    assert "'idle'" in finding.error.fix
    assert {finding.kind for finding in look(layout="DT")} == {"orientation"}


def test_groups_that_do_not_fit_or_are_shared(look, root):
    """a, b, c train and d tests; the names themselves are the groups."""
    assert look(groups="(.)") == []
    assert places(look(groups="([a-c])")) == [("groups", "data.groups")]
    for video in "ab":
        for folder, ending in (("groundTruth", "txt"), ("features", "npy")):
            (root / folder / f"{video}.{ending}").rename(root / folder / f"{video}d.{ending}")
    write(root, TRAIN, "ad\nbd\nc\n")
    (finding,) = look(groups="(.)$")
    assert (finding.kind, finding.severity) == ("shared groups", "note")


def test_what_a_benchmark_says_is_held_against_the_files(look, root):
    """Its background and its names."""
    mapping = f"{root}/mapping.txt"
    assert places(look(name="breakfast", layout="TD")) == [
        ("background", mapping),
        ("factors", f"{mapping}, class 'idle'"),
        ("factors", f"{mapping}, class 'stir'"),
    ]


def test_one_split_alone(look, root):
    write(root, "splits/train.split2.bundle", "a\nghost\n")
    write(root, "splits/test.split2.bundle", "b\n")
    assert look("1") == []
    assert len(look("2")) == 2
    with refused("train.split3.bundle"):
        look("3")


def test_a_fault_says_what_to_do(look, root):
    (root / "features" / "a.npy").rename(root / "features" / "a_rgb.npy")
    (error,) = [finding.error for finding in look() if finding.kind == "features"]
    assert str(error.where) == str(root / "features" / "a.npy")
    assert "a_rgb.npy, b.npy, c.npy, d.npy" in error.problem
    shutil.rmtree(root / "splits")
    (error,) = [finding.error for finding in look() if finding.kind == "split"]
    assert "fact-clip data split" in error.fix


def test_labels_at_half_the_rate_are_not_a_question_of_the_layout(look, root):
    for video in "abcd":
        features(root, video, lambda array: np.repeat(array, 2, axis=0))
    (finding,) = look()
    assert (finding.kind, finding.error.fix) == ("length", "extract features and labels at one frame rate")
    assert finding.error.where.path == root / "features" / "a.npy"


def test_a_folder_above_data_sets_names_them(root):
    shutil.copytree(root, root / "above" / "kitchen")
    with refused(root / "above") as refusal:
        Inspection(DataConfig(root=str(root / "above")))
    assert refusal.value.fix.endswith("kitchen")
    (root / "empty").mkdir()
    with refused(root / "empty"):
        Inspection(DataConfig(root=str(root / "empty")))


def test_a_class_of_another_split_is_no_class_without_videos(root):
    (root / "groundTruth/a.txt").write_text("stir\n" * 40)
    for part, name in (("train", "b"), ("test", "d")):
        (root / f"splits/{part}.split2.bundle").write_text(f"{name}\n")
    for part in ("train", "test"):
        (root / f"splits/{part}.split1.bundle").write_text("a\n" * (part == "train"))
    config = DataConfig(root=str(root))
    assert not [finding for finding in Inspection(config) if "idle" in str(finding.error)]
    (unused,) = (finding for finding in Inspection(config, "1") if "idle" in str(finding.error))
    assert "split 1" in str(unused.error)
