"""Many who write to one training set at once: nothing that was saved is lost, and nothing is there twice."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fact_clip.cli import main
from fact_clip.config import DataConfig
from fact_clip.core.paths import whole_file
from fact_clip.datasets.layout import DataFolder, split_names
from fact_clip_app.teach import new_folder
from fact_clip_app.training_set import TrainingSet

ROOT = Path(__file__).parents[2]
LABELS = ["stir"] * 6 + ["pour"] * 4


def features(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((10, 4)).astype(np.float32)


def add(root: Path, number: int, name: str = "video", labels=LABELS) -> str:
    return TrainingSet(root, None).add(name, features(number), labels, {"fps": 5.0})


def test_videos_of_one_name_by_many_at_once_are_all_there(tmp_path):
    (tmp_path / "mapping.txt").write_text("".join(f"{number} class{number}\n" for number in range(23)))
    with ThreadPoolExecutor(12) as pool:
        names = list(pool.map(lambda number: add(tmp_path, number, labels=[f"own{number}"] * 10), range(40)))
    assert len(set(names)) == 40
    assert sorted((tmp_path / "splits/train.split1.bundle").read_text().splitlines()) == sorted(names)
    mapping = [line.split()[1] for line in (tmp_path / "mapping.txt").read_text().splitlines()]
    assert mapping[:23] == [f"class{number}" for number in range(23)]
    assert sorted(mapping[23:]) == sorted(f"own{number}" for number in range(40))
    for number, name in enumerate(names):
        assert np.array_equal(np.load(tmp_path / "features" / f"{name}.npy"), features(number))
        assert (tmp_path / "groundTruth" / f"{name}.txt").read_text() == f"own{number}\n" * 10
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


def test_a_renamed_video_replaces_what_it_was(tmp_path):
    assert add(tmp_path, 1, "take") == "take"
    assert add(tmp_path, 1, "kitchen", labels=["cut"] * 10) == "take"
    assert add(tmp_path, 2, "kitchen") == "kitchen"
    assert (tmp_path / "groundTruth/take.txt").read_text() == "cut\n" * 10
    assert (tmp_path / "splits/train.split1.bundle").read_text().split() == ["take", "kitchen"]


def test_a_folder_gets_no_name_that_a_deleted_run_had(tmp_path):
    assert new_folder(tmp_path / "model", ["model-1"]).name == "model-2"


def test_processes_wait_for_each_other(tmp_path):
    code = "import sys; from tests.app.test_training_set import add; from pathlib import Path; " \
           "[add(Path(sys.argv[1]), number) for number in map(int, sys.argv[2:])]"  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path)]
    workers = [subprocess.Popen([*command, *map(str, range(at, at + 8))], cwd=ROOT) for at in (0, 8)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    assert len((tmp_path / "splits/train.split1.bundle").read_text().splitlines()) == 16
    assert len(list((tmp_path / "groundTruth").iterdir())) == 16


def test_the_same_video_again_takes_the_place_of_the_first(tmp_path):
    assert add(tmp_path, 1) == add(tmp_path, 1) == "video"
    other = add(tmp_path, 2)
    assert other.startswith("video-")
    assert add(tmp_path, 2, labels=["wipe"] * 10) == other
    assert (tmp_path / "splits/train.split1.bundle").read_text().splitlines() == ["video", other]
    assert (tmp_path / f"groundTruth/{other}.txt").read_text() == "wipe\n" * 10
    assert (tmp_path / "mapping.txt").read_text() == "0 stir\n1 pour\n2 wipe\n"


def test_a_test_video_is_not_trained_on(tmp_path):
    add(tmp_path, 1)
    add(tmp_path, 2, "tested")
    (tmp_path / "splits/train.split1.bundle").write_text("video\n")
    (tmp_path / "splits/test.split1.bundle").write_text("tested\n")
    add(tmp_path, 2, "tested", ["pour"] * 10)
    assert (tmp_path / "splits/train.split1.bundle").read_text() == "video\n"
    assert split_names(tmp_path) == ["1"]


def test_a_list_whose_name_has_a_part_twice_keeps_its_test(tmp_path):
    add(tmp_path, 1)
    add(tmp_path, 2, "tested")
    for path in (tmp_path / "splits").iterdir():
        path.unlink()
    (tmp_path / "train1.train").write_text("video.txt\n")
    (tmp_path / "train1.test").write_text("tested.txt\n")
    add(tmp_path, 2, "tested", ["pour"] * 10)
    assert (tmp_path / "train1.train").read_text() == "video.txt\n"


def test_clicks_take_the_place_of_labels_and_labels_of_clicks(tmp_path):
    clicked = ["?", "stir", *["?"] * 6, "pour", "?"]
    add(tmp_path, 1)
    TrainingSet(tmp_path, None).add("video", features(1), clicked, {"fps": 5.0}, is_clicked=True)
    config = DataConfig(root=str(tmp_path), fps=5.0, layout="TD")
    assert [(click.frame, click.label) for click in DataFolder(config).clicks("video")] == [(1, "stir"), (8, "pour")]
    add(tmp_path, 1)
    assert DataFolder(config).clicks("video") == []
    assert DataFolder(config).label_lines("video") == LABELS


def test_a_new_set_passes_its_check(tmp_path, capsys):
    TrainingSet(tmp_path, None).add("long", np.ones((20, 4), np.float32), LABELS * 2, {"fps": 5.0})
    add(tmp_path, 1)
    assert main(["data", "check", str(tmp_path)]) == 0, capsys.readouterr()


def test_everybody_gets_a_run_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder(tmp_path / "adapted"), range(16)))
    assert {folder.name for folder in folders} == {f"adapted-{number}" for number in range(1, 17)}


def test_two_writers_of_one_file_do_not_share_a_name(tmp_path):
    with whole_file(tmp_path / "a.txt") as first, whole_file(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert (tmp_path / "a.txt").read_text() == "first"  # the outer one ends last
