"""The data of the page: rows, times, numbers, and several runs put together by name."""

from __future__ import annotations

import json
import ntpath
from dataclasses import replace

import numpy as np
import pytest

from fact_clip import metrics
from fact_clip.core import Vocabulary
from fact_clip.evaluation.record import Video
from fact_clip.metrics.report import PROFILES
from fact_clip.report import summary as summary_module
from fact_clip.report.analysis import confusion
from fact_clip.report.summary import Evaluated, Sweep, evaluations, numbers, page, run_numbers, summary, unseen_errors

from ..refusals import refused
from .conftest import NASTY, rows_of


def test_rows_are_runs():
    assert run_numbers(np.array([-1, -1, 0, 2, 2, 2])) == [0, 2, 1, 1, 3, 3]
    shares = np.array([0.5, 0.7, 1.0], np.float32)
    assert run_numbers(np.array([1, 1, 0]), shares) == [2, 2, 60, 1, 1, 100]


def test_times_are_a_step_or_starts(evaluated):
    even, uneven = np.arange(4) * 0.04, np.array([0, 0.5, 0.7, 2.001])
    videos = [rows_of([1, 1, 2], [1, 2, 2], name, times) for name, times in (("a", even), ("b", uneven), ("c", None))]
    found = summary([evaluated(videos)])["videos"]
    assert [video["times"] for video in found] == [
        {"step": 0.04},
        {"starts": [0.0, 0.5, 0.7, 2.001]},
        {"step": 1, "unit": "frames"},
    ]
    assert [video["frames"] for video in found] == [3, 3, 3]


def test_figures_of_a_video_are_those_of_the_profile(evaluated):
    """Of four frames three agree, and both segments are found at half overlap."""
    one = summary([evaluated([rows_of([1, 1, 2, 2], [1, 2, 2, 2])])])
    assert one["videos"][0]["runs"][0]["figures"] == [75.0, 100.0, 100.0]


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
def test_figures_of_the_only_video_are_those_of_the_evaluation(evaluated, profile, is_counted):
    video = rows_of([0, 0, 1, 0, 2, 2], [0, 1, 1, 2, 2, 0])
    run = evaluated([video])
    rules = {"background": (0,), "profile": profile, "count_background": is_counted}
    figures = metrics.evaluate([video.labels["truth"]], [video.labels["prediction"]], **rules)
    run.result.update(metrics={"profile": profile, **figures}, background_counted=is_counted)
    found = summary([run])["videos"][0]["runs"][0]["figures"]
    assert found == [round(figures[key], 1) for key in ("frame_accuracy", "edit", "f1@50")]


def test_runs_are_united_by_the_names_of_classes_and_videos(evaluated):
    first = evaluated([rows_of([1, 2], [1, 1], "a"), rows_of([0, 0], [0, 1], "b")], ("rest", "pour", "stir"), title="A")
    second = evaluated([rows_of([2, 1], [2, 1], "a")], ("rest", "stir", "pour", "shake"), title="B")
    found = summary([first, second])
    assert [one["name"] for one in found["classes"]] == ["rest", "pour", "stir", "shake"]
    assert [video["name"] for video in found["videos"]] == ["a", "b"]
    a, b = found["videos"]
    assert a["truth"] == [2, 1, 3, 1]  # pour, stir
    assert a["runs"][1]["p"][::3] == [2, 3]  # the second run's stir and pour have other numbers of their own
    assert b["runs"][1] is None
    assert found["runs"][1]["confusion"] == [[2, 2, 1, 1], [1, 1, 1, 1]]
    assert {row["name"]: row["class"] for row in found["runs"][1]["classes"]} == {
        "rest": 0, "stir": 2, "pour": 1, "shake": 3,
    }  # fmt: skip


def test_a_video_of_two_lengths_is_refused(evaluated):
    pair = [evaluated([rows_of([1] * count, [1] * count)]) for count in (3, 4)]
    with refused("run"):
        summary(pair)


def test_a_video_of_two_truths_is_refused(evaluated):
    """Of hidden labels nothing is known."""
    truths = ([1, 1, 2], [1, 1, 1], [1, -1, 2])
    first, corrected, hidden = (evaluated([rows_of(truth, [1, 1, 2])]) for truth in truths)
    with refused("run"):
        summary([first, corrected])
    assert summary([first, hidden])["videos"][0]["truth"] == [2, 2, 3, 1]


def test_a_label_that_the_first_run_hides_is_the_one_of_a_later_run(evaluated, tmp_path):
    """Two later runs may contradict each other there. The message names the first run that has the label."""

    def moved(name: str, *videos: Video) -> Evaluated:
        one = evaluated(videos)
        (tmp_path / name).symlink_to(one.run.path)
        return replace(one, run=replace(one.run, path=tmp_path / name))

    prediction = [1, 1, 2]
    lacks = moved("lacks", rows_of([1], [1], "different video"))
    hides, has, contradicts = [
        moved(name, rows_of([1, label, 2], prediction))
        for name, label in (("hides", -1), ("has", 1), ("contradicts", 2))
    ]
    assert summary([lacks, hides, has])["videos"][1]["truth"] == [2, 2, 3, 1]
    with refused("contradicts") as refusal:
        summary([lacks, hides, has, contradicts])
    assert refusal.message.split(". ")[0].endswith("/has")
    with refused("short") as refusal:
        summary([lacks, hides, moved("short", rows_of([1, 1], [1, 1]))])
    assert refusal.message.rstrip(".").endswith("/hides")


def test_groups_and_training_frames_of_classes(evaluated):
    names = ("rest", "pour", "stir")
    found = summary([evaluated([rows_of([1, 2], [1, 1])], names, unseen=["stir"], training=[9, 4, 0])])
    assert [one["group"] for one in found["classes"]] == ["background", "seen", "unseen"]
    assert [row["training"] for row in found["runs"][0]["classes"]] == [9, 4, 0]


def test_facts_of_a_class_are_those_of_each_run(evaluated):
    names = ("rest", "pour", "stir")
    videos = [rows_of([1, 2], [1, 1])]
    holdout = evaluated(videos, names, unseen=["stir"], training=[9, 4, 0], title="holdout")
    whole = evaluated(videos, names, unseen=["pour"], training=[9, 4, 7], title="whole")
    found = summary([holdout, whole])
    assert [one["group"] for one in found["classes"]] == ["background", "", ""]  # they differ
    facts = [[(row["group"], row["training"]) for row in run["classes"]] for run in found["runs"]]
    assert facts == [
        [("background", 9), ("seen", 4), ("unseen", 0)],
        [("background", 9), ("unseen", 4), ("seen", 7)],
    ]


def test_a_class_without_training_frames_is_marked_without_a_hold_out(evaluated):
    names = ("rest", "pour", "stir")
    found = summary([evaluated([rows_of([1, 2], [1, 1])], names, training=[0, 4, 0])])
    assert [one["group"] for one in found["classes"]] == ["background", "", "no examples"]


def test_titles_of_runs_on_two_drives_are_their_paths(monkeypatch):
    runs = [r"C:\runs\a", r"D:\runs\b"]
    with monkeypatch.context() as patch:
        patch.setattr(summary_module.os, "path", ntpath)
        assert summary_module._titles(runs) == runs


def test_a_run_that_is_given_by_two_paths_is_given_twice(tiny_run, monkeypatch):
    monkeypatch.chdir(tiny_run.parent)
    with refused(tiny_run.name):
        evaluations([tiny_run.name, tiny_run])


def test_a_video_without_a_label_has_no_figures(evaluated):
    found = summary([evaluated([rows_of([-1, -1], [1, 2], "a"), rows_of([1, 2], [1, 2], "b")])])
    assert [video["runs"][0]["figures"][0] for video in found["videos"]] == [None, 100.0]


def test_times_are_those_of_the_run_that_has_some(evaluated):
    runs = [evaluated([rows_of([1, 2], [1, 2], times=times)]) for times in (None, np.array([0, 0.5, 1.0]))]
    found = summary(runs)
    assert found["videos"][0]["times"] == {"step": 0.5}
    assert found["runs"][1]["uncertain"][-1]["start"] == 1  # in frames


@pytest.mark.parametrize(("axis", "deviation"), [("data.split", 35.36), ("train.seed", 0.0)])
def test_a_sweep_shows_the_mean_of_what_was_evaluated(evaluated, axis, deviation):
    """The deviation is that of the seeds, of which these runs have one, or of the runs."""
    runs = [evaluated([rows_of([1, 2], [1, guess])], title=f"split{guess}") for guess in (1, 2)]
    (sweep,) = summary(runs, [Sweep([axis], [runs[0].run.path])])["sweeps"]
    assert (sweep["axes"], sweep["runs"]) == ([axis], 2)
    assert ["frame accuracy", 75.0, pytest.approx(deviation, abs=0.01)] in sweep["figures"]


def test_numbers_of_unseen_classes_come_first_and_name_the_oracle(evaluated):
    one = evaluated([rows_of([1, 2], [1, 2])], ("rest", "pour", "stir"), unseen=["stir"])
    one.result["zero_shot"]["diagnostics"] = {"auroc": 71.0, "called_seen": None}
    found = {name: value for name, value, _ in numbers(one.result)}
    assert list(found)[:6] == ["S, seen classes", "U, unseen classes", "H", "H* (oracle)", "AUSUC", "AUROC"]
    assert (found["H"], found["H* (oracle)"], found["AUROC"]) == (100.0, 54.5, 71.0)
    assert "called seen" not in found  # None: nothing was counted
    assert found["edit"] == 100.0
    assert found["calibration error, before"] == 12.5
    assert "calibration error, after" not in found


def test_errors_of_an_unseen_class():
    """Of ten frames of "cut egg" four are right; five are named "cut ham", which is seen and shares the verb."""
    pairs = {"cut ham": ("cut", "ham"), "cut egg": ("cut", "egg"), "move egg": ("move", "egg"), "hold": ("hold", None)}
    names = Vocabulary.from_names([*pairs], factors=pairs, slots=["verb", "object"])
    result = {
        "zero_shot": {
            "seen": ["cut ham", "move egg", "hold"],
            "unseen": {"cut egg": {"frames": 10, "accuracy": 40.0}},
        }
    }
    truth, prediction = [np.full(10, 1)], [np.array([1] * 4 + [0] * 5 + [3])]
    (row,) = unseen_errors(result, names, confusion(truth, prediction))
    assert row["taken"] == [
        {"name": "cut ham", "share": 50.0, "seen": True, "shares": True},
        {"name": "hold", "share": 10.0, "seen": True, "shares": False},
    ]


def test_errors_of_a_rare_unseen_class_are_counted_though_few_cells_are_listed(evaluated, monkeypatch):
    monkeypatch.setattr("fact_clip.report.analysis.MOST_CELLS", 1)
    run = evaluated([rows_of([1, 1, 1, 2], [1, 1, 1, 0])], ("rest", "pour", "stir"), unseen=["stir"])
    run.result["zero_shot"]["unseen"] = {"stir": {"frames": 1, "accuracy": 0.0}}
    (data,) = summary([run])["runs"]
    assert data["confusion"] == [[1, 1, 3, 3]]
    (row,) = data["unseen"]
    assert [(wrong["name"], wrong["share"]) for wrong in row["taken"]] == [("rest", 100.0)]


def test_no_name_ends_the_script(evaluated):
    html = page(summary([evaluated([rows_of([3, 4], [4, 3], name="</script><!--")])]), NASTY)
    assert html.count("</script>") == 2  # the data's and the program's own
    assert "<!--" not in html
    assert NASTY not in html
    start = html.index('id="data">') + len('id="data">')
    data = json.loads(html[start : html.index("</script>", start)])
    assert data["videos"][0]["name"] == "</script><!--"
    assert [one["name"] for one in data["classes"]][3] == NASTY


def test_a_page_names_no_address_of_the_network(evaluated):
    html = page(summary([evaluated([rows_of([1], [1])], ("rest", "pour"))]), "report")
    assert html.replace("http://www.w3.org/2000/svg", "").count("http") == 1  # http-equiv
    assert not any(word in html for word in ("src=", "<link", "@import", "url(", "innerHTML"))


def test_the_folder_of_a_sweep_stands_for_its_runs(tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps({"runs": {"seed0": {}, "seed1": {}}}))
    assert evaluations([tmp_path])[0] == [tmp_path / "seed0", tmp_path / "seed1"]
    (tmp_path / "evaluation.json").write_text("{}")
    with refused("evaluation.json"):
        evaluations([tmp_path])
