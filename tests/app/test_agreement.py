"""Two labellings have one kappa: on the page, and in `fact-clip summary` on its files, whatever the model is."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pympi")

from fact_clip.cli import main
from fact_clip.core import BACKGROUND, Segmentation
from fact_clip.formats import FORMATS
from fact_clip.metrics import cohen_kappa, frame_accuracy

from ..refusals import refused_line
from .test_media import UNEVEN, film

FIRST = ((2, 9, "stir"), (9, 12, "stir"), (15, 30, "pour"), (33, 33, "tap"))
SECOND = ((3, 12, "stir"), (14, 27, "pour"), (27, 30, "stir"), (36, 39, "tap"))
FIGURES = ("kappa", "accuracy", "f1@10", "f1@25", "f1@50", "edit", "edges_s", "icc")


def compared(user, video: str) -> dict[str, float]:
    """The figures of the page, by the names of the command."""
    body = {"first": "track main", "second": "track second"}
    figures = user.ask("POST", f"/api/videos/{video}/compare", json=body)["figures"]
    return {"accuracy": figures.pop("frame_accuracy"), **figures}


def exported(user, video: str, folder: Path, kind: str) -> list[str]:
    """The files of the two tracks."""
    paths = []
    for track in user.ask("GET", f"/api/videos/{video}")["tracks"]:
        answer = user.client.get(f"/api/videos/{video}/export", params={"format": kind, "track": track["id"]})
        assert answer.status_code == 200, answer.text
        path = folder / f"{track['name']}.{kind}"
        path.write_bytes(answer.content)
        paths.append(str(path))
    return paths


def summarised(capsys, first: str, second: str, *options: object) -> dict[str, float]:
    """The row of agreement that the command prints."""
    capsys.readouterr()
    assert main(["summary", first, "--against", second, "--json", *map(str, options)]) == 0
    return json.loads(capsys.readouterr().out)["agreement"][0]


def labelled(user, path: Path) -> str:
    """A video with two tracks."""
    video = user.add(path)
    user.label(video, *FIRST)
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, *SECOND, track=1)
    return video


def finish(user, video: str) -> None:
    """Mark all tracks as complete, so that files have no "?"."""
    for track in user.ask("GET", f"/api/videos/{video}")["tracks"]:
        user.ask("PATCH", f"/api/videos/{video}/tracks/{track['id']}", json={"complete": True})


@pytest.mark.parametrize("times", [None, UNEVEN, UNEVEN + 0.3], ids=["even", "uneven", "late"])
def test_page_and_command_agree(opened, tmp_path, capsys, times):
    path = film(tmp_path / "take.mkv", "libx264", times=times, sound="aac")
    user = opened(run=None)()
    video = labelled(user, path)
    finish(user, video)
    start, *_, end = user.ask("GET", f"/api/videos/{video}")["times"]
    figures = compared(user, video)
    assert set(figures) == set(FIGURES)

    row = summarised(capsys, *exported(user, video, tmp_path, "json"))
    assert {name: row[name] for name in FIGURES} == pytest.approx(figures)
    for kind in ("csv", "eaf"):
        files = exported(user, video, tmp_path, kind)
        for option in (("--duration", end), ("--video", path)):
            if option[0] == "--duration" and start > 0.1:
                continue  # it does not say when the first picture is shown
            row = summarised(capsys, *files, *option)
            assert row["duration"] == pytest.approx(end - start * (option[0] == "--video"), abs=1e-3)
            for name in FIGURES:
                assert row[name] == pytest.approx(figures[name], abs=5e-4 * (100 if figures[name] > 1 else 1)), name


def test_figures_of_even_frames_are_those_of_frames(opened, tmp_path):
    user = opened(run=None)()
    video = labelled(user, film(tmp_path / "take.mp4", "libx264"))
    finish(user, video)
    frames = np.zeros((2, 40), dtype=int)
    for row, parts in enumerate((FIRST, SECOND)):
        for start, stop, name in parts:
            frames[row, start:stop] = ["", "stir", "pour", "tap"].index(name)
    figures = compared(user, video)
    assert figures["kappa"] == pytest.approx(cohen_kappa([frames[0]], [frames[1]]))
    assert figures["accuracy"] == pytest.approx(frame_accuracy([frames[0]], [frames[1]]))


def test_a_model_changes_no_kappa(opened, rows, tmp_path, capsys):
    user = opened()()
    video = labelled(user, rows)
    assert user.ask("GET", f"/api/videos/{video}")["drafts"]
    finish(user, video)
    figures = compared(user, video)
    row = summarised(capsys, *exported(user, video, tmp_path, "json"))
    assert {name: row[name] for name in FIGURES} == pytest.approx(figures)
    user.page.close()
    user = opened(run=None)()
    assert not user.ask("GET", f"/api/videos/{video}")["drafts"]
    assert compared(user, video) == figures
    row = summarised(capsys, *exported(user, video, tmp_path, "json"))
    assert {name: row[name] for name in FIGURES} == pytest.approx(figures)


def test_two_tiers_of_one_file_are_compared(opened, tmp_path, capsys):
    user = opened(run=None)()
    path = film(tmp_path / "take.mp4", "libx264")
    video = labelled(user, path)
    finish(user, video)
    figures = compared(user, video)
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": "eaf"})
    (tmp_path / "both.eaf").write_bytes(answer.content)
    file = str(tmp_path / "both.eaf")
    row = summarised(capsys, file, file, "--tier", "main", "--against-tier", "second", "--video", path)
    assert row["kappa"] == pytest.approx(figures["kappa"], abs=5e-4)
    row = summarised(capsys, file, file, "--tier", "second")
    assert row["kappa"] == 1
    refused_line((main(["summary", file]), *capsys.readouterr()), file)


# --- the command ---------------------------------------------------------------------------------------------


def test_a_duration_that_no_file_has_is_assumed_and_said(tmp_path, capsys):
    for name, stop in (("a", 40), ("b", 60)):
        (tmp_path / f"{name}.csv").write_text(f"start,stop,label\n0,{stop},stir\n")
    files = [str(tmp_path / f"{name}.csv") for name in "ab"]
    assert main(["summary", files[0], "--against", files[1], "--json"]) == 0
    captured = capsys.readouterr()
    assert "60.000 s are assumed" in captured.err
    assert "a: the file does not say how long the video is, so shares are of the time to" in captured.err
    (row,) = json.loads(captured.out)["agreement"]
    assert (row["duration"], row["accuracy"]) == (60.0, pytest.approx(100 * 40 / 60))
    row = summarised(capsys, *files, "--duration", 80)
    assert main(["summary", *files, "--duration", "80", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert [one["share"] for one in json.loads(captured.out)["time"]] == pytest.approx([50.0, 75.0, 62.5])
    assert row["accuracy"] == pytest.approx(100 * 60 / 80)
    # p_o = .75, p_e = .5 * .75 + .5 * .25
    assert row["kappa"] == pytest.approx((0.75 - 0.5) / 0.5)
    row = summarised(capsys, *files, "--unit", "frames", "--fps", 10, "--duration", 8)
    assert (row["duration"], row["edges_s"]) == (8.0, pytest.approx((0 + 2 + 0 + 2) / 4))
    refused_line((main(["summary", *files, "--duration", "30"]), *capsys.readouterr()), files[0])
    # Bins of 30 s over 80 s: 0 to 30, 30 to 60 and the rest.
    assert main(["summary", *files, "--duration", "80", "--bins", "30", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["bins"]
    assert sorted({(row["start"], row["stop"]) for row in rows}) == [(0, 30), (30, 60), (60, 80)]
    plot = tmp_path / "bins.svg"
    assert main(["summary", *files, "--duration", "80", "--bins", "30", "--plot", str(plot)]) == 0
    assert "time (s), in bins of 30 s" in plot.read_text()
    assert str(plot) in capsys.readouterr().err
    refused_line((main(["summary", *files, "--plot", str(plot)]), *capsys.readouterr()), "--plot")
    refused_line(
        (main(["summary", *files, "--bins", "30", "--plot", "bins.txt"]), *capsys.readouterr()), "--plot bins.txt"
    )
    refused_line((main(["summary", files[0], "--unit", "frames"]), *capsys.readouterr()), files[0])


def test_folders_are_compared_by_the_names_of_their_files(tmp_path, capsys):
    for folder, names in (("a", ("x", "y", "z")), ("b", ("z", "x")), ("c", ()), ("d", ("v",))):
        (tmp_path / folder).mkdir()
        for name in names:
            stop = 10 if folder == "a" else 8
            (tmp_path / folder / f"{name}.csv").write_text(f"start,stop,label\n0,{stop},stir\n")
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    assert main(["summary", a, "--against", b, "--json"]) == 0
    captured = capsys.readouterr()
    assert "2 of 3 files" in captured.err
    tables = json.loads(captured.out)
    assert [row["video"] for row in tables["agreement"]] == ["x", "z"]
    assert {row["accuracy"] for row in tables["agreement"]} == {80.0}
    assert {row["video"] for row in tables["time"]} == {"x", "y", "z", "all"}
    refused_line((main(["summary", a, "--against", c]), *capsys.readouterr()), c)
    refused_line((main(["summary", a, "--against", d]), *capsys.readouterr()), d)
    refused_line((main(["summary", c]), *capsys.readouterr()), c)
    (tmp_path / "a" / "x.srt").write_text("1\n00:00:00,000 --> 00:00:10,000\nstir\n")
    assert main(["summary", a, "--json"]) == 0
    captured = capsys.readouterr()
    assert "x.srt" in captured.err
    assert {row["video"] for row in json.loads(captured.out)["time"]} == {"x", "y", "z", "all"}
    files = [f"{a}/x.csv", f"{a}/y.csv"]
    refused_line((main(["summary", *files, "--against", f"{b}/x.csv"]), *capsys.readouterr()), "--against")
    refused_line((main(["summary", *files, "--video", f"{b}/x.csv"]), *capsys.readouterr()), "--video")


def test_shares_of_files_are_of_the_labelled_time_and_say_so(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("stir\n" * 20 + "background\n" * 20 + "?\n" * 35)
    (tmp_path / "b.csv").write_text("start,stop,label\n0,10,stir\n10,12,background\n12,20,?\n")
    assert main(["summary", str(tmp_path / "a.txt"), str(tmp_path / "b.csv"), "--fps", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["time"]
    kept = ("video", "label", "share", "labelled", "duration")
    assert [tuple(row[key] for key in kept) for row in rows] == [
        ("a", "stir", 50.0, 40.0, 75.0),
        ("b", "stir", pytest.approx(100 * 10 / 12), 12.0, None),
        ("all", "stir", pytest.approx(100 * 30 / 52), 52.0, None),
    ]


@pytest.mark.parametrize("kind", ["json", "txt"])
def test_marks_of_our_files_are_unlabelled(opened, rows, tmp_path, capsys, kind):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 10, "pour"), (10, 30, "stir"))
    page = user.ask("GET", "/api/summary")["time"]
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": kind})
    path = tmp_path / f"take.{kind}"
    path.write_bytes(answer.content)
    assert main(["summary", str(path), "--fps", "1", "--json"]) == 0
    file = json.loads(capsys.readouterr().out)["time"]
    assert [row["labelled"] for row in file] == pytest.approx([row["labelled"] for row in page])
    assert [row["share"] for row in file] == pytest.approx([row["share"] for row in page])


def edit(user, video: str, name: str, *parts: tuple[int, int, str], track: int = 0) -> None:
    """Add labels of a person."""
    row = user.ask("GET", f"/api/videos/{video}")["tracks"][track]
    added = [{"start": start, "stop": stop, "label": label} for start, stop, label in parts]
    body = {"track": row["id"], "annotator": name, "removed": [], "added": added}
    user.ask("POST", f"/api/videos/{video}/edits", json=body)


def test_labels_of_a_person_are_the_same_everywhere(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    for name in ("Ann", "Dora"):
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": name, "annotator": name})
    user.label(video, (0, 10, "pour"), (10, 20, "stir"), track=1)  # without a name
    edit(user, video, "Bob", (0, 20, "pour"), track=2)
    edit(user, video, "Carl", (0, 20, "pour"))
    finish(user, video)
    time = user.ask("GET", "/api/summary", params={"annotator": "Ann"})["time"]
    assert [(row["label"], row["seconds"]) for row in time] == [("pour", 10), ("stir", 10)]
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": "csv", "annotator": "Ann"})
    assert {"pour", "stir"} <= set(answer.text.replace("\n", ",").split(","))
    assert user.ask("GET", "/api/state")["videos"][0]["annotators"] == ["Ann", "Bob", "Carl"]
    user.ask("GET", "/api/agreement", params={"first": "annotator Ann", "second": "annotator Carl"})
    # nobody knows what Dora says where Bob has labelled her track
    user.ask("GET", "/api/agreement", 400, params={"first": "annotator Dora", "second": "annotator Carl"})


def test_a_file_of_one_person_leaves_open_what_others_labelled(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    edit(user, video, "Ann", (0, 10, "pour"))
    edit(user, video, "Bob", (10, 20, "stir"))
    finish(user, video)
    for people, other in (("Ann", "?"), (["Ann", "Bob"], "background")):
        answer = user.client.get(f"/api/videos/{video}/export", params={"format": "txt", "annotator": people})
        assert set(answer.text.split()[20:]) == {other}


def test_what_a_file_marks_as_unlabelled_is_not_compared(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 10, "pour"), (20, 40, "stir"))
    n_rows = len(np.load(rows))
    path = tmp_path / "other.txt"
    labels = ["pour"] * 10 + ["background"] * 10 + ["?"] * 10 + ["stir"] * 10 + ["background"] * (n_rows - 40)
    path.write_text("\n".join(labels) + "\n")
    body = {"first": "track main", "second": user.upload(path)}
    compared = user.ask("POST", f"/api/videos/{video}/compare", json=body)
    assert compared["figures"]["frame_accuracy"] == 100
    assert compared["rows"][2]["segments"] == []


def test_time_before_the_first_frame_is_no_agreement(opened, tmp_path, capsys):
    path = tmp_path / "late.npy"
    np.save(path, np.random.default_rng(5).normal(size=(10, 8)).astype("f4"))
    path.with_suffix(".json").write_text(json.dumps({"times": [90.0 + row for row in range(11)]}))
    user = opened(run=None)()
    video = user.add(path, path.with_suffix(".json"))
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, (0, 5, "pour"))
    user.label(video, (5, 10, "pour"), track=1)
    finish(user, video)
    assert compared(user, video)["accuracy"] == 0
    row = summarised(capsys, *exported(user, video, tmp_path, "json"))
    assert (row["accuracy"], row["duration"]) == (0, 10)


def test_all_names_of_background_are_one_in_a_comparison(opened, rows):
    user = opened(run=None)()
    user.ask("POST", "/api/actions", json={"do": "add", "names": ["idle"], "background": True})
    video = user.add(rows)
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, (0, 10, "idle"))
    user.label(video, (5, 15, BACKGROUND), track=1)
    shown = user.ask("POST", f"/api/videos/{video}/compare", json={"first": "track main", "second": "track second"})
    assert shown["rows"][2]["segments"] == []


def test_summaries_know_the_length_and_the_gaps_of_our_tables(tmp_path, capsys):
    """Of ten seconds two are labelled; what lies between is unlabelled, or background."""
    whole = Segmentation.from_frames(["?"] * 40 + ["stir"] * 20 + ["?"] * 40, 10.0)
    for name, background in (("part", ("?", "background")), ("whole", ("?",))):
        replace(whole, background=background).save(tmp_path / f"{name}.csv")
    content = (tmp_path / "whole.csv").read_text().replace(",?,", ",background,")
    (tmp_path / "whole.csv").write_text(content)
    for name, labelled in (("part", 2.0), ("whole", 10.0)):
        assert main(["summary", str(tmp_path / f"{name}.csv"), "--json"]) == 0
        answer = capsys.readouterr()
        row = json.loads(answer.out)["time"][0]
        assert (row["seconds"], row["labelled"], row["duration"]) == (2.0, labelled, 10.0)
        assert "does not say" not in answer.err


def test_folders_with_files_of_one_name_are_not_compared_with_one_file(tmp_path, capsys):
    for folder in ("a", "b", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "take.csv").write_text("start,stop,label\n0,4,stir\n")
    words = ["summary", str(tmp_path / "a"), str(tmp_path / "b"), "--against", str(tmp_path / "second")]
    refused_line((main(words), *capsys.readouterr()), "second")
    Segmentation.from_frames(["stir"] * 4, 1.0).save(tmp_path / "take.json")
    refused_line((main(["summary", str(tmp_path / "take.json"), "--tier", "x"]), *capsys.readouterr()), "--tier")


def test_a_video_marked_complete_without_segments_is_labelled(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    user.ask("PATCH", f"/api/videos/{video}", json={"complete": True})
    sentence = user.ask("GET", "/api/overview")["sentence"]
    assert sentence.startswith("1 of 1 videos (")
    assert "(0.0 minutes, 1 of them" not in sentence


def alpha_by_hand(rows):
    """Krippendorff's alpha of nominal values: 1 - observed / expected disagreement; None is unlabelled."""
    units = [[value for value in unit if value is not None] for unit in zip(*rows, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    pooled = [value for unit in units for value in unit]
    observed = 0.0
    for unit in units:
        observed += sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1)
    n_equal = sum(count * (count - 1) for count in Counter(pooled).values())  # ordered pairs
    expected = (len(pooled) * (len(pooled) - 1) - n_equal) / (len(pooled) - 1)
    return 1 - observed / expected


def test_three_people_have_an_alpha(opened, rows, workbench):
    """Over two videos, of which Cem has labelled one; tracks are complete."""
    user = opened(run=None)()
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    labelled = {"Ann": [(0, 9), (3, 12)], "Bob": [(0, 6), (3, 12)], "Cem": [(2, 9)]}
    tables = []
    for number, video in enumerate(videos):
        n_frames = len(user.ask("GET", f"/api/videos/{video}")["times"]) - 1
        people = []
        for name, spans in labelled.items():
            if number >= len(spans):
                people.append([None] * n_frames)
                continue
            start, stop = spans[number]
            shown = user.ask("POST", f"/api/videos/{video}/tracks", json={"name": name, "annotator": name})
            track = next(track for track in shown["tracks"] if track["name"] == name)
            added = [{"start": start, "stop": stop, "label": "stir"}]
            body = {"track": track["id"], "annotator": name, "removed": [], "added": added}
            user.ask("POST", f"/api/videos/{video}/edits", json=body)
            people.append(["stir" if start <= frame < stop else "" for frame in range(n_frames)])
        tables.append(people)
        finish(user, video)
    answer = user.ask("GET", "/api/overview")
    # ten moments in each row of a second; few of 100,000 are rounded
    pooled = [[value for value in (*first, *second) for _ in range(10)] for first, second in zip(*tables, strict=True)]
    assert answer["alpha"] == pytest.approx(alpha_by_hand(pooled), abs=2e-4)
    assert answer["kappa"] is None
    assert (
        f"Krippendorff's alpha over the time that two or more have labelled was {answer['alpha']:.2f}."
        in answer["sentence"]
    )


@pytest.mark.parametrize("labelled", ["apart", "alike"])
def test_without_a_chance_to_agree_there_is_no_alpha(opened, rows, workbench, labelled):
    """Three people who divide the videos, or of whom two label all alike."""
    user = opened(run=None)()
    videos = [user.add(rows), user.add(workbench / "features" / "person2_video1.npy")]
    plan = {"apart": [("Ann", 0, "stir"), ("Bob", 1, "stir")], "alike": [("Ann", 0, "stir"), ("Bob", 0, "stir")]}
    for name, number, label in [*plan[labelled], ("Cem", 1, "pour")]:
        n_frames = len(user.ask("GET", f"/api/videos/{videos[number]}")["times"]) - 1
        shown = user.ask("POST", f"/api/videos/{videos[number]}/tracks", json={"name": name, "annotator": name})
        track = next(track for track in shown["tracks"] if track["name"] == name)
        if labelled == "apart" and number == 1 and name == "Cem":
            continue
        added = [{"start": 0, "stop": n_frames, "label": label}]
        body = {"track": track["id"], "annotator": name, "removed": [], "added": added}
        user.ask("POST", f"/api/videos/{videos[number]}/edits", json=body)
    assert user.ask("GET", "/api/overview")["alpha"] is None


def test_the_overview_counts_what_is_there(opened, rows, workbench):
    user = opened(run=None)()
    assert user.ask("GET", "/api/overview")["sentence"].startswith("0 of 0 videos")
    first = user.add(rows)
    user.add(workbench / "features" / "person2_video1.npy")
    for name in ("Ann", "Bob"):
        user.ask("POST", f"/api/videos/{first}/tracks", json={"name": name, "annotator": name})
    for track in user.ask("GET", f"/api/videos/{first}")["tracks"][1:]:
        origin = "predicted" if track["name"] == "Bob" else "drawn"
        added = [{"start": 0, "stop": 10, "label": "stir", "origin": origin}]
        body = {"track": track["id"], "annotator": track["name"], "removed": [], "added": added}
        user.ask("POST", f"/api/videos/{first}/edits", json=body)
    user.ask("PATCH", f"/api/videos/{first}", json={"complete": True})
    answer = user.ask("GET", "/api/overview")
    assert {key: answer[key] for key in ("videos", "complete", "people", "kappa")} == {
        "videos": 2, "complete": 1, "people": ["Ann", "Bob"], "kappa": 1.0,
    }  # fmt: skip
    assert (
        "2 segments of 1 classes, by Ann, Bob. Cohen's kappa over the time that both have labelled was 1.00. "
        in answer["sentence"]
    )
    assert answer["sentence"].endswith(
        "A model drafted 1 of the segments, of which 0 were corrected and the others accepted as they were."
    )


# --- what a side is ------------------------------------------------------------------------------------------


def tracks_of(user, video: str, *people: str) -> dict[str, int]:
    """New tracks, each of the person of its name up to a space: their places."""
    for name in people:
        user.ask("POST", f"/api/videos/{video}/tracks", json={"name": name, "annotator": name.split()[0]})
    tracks = user.ask("GET", f"/api/videos/{video}")["tracks"]
    return {track["name"]: place for place, track in enumerate(tracks)}


def finish_track(user, video: str, place: int) -> None:
    track = user.ask("GET", f"/api/videos/{video}")["tracks"][place]["id"]
    user.ask("PATCH", f"/api/videos/{video}/tracks/{track}", json={"complete": True})


@pytest.mark.parametrize("people", [("ann", "bob"), ("ann", "bob", "cat")])
def test_tracks_of_a_person_that_overlap_are_not_flattened(opened, rows, people):
    """Each has two animals, and the one takes the other's; kappa was 1."""
    user = opened(run=None)()
    video = user.add(rows)
    places = tracks_of(user, video, *[f"{name} {animal}" for name in people for animal in (1, 2)])
    for name in people:
        long, short = (1, 2) if name == "ann" else (2, 1)
        user.label(video, (0, 60, "sleep"), track=places[f"{name} {long}"])
        user.label(video, (10, 20, "groom"), (30, 50, "eat"), track=places[f"{name} {short}"])
    finish(user, video)
    overview = user.ask("GET", "/api/overview")
    assert (overview["kappa"], overview["alpha"]) == (None, None)
    first, second = "annotator ann", "annotator bob"
    fault = user.ask("GET", "/api/agreement", 400, params={"first": first, "second": second})
    assert "person1_video1" in fault["error"]
    user.ask("POST", f"/api/videos/{video}/compare", 400, json={"first": first, "second": second})
    user.ask("GET", "/api/agreement", params={"first": "track ann 1", "second": "track bob 1"})

    other = user.add(rows.with_name("person2_video1.npy"))
    for name, place in tracks_of(user, other, *people).items():
        if name in people:
            user.label(other, (0, 10, "sleep"), (20, 30, "eat"), track=place)
    finish(user, other)
    overview = user.ask("GET", "/api/overview")
    assert 1.0 in (overview["kappa"], overview["alpha"])
    assert "was 1.00 (without person1_video1)" in overview["sentence"]


def test_tracks_of_a_person_that_do_not_overlap_are_one_side(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    places = tracks_of(user, video, "ann 1", "ann 2", "bob")
    user.label(video, (0, 10, "sleep"), track=places["ann 1"])
    user.label(video, (10, 20, "eat"), track=places["ann 2"])
    user.label(video, (0, 10, "sleep"), (10, 20, "eat"), track=places["bob"])
    finish(user, video)
    assert user.ask("GET", "/api/overview")["kappa"] == pytest.approx(1)


def test_kappa_is_undefined_if_both_use_one_class(opened, rows, tmp_path, capsys):
    """On the page, in its sentence, and in `fact-clip summary`; Krippendorff's alpha has no value either."""
    user = opened(run=None)()
    video = user.add(rows)
    n_frames = len(user.ask("GET", f"/api/videos/{video}")["times"]) - 1
    for name, place in tracks_of(user, video, "ann", "bob").items():
        if name != "main":
            user.label(video, (0, n_frames, "pour"), track=place)
            finish_track(user, video, place)
    overview = user.ask("GET", "/api/overview")
    assert overview["kappa"] is None
    assert "Cohen's kappa over the time that both have labelled is undefined" in overview["sentence"]
    sides = {"first": "track ann", "second": "track bob"}
    figures = user.ask("POST", f"/api/videos/{video}/compare", json=sides)["figures"]
    assert (figures["kappa"], figures["frame_accuracy"]) == (None, 100)

    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("pour\n" * 9)
    words = ["summary", str(tmp_path / "a.txt"), "--against", str(tmp_path / "b.txt"), "--fps", "1"]
    assert main([*words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["agreement"]
    assert (row["kappa"], row["accuracy"]) == (None, 100)
    assert main(words) == 0


def test_files_whose_segments_overlap_are_not_compared(tmp_path, capsys):
    for name, other in (("a", "walk"), ("b", "eat")):
        (tmp_path / f"{name}.csv").write_text(f"start,stop,label\n0,50,{other}\n0,100,vocal\n")
    files = [str(tmp_path / f"{name}.csv") for name in "ab"]
    words = ["summary", files[0], "--against", files[1], "--duration", "120"]
    refused_line((main(words), *capsys.readouterr()), "a")
    assert main(["summary", *files, "--duration", "120"]) == 0


def test_gaps_of_a_track_in_progress_are_not_compared(opened, rows, tmp_path, capsys):
    """On the page as in the files of the two tracks."""
    user = opened(run=None)()
    video = user.add(rows)
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})
    user.label(video, (0, 10, "pour"), (20, 30, "stir"), (40, 50, "pour"))
    user.label(video, (0, 10, "pour"), (20, 25, "stir"), (33, 33, "tap"), track=1)
    finish_track(user, video, 0)
    figures = compared(user, video)
    assert figures["accuracy"] == 100  # the tap has no duration
    for kind in ("json", "csv"):
        row = summarised(capsys, *exported(user, video, tmp_path, kind))
        assert (row["duration"], row["points"]) == (pytest.approx(15), 1)
        assert row["accuracy"] == pytest.approx(figures["accuracy"])


def test_labels_without_common_time_are_not_compared(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    for name, place in tracks_of(user, video, "ann", "bob").items():
        if name != "main":
            user.label(video, (10 * place, 10 * place + 5, "pour"), track=place)
    sides = {"first": "track ann", "second": "track bob"}
    user.ask("GET", "/api/agreement", 400, params=sides)
    user.ask("POST", f"/api/videos/{video}/compare", 400, json=sides)
    assert user.ask("GET", "/api/overview")["kappa"] is None


@pytest.mark.parametrize("people", [("ann", "bob"), ("ann", "bob", "cat")])
def test_the_sentence_leaves_out_what_a_person_has_not_labelled_yet(opened, rows, people):
    """The last person has labelled a fifth, like the others. An empty track of nobody does not count."""
    user = opened(run=None)()
    video = user.add(rows)
    parts = [(12 * number, 12 * number + 6, ["eat", "sleep"][number % 2]) for number in range(5)]
    places = tracks_of(user, video, *people)
    for name in people[:-1]:
        user.label(video, *parts, track=places[name])
        finish_track(user, video, places[name])
    user.label(video, *parts[:2], track=places[people[-1]])
    overview = user.ask("GET", "/api/overview")
    assert 1.0 in (overview["kappa"], overview["alpha"])
    assert "over the time that" in overview["sentence"]
    assert overview["complete"] == 0
    finish_track(user, video, places[people[-1]])
    assert user.ask("GET", "/api/overview")["complete"] == 1
    assert 1.0 not in (user.ask("GET", "/api/overview")["kappa"], user.ask("GET", "/api/overview")["alpha"])


def test_moments_end_with_the_last_frame(opened, tmp_path):
    """Where rounding puts the end of the video among them."""
    path = tmp_path / "late.npy"
    np.save(path, np.random.default_rng(5).normal(size=(6, 8)).astype("f4"))
    path.with_suffix(".json").write_text(json.dumps({"times": (np.arange(7) / 30 + 0.1).tolist()}))
    user = opened(run=None)()
    video = user.add(path, path.with_suffix(".json"))
    for name, place in tracks_of(user, video, "ann", "bob", "cat").items():
        if name != "main":
            user.label(video, (0, 3, "sleep"), (3, 6, "eat"), track=place)
    assert user.ask("GET", "/api/overview")["alpha"] == 1


# --- point events, holes and transitions ---------------------------------------------------------------------


def test_files_keep_point_events_at_the_edge_of_a_segment(opened, rows, tmp_path, capsys):
    user = opened(run=None)()
    video = user.add(rows)
    user.ask("POST", f"/api/videos/{video}/tracks", json={"name": "second"})  # another subject of BORIS
    parts = (10, 10, "tap"), (10, 20, "stir"), (30, 30, "tap"), (40, 40, "tap"), (40, 50, "stir"), (55, 60, "pour")
    user.label(video, *parts)
    user.label(video, (12, 20, "stir"), track=1)
    finish(user, video)
    counts = {}
    for kind in ("json", "csv"):
        files = exported(user, video, tmp_path, kind)
        capsys.readouterr()
        assert main(["summary", files[0], "--json"]) == 0
        time = json.loads(capsys.readouterr().out)["time"]
        counts[kind] = {row["label"]: row["count"] for row in time}
    answer = user.client.get(f"/api/videos/{video}/export", params={"format": "boris"})
    (tmp_path / "both.boris").write_bytes(answer.content)
    assert main(["summary", str(tmp_path / "both.boris"), "--tier", "main", "--json"]) == 0
    captured = capsys.readouterr()
    assert "left out" not in captured.err
    counts["boris"] = {row["label"]: row["count"] for row in json.loads(captured.out)["time"]}
    assert all(count == {"stir": 2, "tap": 3, "pour": 1} for count in counts.values()), counts


def test_unlabelled_time_before_the_first_frame_counts_once(opened, tmp_path, capsys):
    path = film(tmp_path / "take.mkv", "libx264", times=UNEVEN + 0.3, sound="aac")
    user = opened(run=None)()
    video = user.add(path)
    user.label(video, (2, 9, "stir"), (15, 30, "pour"))
    (row, *_) = user.ask("GET", "/api/summary")["time"]
    for kind in ("csv", "eaf", "json"):
        answer = user.client.get(f"/api/videos/{video}/export", params={"format": kind})
        file = tmp_path / f"take.{kind}"
        file.write_bytes(answer.content)
        options = [] if kind == "json" else ["--video", str(path)]
        assert main(["summary", str(file), *options, "--json"]) == 0
        labelled = json.loads(capsys.readouterr().out)["time"][0]["labelled"]
        assert labelled == pytest.approx(row["labelled"], abs=2e-3), kind


def test_no_action_follows_another_over_unlabelled_time(opened, rows, tmp_path, capsys):
    user = opened(run=None)()
    video = user.add(rows)
    user.label(video, (0, 10, "eat"), (10, 20, "groom"), (50, 60, "sleep"))
    eat = [{"from": "eat", "to": "groom", "count": 1}]
    assert user.ask("GET", "/api/summary")["transitions"] == eat
    for kind in ("csv", "json"):
        answer = user.client.get(f"/api/videos/{video}/export", params={"format": kind})
        (tmp_path / f"take.{kind}").write_bytes(answer.content)
        assert main(["summary", str(tmp_path / f"take.{kind}"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["transitions"] == eat, kind
    finish(user, video)
    assert len(user.ask("GET", "/api/summary")["transitions"]) == 2


def test_no_action_follows_another_over_labels_of_others(opened, rows):
    user = opened(run=None)()
    video = user.add(rows)
    for name, part in (("ann", (0, 10, "eat")), ("bob", (10, 20, "groom")), ("ann", (20, 30, "rest"))):
        edit(user, video, name, part)
    finish(user, video)
    assert user.ask("GET", "/api/summary", params={"annotator": "ann"})["transitions"] == []
    assert len(user.ask("GET", "/api/summary")["transitions"]) == 2


def test_a_complete_video_without_labels_is_of_the_person_who_marked_it(opened, rows):
    user = opened(run=None)()
    drug = user.add(rows)
    control = user.add(rows.with_name("person2_video1.npy"))
    edit(user, drug, "ann", (0, 20, "groom"))
    finish(user, drug)
    user.ask("PATCH", f"/api/videos/{control}", params={"annotator": "ann"}, json={"complete": True})

    def total(**people: str):
        (row,) = [row for row in user.ask("GET", "/api/summary", params=people)["time"] if row["video"] == "all"]
        return row

    assert total(annotator="ann") == total()
    tracks_of(user, control, "bob")
    finish(user, control)
    assert user.ask("GET", "/api/summary", params={"annotator": "bob"})["time"] == []
    assert (
        total(annotator="ann")["labelled"]
        == total()["labelled"] - user.ask("GET", f"/api/videos/{control}")["duration"]
    )


@pytest.mark.parametrize("kind", ["boris", "via", "label-studio"])
def test_a_file_of_another_video_is_compared_with_a_warning(opened, rows, workbench, tmp_path, kind):
    user = opened(run=None)()
    videos = [user.add(path) for path in (rows, workbench / "features/person2_video1.npy")]
    for video in videos:
        user.label(video, (0, 10, "stir"))
    answer = user.client.get(f"/api/videos/{videos[0]}/export", params={"format": kind})
    path = tmp_path / f"labels{FORMATS[kind].ending}"
    path.write_bytes(answer.content)
    body = {"first": "track main", "second": user.upload(path)}
    warnings = [user.ask("POST", f"/api/videos/{video}/compare", json=body)["warnings"] for video in videos]
    assert "labels of a video named 'person1_video1'" in "".join(warnings[1])
    assert "named" not in "".join(warnings[0])
