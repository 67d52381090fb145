"""What the members of an ensemble share: parts for validation, hidden classes, drafts, statistics and objects."""

from __future__ import annotations

import itertools
import json
import shutil

import numpy as np
import pytest
import yaml

from fact_clip.config import Config, merged
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import write_workbench
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train
from fact_clip.training.ensemble import Ensemble
from fact_clip.training.plan import resolve
from fact_clip.unseen.parts import MemberPart

from ..refusals import refused
from ..small import TINY, ZERO_SHOT

PEOPLE = 5  # in the training videos of split 1, with two videos each
PARTS = {"train": {"members": 3, "member_parts": True, "epochs": 1}, "data": {"validation": 0.25}}
GROUPS = {"data": {"groups": r"person(\d+)", "standardize": True}}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Sixteen videos of eight people; tests only read it."""
    return write_workbench(tmp_path_factory.mktemp("people"), videos=16, persons=8, dim=8)


def config_on(root, *groups) -> Config:
    tree = merged(TINY, {"data": {"root": str(root)}})
    for settings in groups:
        tree = merged(tree, settings)
    return Config.from_tree(tree, "tests")


def without_labels(root, name):
    """Replace all labels of a video by "?"."""
    path = root / "groundTruth" / f"{name}.txt"
    path.write_text("?\n" * len(path.read_text().splitlines()))


def members_of(run):
    return [Run.read(folder) for folder in (run, run / "members/2", run / "members/3")]


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    auto = {"data": {"validation_unseen": "auto"}}
    train(config_on(people, ZERO_SHOT, PARTS, GROUPS, auto), run)
    return run


def test_each_member_stores_its_own_part(trained):
    members = members_of(trained)
    data = [member.config.data for member in members]
    videos = [settings.validation_videos for settings in data]
    assert len({*itertools.chain(*videos)}) == 6  # two videos of one person each
    for part in videos:
        (person,) = {name.partition("_")[0] for name in part}
        assert part == (f"{person}_video1", f"{person}_video2")
    classes = [settings.validation_unseen for settings in data]
    assert all(classes)
    assert len({*itertools.chain(*classes)}) == sum(map(len, classes))
    for member, part in zip(members, videos, strict=True):
        roles = {video.name: video.role for video in member.seen.videos}
        assert {name for name, role in roles.items() if role == "validated"} == {*part}
        assert len(roles) == 2 * PEOPLE


def test_validation_videos_follow_the_run_and_no_setting(trained, tmp_path):
    """The stored names count, even if the groups of the configuration would give other parts."""
    run = shutil.copytree(trained, tmp_path / "run")
    figures = evaluate(run, split="validation").details
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["data"]["groups"] = None
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    assert evaluate(run, split="validation").details["videos"] == figures["videos"]
    # without the names, as in a run of another version, the record of the run has them
    tree["data"]["validation_videos"] = None
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    again = evaluate(run, split="validation").details
    assert (again["videos"], again["metrics"]) == (figures["videos"], figures["metrics"])


def test_a_resumed_ensemble_keeps_its_parts(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    parts = [member.config.data.validation_videos for member in members_of(run)]
    train(Config.load(run / "config.yaml", ["train.epochs=2"]), run, resume=True)
    assert [member.config.data.validation_videos for member in members_of(run)] == parts


def test_other_videos_are_divided_anew(trained, tmp_path):
    """Names of videos that the data lack are left out, and no video is trained and tested."""
    run = shutil.copytree(trained, tmp_path / "run")
    other = write_workbench(tmp_path / "other", videos=5, persons=5, seed=3, dim=8)
    figures = evaluate(run, overrides=[f"data.root={other}", "decode.switch_penalty=2.0"])
    assert figures.videos == ("person1_video1", "person4_video1")


def test_members_of_a_student_hide_what_the_drafts_name(people, tmp_path):
    """A class that a member hides without a draft would be a wrong answer in each frame."""
    teacher = tmp_path / "teacher.yaml"
    teacher.write_text(yaml.safe_dump(merged(TINY, ZERO_SHOT)))
    auto = {"data": {"validation_unseen": "auto"}, "train": {"self_training": str(teacher)}}
    train(config_on(people, ZERO_SHOT, PARTS, GROUPS, auto), tmp_path / "run")
    members = members_of(tmp_path / "run")
    hidden = [member.config.data.validation_unseen for member in members]
    assert hidden[0]
    assert hidden == [hidden[0]] * 3
    for member in members:
        dataset = Dataset.open(member.config.data)
        assert dataset.learned == tuple(range(len(dataset.vocabulary)))
        lost = {dataset.vocabulary.names[label] for label in np.flatnonzero(dataset.learned_counts == 0)}
        for name in lost - {*dataset.unseen_names, *hidden[0]}:
            shown = any((dataset.all_labels(video) == dataset.vocabulary.index(name)).any() for video in dataset.train)
            assert not shown
        # A hidden class has frames, unless the teacher gave its name to no frame that this member trains on.
        for name in lost & {*hidden[0]}:
            drafts = [(tmp_path / f"run/drafts/{video}.txt").read_text().splitlines() for video in dataset.train]
            assert not any(name in lines for lines in drafts)


def test_videos_without_a_label_of_people_who_validate(people, tmp_path):
    """Each member leaves other ones out, and all have one feature transform, and drafts of what they train."""
    root = shutil.copytree(people, tmp_path / "data")
    for person in (2, 3, 5, 6, 8):
        without_labels(root, f"person{person}_video2")
    closed = {"train": {"self_training": True}, "model": {"tokens": 60}}
    parts = merged(PARTS, {"data": {"validation": 0.2}})
    train(config_on(root, parts, GROUPS, closed), tmp_path / "run")
    members = members_of(tmp_path / "run")
    left_out = []
    for member in members:
        names = {video.name for video in member.seen.videos}
        assert len(names) == 2 * PEOPLE - 1
        left_out += [name for name in Dataset.open(member.config.data).all_learning if name not in names]
        assert member.transform.mean.tolist() == members[0].transform.mean.tolist()
    assert len({*left_out}) == 3
    drafts = {path.stem for path in (tmp_path / "run/drafts").glob("*.txt")}
    assert {*left_out} <= drafts
    evaluate(tmp_path / "run")


def test_what_one_video_cannot_give_is_said_before_the_training(people, tmp_path):
    root = shutil.copytree(people, tmp_path / "data")
    (root / "splits/train.split1.bundle").write_text("person2_video1\n")
    settings = {"decode": {"prior_weight": 0.5}, "data": {"holdout": ["place gear"]}}
    with refused("decode.prior_weight"):
        resolve(config_on(root, ZERO_SHOT, PARTS, settings))


def test_too_few_videos_are_shared_with_a_note_in_the_run(people, tmp_path):
    root = shutil.copytree(people, tmp_path / "data")
    (root / "splits/train.split1.bundle").write_text("person2_video1\nperson3_video1\n")
    train(config_on(root, PARTS), tmp_path / "run")
    message = "3 members share validation videos, because there are only 2 videos with labels"
    assert message in json.loads((tmp_path / "run/run.json").read_text())["notes"]
    parts = [member.config.data.validation_videos for member in members_of(tmp_path / "run")]
    assert parts[0] == parts[2] != parts[1]


def test_half_of_the_videos_is_less_for_three_members(people, tmp_path):
    """Ten videos have three parts of three videos, and two of five."""
    plan = resolve(config_on(people, PARTS, {"data": {"validation": 0.5}}))
    assert [len(part.validation) for part in plan.parts] == [3, 3, 3]
    assert len({*itertools.chain(*(part.validation for part in plan.parts))}) == 9
    assert plan.dataset.validation == plan.parts[0].validation
    two = resolve(config_on(people, PARTS, {"data": {"validation": 0.5}, "train": {"members": 2}}))
    assert [len(part.validation) for part in two.parts] == [5, 5]


def test_listed_validation_videos_are_those_of_the_first_member(people, tmp_path):
    names = [f"person{person}_video1" for person in (2, 3, 5, 6, 8)]
    plan = resolve(config_on(people, PARTS, {"data": {"validation_videos": names}}))
    parts = [part.validation for part in plan.parts]
    assert parts[0] == plan.dataset.validation == tuple(names)
    assert [len(part) for part in parts] == [5, 2, 2]
    assert len({*itertools.chain(*parts)}) == 9
    assert Ensemble(plan, tmp_path).config_of(1).data.validation_videos == parts[1]


@pytest.mark.parametrize("names", [["person9_video1"], ["person1_video1"], None])
def test_listed_validation_videos_that_cannot_be(people, names):
    """Unknown, of the test, and all of them."""
    if names is None:
        names = (people / "splits/train.split1.bundle").read_text().split()
    with refused("data.validation_videos"):
        resolve(config_on(people, {"data": {"validation_videos": names}}))


def test_a_video_that_no_member_learns_is_refused(people):
    parts = resolve(config_on(people, PARTS)).dataset.roles.parts
    names = tuple(parts.groups.of_video)
    first, second = MemberPart(names[:3], ()), MemberPart(names[2:5], ())
    (message,) = parts.check([first, MemberPart(names[3:5], ()), second])[:1]
    assert message.startswith("3 members share validation videos")
    with refused("train.member_parts") as refusal:
        parts.check([first, second])
    assert repr(names[2]) in refusal.message
    with refused("train.member_parts"):
        parts.check([first, MemberPart((), ())])


def test_classes_that_a_member_scores_without_a_frame_are_listed(people, tmp_path):
    """Two actions of one video: the member that validates on this video learns none of their frames."""
    root = shutil.copytree(people, tmp_path / "data")
    path = root / "groundTruth/person3_video1.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["wave", "bow", *lines[2:]]) + "\n")
    mapping = (root / "mapping.txt").read_text().splitlines()
    (root / "mapping.txt").write_text("\n".join([*mapping, f"{len(mapping)} wave", f"{len(mapping) + 1} bow"]) + "\n")
    data = {"data": {"name": "folder", "fps": 15.0, "validation": 0.34, "grammar": "none"}, "model": {"tokens": 60}}
    plan = resolve(config_on(root, PARTS, data))
    (number,) = [number for number, part in enumerate(plan.parts, 1) if "person3_video1" in part.validation]
    message = " ".join(note.message for note in plan.notes)
    assert f"so that it does not learn them: 'wave' (model {number}); 'bow' (model {number})" in message
