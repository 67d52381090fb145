"""fact-clip project and fact-clip summary: files in, files out, the same labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fact_clip.cli import main
from fact_clip.config import DataConfig
from fact_clip.core import Segment, Segmentation
from fact_clip.datasets.dataset import Dataset
from fact_clip.formats import FORMATS
from fact_clip_app.store.history import History, Person
from fact_clip_app.store.label_files import read_label_file
from fact_clip_app.store.project import Label, Project

from ..films import numbered, write_video
from ..refusals import refused, refused_line

LABELS = [(15, 30, "stir"), (30, 45, "pour milk"), (50, 59, "stir")]
READ_BACK = [name for name, form in FORMATS.items() if form.is_installed and (form.read or form.annotations)]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("films") / "take.mp4", numbered(60), rate=15)


def parts(labels):
    return [(label.start, label.stop, label.label) for label in labels]


def of(project, video=0):
    store = Project(project)
    tracks = store.labelled_tracks(store.videos()[video].id)
    store.close()
    return [parts(track.segments) for track in tracks]


def test_what_is_exported_comes_back_in_every_format(film, tmp_path, capsys):
    (tmp_path / "take.csv").write_text("start,stop,label\n1.0,2.0,stir\n2.0,3.0,pour milk\n3.3333,3.9333,stir\n")
    assert main(["project", "import", str(tmp_path / "p"), str(film), str(tmp_path / "take.csv")]) == 0
    assert of(tmp_path / "p") == [LABELS]
    store = Project(tmp_path / "p")
    assert store.videos()[0].media == film  # by reference
    store.close()
    assert (
        main(
            ["project", "export", str(tmp_path / "p"), "--format", ",".join(READ_BACK), "--out", str(tmp_path / "out")]
        )
        == 0
    )
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == len(READ_BACK)
    for number, path in enumerate(files):
        project = tmp_path / f"q{number}"
        assert main(["project", "import", str(project), str(film), str(path)]) == 0, path
        assert of(project) == [LABELS], path


def test_an_import_is_repeated_and_an_export_replaces_nothing(film, rows, tmp_path, capsys):
    project = str(tmp_path / "p")
    (tmp_path / "a").mkdir()
    features = tmp_path / "a/rows.npy"
    np.save(features, np.load(rows))
    features.with_suffix(".json").write_text('{"fps": 15}')  # facts, and no labels
    labels = tmp_path / "take.csv"
    labels.write_text("start,stop,label\n1.0,2.0,stir\n")
    for _ in range(2):
        files = map(str, (film, features, features.with_suffix(".json"), labels))
        assert main(["project", "import", project, "--replace", *files]) == 0
    store = Project(tmp_path / "p")
    assert [video.name for video in store.videos()] == ["take", "rows"]
    store.close()
    (tmp_path / "b").mkdir()
    np.save(tmp_path / "b/rows.npy", np.load(rows))
    capsys.readouterr()
    code = main(["project", "import", project, str(features), str(tmp_path / "b/rows.npy")])
    refused_line((code, *capsys.readouterr()), "rows.npy")

    out = tmp_path / "labels"
    export = ["project", "export", project, "--out", str(out)]
    assert main(export) == 0
    (out / "take.csv").write_text("corrected")
    capsys.readouterr()
    refused_line((main(export), *capsys.readouterr()), out)
    assert (out / "take.csv").read_text() == "corrected"
    assert main([*export, "--overwrite"]) == 0
    assert (out / "take.csv").read_text() != "corrected"
    capsys.readouterr()
    refused_line((main([*export, "--unlabelled", "skip"]), *capsys.readouterr()), "--unlabelled")
    refused_line((main([*export, "--training", "main", "--format", "csv"]), *capsys.readouterr()), "--format")


def test_a_folder_has_one_file_of_each_video_in_a_summary(tmp_path, capsys):
    video = Segmentation((Segment(0, 75, "stir"), Segment(75, 150, "pour")), fps=15.0)
    for ending in (".csv", ".frames.csv", ".label-studio.json", ".json"):
        video.save(tmp_path / f"take{ending}")
    capsys.readouterr()
    assert main(["summary", str(tmp_path), "--json"]) == 0
    answer = capsys.readouterr()
    rows = json.loads(answer.out)["time"]
    assert {row["video"] for row in rows} == {"take"}
    assert sum(row["seconds"] for row in rows) == pytest.approx(10)


COMMENTS = ["Grüße, 手", "", 'she says "stop"; then\nstops']
HAS_COMMENTS = {"csv", "json", "jsonl", "eaf", "nwb", "boris"}


def test_comments_come_back_in_every_format_that_has_a_place_for_them(film, tmp_path, capsys):
    store = Project(tmp_path / "p")
    store.close()
    assert main(["project", "import", str(tmp_path / "p"), str(film)]) == 0
    store = Project(tmp_path / "p")
    (video,) = store.videos()
    for name in ("main", "left hand"):
        labels = [Label(*part, comment=comment) for part, comment in zip(LABELS, COMMENTS, strict=True)]
        person = Person("", "Anna")
        History(store).replace(video.id, store.add_track(video.id, name), labels, person=person)
    store.close()
    export = ["project", "export", str(tmp_path / "p"), "--format", ",".join(READ_BACK)]
    assert main([*export, "--out", str(tmp_path / "out")]) == 0
    for number, name in enumerate(READ_BACK):
        ending = FORMATS[name].ending
        has_tracks = FORMATS[name].has_tracks
        tracks = ["main", "left hand"] if has_tracks else ["main"]
        path = tmp_path / f"out/take{ending}"
        if not has_tracks:
            (tmp_path / f"out/take.main{ending}").rename(path)
        project = tmp_path / f"q{number}"
        assert main(["project", "import", str(project), str(film), str(path)]) == 0, path
        store = Project(project)
        loaded = {track.name: track.segments for track in store.labelled_tracks(store.videos()[0].id)}
        store.close()
        assert list(loaded) == tracks
        for labels in loaded.values():
            assert parts(labels) == LABELS
            assert [label.comment for label in labels] == (COMMENTS if name in HAS_COMMENTS else ["", "", ""]), name


@pytest.mark.parametrize("comment", ["x" * 2001, "a\tb", "a\x07b"])
@pytest.mark.parametrize("ending", [".csv", ".json", ".boris"])
def test_a_comment_that_the_page_does_not_allow_is_refused(comment, ending, film, tmp_path, capsys):
    path = tmp_path / f"take{ending}"
    Segmentation((Segment(0, 30, "stir"), Segment(30, 60, "pour", comment=comment)), fps=15.0).save(path)
    capsys.readouterr()
    answer = main(["project", "import", str(tmp_path / "p"), str(film), str(path)])
    assert refused_line((answer, *capsys.readouterr())).startswith(str(path))
    assert of(tmp_path / "p") == [[]]


def test_training_data_are_a_data_set_that_trains(rows, tmp_path):
    features, project = tmp_path / "features", tmp_path / "p"
    features.mkdir()
    for number in range(1, 6):
        np.save(features / f"v{number}.npy", np.load(rows) + number)
        (features / f"v{number}.json").write_text('{"fps": 1}')
        (tmp_path / f"v{number}.csv").write_text("start,stop,label\n1.0,2.0,stir\n2.0,3.0,pour milk\n")
    files = [*sorted(features.iterdir()), *tmp_path.glob("v*.csv")]
    assert main(["project", "import", str(project), *map(str, files)]) == 0
    training = ["project", "export", str(project), "--training", "main", "--out", str(tmp_path / "data")]
    assert main(training) == 2  # what is the rest?
    assert not (tmp_path / "data").exists()
    assert main([*training, "--unlabelled", "background"]) == 0
    assert main([*training, "--unlabelled", "background"]) == 2  # a data set is there
    assert main(["data", "check", str(tmp_path / "data")]) == 0
    assert main(["project", "export", str(project), "--training", "other", "--out", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "no").exists()
    dataset = Dataset.open(DataConfig(root=str(tmp_path / "data"), validation=0))
    assert (dataset.train, dataset.test) == (("v1", "v3", "v4", "v5"), ("v2",))
    store = Project(project)
    label = store.labelled_tracks(store.videos()[0].id)[0].segments[0]
    store.close()
    assert dataset.vocabulary.names[dataset.labels("v2")[label.start]] == "stir"
    assert np.array_equal(dataset.features("v2"), np.load(features / "v2.npy"))


def test_tiers_are_tracks_and_overlaps_go_apart(tmp_path):
    pympi = pytest.importorskip("pympi")
    document = pympi.Elan.Eaf()
    document.remove_tier("default")
    for tier, spans in {"left": [(0, 1000, "hold")], "right": [(500, 1500, "cut"), (2000, 2500, "cut")]}.items():
        document.add_tier(tier)
        for start, stop, label in spans:
            document.add_annotation(tier, start, stop, label)
    document.to_file(str(tmp_path / "a.eaf"))
    times = np.arange(31) / 10
    tracks = read_label_file(tmp_path / "a.eaf", times).tracks
    assert {name: parts(labels) for name, labels in tracks.items()} == {
        "left": [(0, 10, "hold")],
        "right": [(5, 15, "cut"), (20, 25, "cut")],
    }
    (tmp_path / "a.vtt").write_text(
        "WEBVTT\n\n00:00.000 --> 00:01.000\nhold &amp; cut\n\n2\n00:00:00.500 --> 00:00:02.000\n<i>cut</i>\n"
    )
    tracks = read_label_file(tmp_path / "a.vtt", times).tracks
    assert [parts(labels) for labels in tracks.values()] == [[(0, 10, "hold & cut")], [(5, 20, "cut")]]
    (tmp_path / "b.srt").write_text("1\nsoon --> 1\nx\n")
    with refused(f"{tmp_path / 'b.srt'}:2"):
        read_label_file(tmp_path / "b.srt", times)
    with refused(tmp_path / "a.vtt"):  # of another video
        read_label_file(tmp_path / "a.vtt", times[:6])


def test_what_cannot_be_imported_is_refused(film, tmp_path, capsys):
    (tmp_path / "other.csv").write_text("start,stop,label\n1.0,2.0,stir\n")

    def refuses(place, *words):
        refused_line((main([*map(str, words)]), *capsys.readouterr()), place)

    refuses(tmp_path / "none", "project", "export", tmp_path / "none", "--out", tmp_path / "out")
    refuses(tmp_path / "other.csv", "project", "import", tmp_path / "p", film, tmp_path / "other.csv")
    (tmp_path / "take.csv").write_text("start,stop,label\n1.0,2.0,stir\n")
    assert main(["project", "import", str(tmp_path / "p"), str(tmp_path / "take.csv")]) == 0
    capsys.readouterr()
    refuses(tmp_path / "take.csv", "project", "import", tmp_path / "p", tmp_path / "take.csv")
    assert main(["project", "import", str(tmp_path / "p"), str(tmp_path / "take.csv"), "--replace"]) == 0
    assert of(tmp_path / "p") == [[(15, 30, "stir")]]
    capsys.readouterr()
    refuses("--format", "project", "export", tmp_path / "p", "--format", "xyz", "--out", tmp_path / "out")


def test_a_summary_and_an_agreement_by_hand(tmp_path, capsys):
    for name, stop in (("ann", 40), ("bob", 60)):
        segments = (Segment(0, stop, "stir"), Segment(stop, 100, "pour"))
        (tmp_path / name).mkdir()
        Segmentation(segments, fps=10.0).save(tmp_path / name / "take.json")
    files = [str(tmp_path / name / "take.json") for name in ("ann", "bob")]
    assert main(["summary", files[0], "--against", files[1], "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert [list(row.values()) for row in tables["time"]] == [
        ["take", "pour", 6.0, 60.0, 10.0, 10.0, 1, 6.0, None, 4.0],
        ["take", "stir", 4.0, 40.0, 10.0, 10.0, 1, 4.0, None, 0.0],
    ]
    assert tables["transitions"] == [{"from": "stir", "to": "pour", "count": 1}]
    (agreement,) = tables["agreement"]
    chance = 0.4 * 0.6 + 0.6 * 0.4
    assert agreement["accuracy"] == pytest.approx(80)
    assert agreement["kappa"] == pytest.approx((0.8 - chance) / (1 - chance))
    assert agreement["edges_s"] == pytest.approx((0 + 2 + 0 + 0 + 2 + 0) / 6)
    assert main(["summary", *files, "--out", str(tmp_path / "t.csv")]) == 0
    assert (tmp_path / "t.csv").read_text().startswith("video,label,seconds,share,")
    (tmp_path / "x.txt").write_text("stir\n" * 9)
    capsys.readouterr()
    refused_line((main(["summary", str(tmp_path / "x.txt")]), *capsys.readouterr()), tmp_path / "x.txt")


def test_an_export_names_the_videos_that_have_no_drafts(film, rows, text_run, tmp_path, capsys):
    store = Project(tmp_path / "p")
    store.set("model", store.add_run(text_run, "main", {}))
    store.close()
    assert main(["project", "import", str(tmp_path / "p"), str(film), str(rows)]) == 0
    export = ["project", "export", str(tmp_path / "p"), "--out", str(tmp_path / "out"), "--overwrite"]
    for words, is_said in (([], False), (["--with-drafts"], True)):
        capsys.readouterr()
        assert main([*export, *words]) == 0
        assert ("without drafts: take. " in capsys.readouterr().err) is is_said


def test_a_repeated_import_finds_videos_that_were_renamed_or_removed(film, tmp_path):
    project = tmp_path / "p"
    labels = tmp_path / "take.csv"
    labels.write_text("start,stop,label\n1.0,2.0,stir\n")
    assert main(["project", "import", str(project), str(film)]) == 0
    store = Project(project)
    (video,) = store.videos()
    store.change_video(video.id, name="mouse 1", removed=1.0)
    store.close()
    assert main(["project", "import", str(project), str(film), str(labels)]) == 0
    store = Project(project)
    assert [(each.id, each.name) for each in store.videos()] == [(video.id, "mouse 1")]
    assert store.videos(removed=True) == []
    store.close()
    assert of(project) == [LABELS[:1]]


def test_an_export_as_nwb_leaves_out_tracks_without_segments(film, tmp_path, capsys):
    pytest.importorskip("pynwb")
    project = tmp_path / "p"
    other = write_video(tmp_path / "other.mp4", numbered(60), rate=15)
    (tmp_path / "take.csv").write_text("start,stop,label\n1.0,2.0,stir\n")
    files = [str(film), str(other), str(tmp_path / "take.csv")]
    assert main(["project", "import", str(project), *files]) == 0
    store = Project(project)
    empty = store.videos()[1].id
    store.change_track(empty, next(iter(store.tracks(empty))), complete=True)
    store.close()
    out = ["--format", "nwb", "--out", str(tmp_path / "out")]
    assert main(["project", "export", str(project), *out]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["take.nwb"]
    assert "other.nwb: left out, as it has no segments" in capsys.readouterr().err
