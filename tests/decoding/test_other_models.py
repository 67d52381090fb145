"""Segments from the scores of any model: kinds, layouts, what is learned from labels, and files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

import fact_clip
from fact_clip import Segmentation
from fact_clip.cli import main
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.decoding.other_models import MEMBER_SMOOTHING, ScoreDecoder, probabilities
from fact_clip.decoding.score_files import read_scores, score_files

from ..refusals import refused, refused_line
from ..small import write_dataset

NAMES = ("idle", "cut", "peel", "mix")
RNG = np.random.default_rng(3)
LOGITS = RNG.normal(scale=3, size=(30, 4))
PROBABILITIES = softmax(LOGITS, axis=1)


def segments_of(*labels: tuple[str, int], fps: float | None = None) -> Segmentation:
    """A video of labels with their lengths."""
    frames = [name for name, count in labels for _ in range(count)]
    return Segmentation.from_frames(frames, fps)


TRAINING = [segments_of(("idle", 4), ("peel", 10), ("cut", 10), ("mix", 20), ("idle", 4))] * 5


# --- kinds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (PROBABILITIES, "probabilities"),
        (PROBABILITIES.astype(np.float16), "probabilities"),
        (100 * PROBABILITIES, "probabilities"),
        (LOGITS, "logits"),
        (LOGITS - LOGITS.min() + 2, "logits"),  # none is negative
        (log_softmax(LOGITS, axis=1), "log-probabilities"),
    ],
)
def test_kinds_are_recognised(scores, kind):
    for table in (scores, scores.T, scores.tolist()):
        found = probabilities(table, "x", 4)
        np.testing.assert_allclose(found, PROBABILITIES, atol=2e-3)
        np.testing.assert_allclose(found, probabilities(table, "x", 4, kind))


def test_logits_of_as_many_frames_as_classes_may_be_either_way_round():
    """The rows of probabilities decide, whose columns have other sums."""
    logits = LOGITS[:4]
    for scores, kind in ((logits, None), (logits.T, None), (logits, "logits")):
        with refused("scores of model 1"):
            fact_clip.decode(scores, NAMES, kind=kind, switch_penalty=0.0)
    found = fact_clip.decode(PROBABILITIES[:4], NAMES, switch_penalty=0.0, order=0.0)
    assert found.to_frames() == [NAMES[label] for label in logits.argmax(1)]


@pytest.mark.parametrize(
    ("stored", "floor"),
    [
        (np.array([[0.123, 0.877, 0.0, 0.0]]), 0.0005),
        (np.array([[12.5, 87.5, 0.0, 0.0]]), 0.0005),  # percent
        (np.array([[0.5, 0.5, 0.0, 0.0]]), 0.005),  # one digit counts as two
        (np.array([[1, 0, 0, 0]]), 0.005),
        (np.array([[1 / 3, 2 / 3, 0.0, 0.0]], np.float16), 2.0**-25),
    ],
)
def test_a_rounded_zero_is_half_of_the_last_digit(stored, floor):
    table = probabilities(stored, "scores", 4)
    whole = stored.astype(float)
    whole = whole.clip(floor * whole.sum().round())
    assert table == pytest.approx(whole / whole.sum(), rel=1e-9)


def test_one_frame_whose_class_was_rounded_away_is_no_segment():
    true = np.tile([0.02, 0.02, 0.94, 0.02], (24, 1))
    true[12] = [0.02, 0.9797, 0.0003, 0.0]
    for table in (true, true.round(3), true.round(2), (100 * true).round(1)):
        found = fact_clip.decode(table, NAMES, training_segments=TRAINING)
        assert found.transcript == ("peel",)


def test_a_kind_that_is_named_is_taken():
    sigmoids = np.array([[0.5, 0.25, 0.25, 1.0]])
    with refused("x"):
        probabilities(sigmoids, "x", 4)
    np.testing.assert_allclose(probabilities(sigmoids, "x", 4, "probabilities"), sigmoids / 2)
    np.testing.assert_allclose(probabilities(sigmoids, "x", 4, "logits"), softmax(sigmoids, axis=1))


def test_a_class_may_be_excluded():
    logits = np.array([[1.0, -np.inf, 0.0, 0.0]])
    assert probabilities(logits, "x", 4)[0, 1] == 0


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (np.full((5, 3), 0.25), None),
        (np.zeros((0, 4)), None),
        (np.zeros(4), None),
        (np.full((5, 4), np.nan), None),
        (np.full((5, 4), -np.inf), None),
        (np.full((5, 4), np.inf), "logits"),
        (np.full((5, 4), -0.25), "probabilities"),
        (np.zeros((5, 4)), "probabilities"),
        ([["a"] * 4], None),
    ],
)
def test_what_are_no_scores(scores, kind):
    with refused("x"):
        probabilities(scores, "x", 4, kind)


# --- what is learned --------------------------------------------------------------------------------------


def test_the_penalty_follows_short_actions_in_rows_of_the_scores():
    """The fifth of the lengths 10, 10, 20 is 10; at a third of the rate these are 10 / 3 rows."""
    at_rate = [segments_of(("idle", 9), ("peel", 10), ("cut", 10), ("mix", 20), fps=15.0)]
    for fps, rows in ((None, 10), (15.0, 10), (5.0, 10 / 3)):
        decoder = ScoreDecoder.learned(NAMES, at_rate, fps=fps, background=["idle"])
        assert decoder.penalty == round(1.2 * rows**0.8, 1)
    assert ScoreDecoder.learned(NAMES, at_rate, switch_penalty=2).penalty == 2
    assert ScoreDecoder.learned(NAMES, at_rate, order=0).costs.transitions is None


def test_lengths_follow_the_times_of_frames():
    """Frames of 1/15 s, but for one: at 5 rows a second, cut lasts 10 / 3 rows and mix 20 / 3 + 1."""
    frames = segments_of(("idle", 9), ("peel", 10), ("cut", 10), ("mix", 20)).to_frames()
    seconds = np.full(len(frames), 1 / 15)
    seconds[-1] += 0.2
    timed = Segmentation.from_frames(frames, times=[0, *np.cumsum(seconds)])
    decoder = ScoreDecoder.learned(NAMES, [timed], fps=5.0, background=["idle"])
    assert decoder.penalty == round(1.2 * (10 / 3) ** 0.8, 1)
    evenly = segments_of(("idle", 9), ("peel", 10), ("cut", 10), ("mix", 23), fps=15.0)
    expected = ScoreDecoder.learned(NAMES, [evenly], fps=5.0, background=["idle"])
    np.testing.assert_allclose(decoder.costs.durations.mean, expected.costs.durations.mean)
    with refused("training_segments"):
        ScoreDecoder.learned(NAMES, [Segmentation.from_frames(frames)], fps=5.0)


def test_two_segments_of_one_label_that_touch_are_one():
    whole = segments_of(("peel", 40), ("cut", 20), ("mix", 20))
    by_hand = segments_of(("peel", 20), ("peel", 20), ("cut", 20), ("mix", 10), ("mix", 10))
    one, other = (ScoreDecoder.learned(NAMES, [video] * 3) for video in (whole, by_hand))
    np.testing.assert_array_equal(one.costs.transitions.costs, other.costs.transitions.costs)
    np.testing.assert_array_equal(one.costs.durations.log_scores, other.costs.durations.log_scores)
    assert one.penalty == other.penalty


def test_an_unlabelled_stretch_parts_its_neighbours():
    video = segments_of(("cut", 5), (UNLABELLED, 5), ("peel", 5), ("mix", 5), ("cut", 5))
    costs = ScoreDecoder.learned(NAMES, [video] * 9).costs.transitions.costs
    assert costs[1, 2] == 1  # nothing followed cut, so nothing is known
    assert costs[2, 3] == pytest.approx(1)  # the usual change
    assert costs[2, 1] > 1.5  # peel was followed by mix, never by cut


def test_the_order_decides_between_names_that_are_alike():
    """After peel, the scores know no difference between cut and mix."""
    table = np.array([[0.02, 0.02, 0.94, 0.02]] * 12 + [[0.02, 0.48, 0.02, 0.48]] * 12)
    at_rate = [replace(video, fps=2.0) for video in TRAINING]
    found = fact_clip.decode(table, NAMES, training_segments=at_rate, fps=2.0)
    assert found.transcript == ("peel", "cut")
    assert found.fps == 2.0
    assert found.segments[0].confidence == pytest.approx(0.94)
    back = [segments_of(("peel", 10), ("mix", 10), ("cut", 20))] * 5
    assert fact_clip.decode(table, NAMES, training_segments=back).transcript == ("peel", "mix")


def test_frames_without_a_label_are_no_class():
    table = np.tile([0.9, 0.1], (8, 1))
    assert fact_clip.decode(table, [UNLABELLED, "cut"], switch_penalty=1.0).transcript == ("cut",)


def test_single_rows_are_no_segments():
    table = np.tile([0.1, 0.7, 0.1, 0.1], (20, 1))
    table[[5, 9, 14]] = [0.1, 0.2, 0.6, 0.1]
    assert fact_clip.decode(table, NAMES, training_segments=TRAINING).transcript == ("cut",)
    free = fact_clip.decode(table, NAMES, switch_penalty=0.0)
    assert free.transcript == ("cut", "peel", "cut", "peel", "cut", "peel", "cut")


def test_background_is_that_of_the_training_unless_it_is_named():
    training = [Segmentation(video.segments, background=("idle",)) for video in TRAINING]
    table = PROBABILITIES
    assert fact_clip.decode(table, NAMES, training_segments=training).background == ("idle",)
    assert fact_clip.decode(table, NAMES, training_segments=training, background=()).background == ()
    assert fact_clip.decode(table, NAMES, training_segments=TRAINING).background == ()


def test_two_rules_put_in_what_is_always_there_and_keep_one_visit():
    labels = ["peel"] * 10 + ["mix"] * 20 + ["peel"] * 6
    scores = np.full((36, 4), 0.01)
    scores[np.arange(36), [NAMES.index(name) for name in labels]] = 0.97
    scores[8:12, 1] = 0.4  # "cut", which each training video has
    scores /= scores.sum(axis=1, keepdims=True)
    how = {"names": NAMES, "training_segments": TRAINING, "background": ["idle"], "order": 0, "durations": 0}
    plain = fact_clip.decode(scores, **how, switch_penalty=0.5)
    assert [segment.label for segment in plain] == ["peel", "mix", "peel"]
    always = fact_clip.decode(scores, **how, switch_penalty=0.5, always=True)
    assert [segment.label for segment in always] == ["peel", "cut", "mix", "peel"]
    once = fact_clip.decode(scores, **how, switch_penalty=0.5, returns=True)
    assert [segment.label for segment in once][:2] == ["peel", "mix"]
    assert [segment.label for segment in once].count("peel") == 1


def test_several_models_are_averaged():
    second = softmax(RNG.normal(size=(30, 4)), axis=1)
    found = fact_clip.decode([PROBABILITIES, np.log(second)], NAMES, switch_penalty=0.0)
    smoothed = (1 - MEMBER_SMOOTHING) * np.stack([PROBABILITIES, second]) + MEMBER_SMOOTHING / 4
    mean = np.log(smoothed).mean(0)
    assert found.to_frames() == [NAMES[label] for label in mean.argmax(1)]
    alone = fact_clip.decode([PROBABILITIES], NAMES, switch_penalty=0.0)
    assert alone == fact_clip.decode(PROBABILITIES, NAMES, switch_penalty=0.0)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"training_segments": ()}, "training_segments"),
        ({"training_segments": [segments_of(("juggle", 3))]}, "training_segments"),
        ({"training_segments": ["cut"]}, "training_segments"),
        ({"training_segments": [segments_of((UNLABELLED, 1), ("cut", 1), (UNLABELLED, 1))]}, "training_segments"),
        ({"fps": 0.0}, "fps"),
        ({"order": -1.0}, "order"),
        ({"switch_penalty": -1.0}, "switch_penalty"),
        ({"kind": "scores"}, "kind"),
        ({"background": ["juggle"]}, "background"),
        ({"names": "abcd"}, "names"),
        ({"names": ("a", "b", "c")}, "scores of model 1"),
        ({"scores": [PROBABILITIES, PROBABILITIES[:9]]}, "scores"),
        ({"scores": [[[0.1, 0.2, 0.3, 0.4], [0.5, 0.5]]]}, "scores"),
        ({"scores": [PROBABILITIES, PROBABILITIES[:, :3]]}, "scores of model 2"),
    ],
)
def test_wrong_arguments(changes, place):
    arguments = {"scores": PROBABILITIES, "names": NAMES, "training_segments": TRAINING, **changes}
    if place == "scores of model 1":
        arguments["switch_penalty"] = 1.0
        arguments["training_segments"] = ()
    with refused(place):
        fact_clip.decode(**arguments)


# --- files ------------------------------------------------------------------------------------------------


def write_scores(folder, name: str = "v", form: str = ".npy", table=PROBABILITIES, header=None):
    """A score file in a folder."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}{form}"
    if form == ".npy":
        np.save(path, table)
    elif form == ".npz":
        np.savez(path, scores=table)
    else:
        lines = [",".join(header)] if header else []
        lines += [",".join(map(str, row)) for row in table]
        path.write_text("\n".join(lines) + "\n")
    return path


def test_files_of_all_forms_hold_the_same(tmp_path):
    for form in (".npy", ".npz", ".csv"):
        path = write_scores(tmp_path / "all", form[1:], form)
        np.testing.assert_allclose(read_scores(path, NAMES), PROBABILITIES)
    path = write_scores(tmp_path / "all", "named", ".csv", PROBABILITIES[:, ::-1], NAMES[::-1])
    np.testing.assert_allclose(read_scores(path, NAMES), PROBABILITIES)
    path = path.rename(tmp_path / "all" / "upper.CSV")
    np.testing.assert_allclose(read_scores(path, NAMES), PROBABILITIES)
    write_scores(tmp_path / "all", "named", ".csv", PROBABILITIES[:, ::-1], NAMES[::-1])
    (tmp_path / "all" / "notes.txt").write_text("x")
    (tmp_path / "all" / "._csv.npy").write_text("x")
    assert list(score_files(tmp_path / "all")) == ["csv", "named", "npy", "npz", "upper"]


@pytest.mark.parametrize(
    ("content", "place"),
    [("a,b,c,d\n1,2,3,4\n", "v.csv:1"), ("1,2,3,4\n1,2,3\n", "v.csv:2"), ("1,2,3,4\n1,2,3,x\n", "v.csv:2")],
)
def test_a_table_that_does_not_fit(content, place, tmp_path):
    path = tmp_path / "v.csv"
    path.write_text(content)
    with refused(place):
        read_scores(path, NAMES)


def test_a_first_row_of_numbers_may_be_a_header_of_classes_that_are_numbers(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("1,0\n0.25,0.75\n")
    with refused("v.csv"):
        read_scores(path, ["0", "1"])
    path.write_text("0.5,0.5\n0.25,0.75\n")
    assert len(read_scores(path, ["0", "1"])) == 2


def test_an_archive_holds_one_array(tmp_path):
    np.savez(tmp_path / "v.npz", a=PROBABILITIES, b=PROBABILITIES)
    with refused("v.npz"):
        read_scores(tmp_path / "v.npz", NAMES)


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """A data set without features, and scores of two models for a video of its own."""
    labels = {f"t{number}": video.to_frames() for number, video in enumerate(TRAINING)}
    write_dataset(tmp_path / "data", NAMES, labels, train=[*labels], test=())
    table = np.array([[0.02, 0.02, 0.94, 0.02]] * 12 + [[0.02, 0.48, 0.02, 0.48]] * 12)
    write_scores(tmp_path / "one", table=table)
    write_scores(tmp_path / "two", form=".csv", table=np.log(table))
    return tmp_path


@pytest.fixture
def command(folders, capsys):
    """Run the command in this process."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        arguments = ["decode", *words, "--training-labels", folders / "data", "--out", folders / "out"]
        code = main([str(word) for word in arguments])
        return code, *capsys.readouterr()

    return run


def test_the_command_is_the_function(folders, command):
    code, out, _ = command(folders / "one", "--fps", 2, "--format", "csv,json")
    assert code == 0
    assert out.split()[-3:] == ["v", "24", "2"]
    found = Segmentation.load(folders / "out" / "v.json")
    training = [Segmentation.from_frames(video.to_frames(), 2.0) for video in TRAINING]
    table = np.load(folders / "one" / "v.npy")
    arguments = {"training_segments": training, "fps": 2.0, "background": ["idle"]}
    assert found == fact_clip.decode(table, NAMES, **arguments)
    assert found.transcript == ("peel", "cut")
    assert Segmentation.load(folders / "out" / "v.csv").to_frames() == found.to_frames()


def test_the_command_averages_models_and_prints_json(folders, command):
    code, out, _ = command(folders / "one", folders / "two", "--json", "--label-fps", 2, "--fps", 2)
    assert code == 0
    (tree,) = json.loads(out)
    assert tree["input"] == "v"
    assert [segment["label"] for segment in tree["segments"]] == ["peel", "cut"]


def test_a_rate_of_labels_needs_that_of_the_scores(folders, command):
    refused_line(command(folders / "one", "--label-fps", 2), "--label-fps")


def test_the_command_replaces_nothing_unless_told(folders, command):
    assert command(folders / "one")[0] == 0
    refused_line(command(folders / "one"), "v.csv")
    assert command(folders / "one", "--overwrite")[0] == 0


def test_a_square_array_is_refused_unless_the_others_decide(folders, command):
    for folder in ("rows", "columns", "alone"):
        write_scores(folders / folder, "short", table=LOGITS[:4])
        write_scores(folders / folder, "long", table=LOGITS)
    for path in (folders / "columns").iterdir():
        np.save(path, np.load(path).T)
    (folders / "alone" / "long.npy").unlink()
    for folder in ("columns", "alone"):
        answer = command(folders / folder)
        assert "rows may be frames or classes" in refused_line(answer, "short.npy")
    code, _, err = command(folders / "rows", "--switch-penalty", 0, "--durations", 0)
    assert code == 0, err
    found = Segmentation.load(folders / "out" / "short.csv").to_frames()
    assert found == [NAMES[label] for label in LOGITS[:4].argmax(1)]


def test_the_split_of_the_recipe_is_read_and_training_videos_are_named(folders, command):
    data = folders / "data"
    (data / "recipe.yaml").write_text("base: folder\ndata: {root: ., split: '7'}\n")
    refused_line(command(folders / "one"), "train.split7.bundle")
    write_scores(folders / "known", "t3")
    code, _, err = command(folders / "known", "--split", 1)
    assert code == 0
    assert "t3: the labels of this video are among the training labels" in err


def test_what_the_command_refuses(folders, command):
    refused_line(command(folders / "none"), "none")
    write_scores(folders / "three", "w")
    refused_line(command(folders / "one", folders / "three"), "three")
    refused_line(command(folders / "data"), "data")
    write_scores(folders / "three", "w", ".csv")
    refused_line(command(folders / "three"), "w.npy")
    write_scores(folders / "short", table=PROBABILITIES[:, :3])
    refused_line(command(folders / "short"), "v.npy")
    refused_line(command(folders / "one", "--format", "doc"), "--format")
    refused_line(command(folders / "one", "--split", "7"), "train.split7.bundle")
    assert not (folders / "out").exists()


def test_the_command_leaves_out_unlabelled_names_and_clicks(folders, command):
    data = folders / "data"
    (data / "recipe.yaml").write_text(f"base: folder\ndata: {{root: ., unlabelled: [{NAMES[2]}]}}\n")
    (data / "clicks").mkdir()
    (data / "groundTruth" / "t0.txt").rename(folders / "t0.txt")
    (data / "clicks" / "t0.csv").write_text(f"frame,label\n0,{NAMES[1]}\n")
    code, _, err = command(folders / "one", "--fps", 2, "--format", "json")
    assert code == 0, err
    assert "clicks show no borders: 1 training videos" in err
    assert NAMES[2] not in Segmentation.load(folders / "out" / "v.json").transcript
    for path in (data / "groundTruth").iterdir():
        (data / "clicks" / f"{path.stem}.csv").write_text(f"frame,label\n0,{NAMES[1]}\n")
        path.unlink()
    again = (folders / "one", "--fps", 2, "--overwrite")
    assert "--switch-penalty" in refused_line(command(*again), str(data))
    code, _, err = command(*again, "--switch-penalty", 3)
    assert code == 0, err
