"""Plots of the labels and trainings, as SVG and PNG."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fact_clip.core import Rating
from fact_clip_app.results.charts import ethogram, time_in_bins

from .test_editing import NASTY

KINDS = ("ethogram", "budget", "bins", "transitions")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def user(opened, tmp_path):
    """A user of a project with two labelled videos, one of them by two people, and two trainings."""
    user = opened(run=None)()
    for number, name in enumerate(("one", "two", "empty")):
        np.save(tmp_path / f"{name}.npy", np.ones((20, 4), np.float32) * number)
    one, two, _ = (user.add(tmp_path / f"{name}.npy") for name in ("one", "two", "empty"))
    user.label(one, (0, 5, "groom"), (5, 9, "$eat$"), (10, 12, "groom"), (15, 15, "blink"))
    user.ask("POST", f"/api/videos/{one}/tracks", json={"name": "second"})
    user.label(one, (0, 7, "groom"), track=1)
    user.label(two, (2, 6, NASTY))
    project = user.page.project
    after = {"right": 80.0, "found": 8, "segments": 10}
    project.add_run(project.folder / "runs/first run", "main", {"before": None, "after": after})
    project.add_run(project.folder / "runs/second run", "main", {"before": after, "after": {**after, "right": 90.0}})
    return user


def words(user, kind: str, **parameters) -> list[str]:
    """The texts of a plot, which are texts in the file."""
    answer = user.client.get(f"/api/plots/{kind}.svg", params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/svg+xml"
    tree = ElementTree.fromstring(answer.text)
    assert not list(tree.iter(f"{SVG}script"))
    return ["".join(part.itertext()) for part in tree.iter(f"{SVG}text")]


def test_plots_name_what_they_show(user):
    ethogram = words(user, "ethogram")
    for name in ("one, main", "one, second", "two", "groom", "$eat$", NASTY, "blink", "time (s)"):
        assert name in ethogram
    assert not any("empty" in word for word in ethogram)
    budget = words(user, "budget")
    assert f"{100 * 14 / 22:.1f} %" in budget
    assert f"{100 * 4 / 22:.1f} %" in budget
    assert "total time (s); % of the labelled time, 22.0 of 60.0 s" in budget
    assert "blink" not in words(user, "transitions")  # something else may have happened before
    (one, *_) = user.ask("GET", "/api/state")["videos"]
    user.ask("PATCH", f"/api/videos/{one['id']}", json={"complete": True})
    matrix = words(user, "transitions")
    assert (matrix.count("groom"), matrix.count("$eat$"), matrix.count("blink")) == (2, 2, 2)
    assert NASTY not in matrix
    assert matrix.count("1") == 3  # groom to eat, eat to groom, groom to blink


def test_shares_are_of_the_labelled_time_in_all_tables(user):
    """A video that is labelled in part, one that is complete, and both together."""
    one, two, _ = (video["id"] for video in user.ask("GET", "/api/state")["videos"])
    track = user.ask("GET", f"/api/videos/{two}")["tracks"][0]["id"]
    user.ask("PATCH", f"/api/videos/{two}/tracks/{track}", json={"complete": True})
    rows = user.ask("GET", "/api/summary")["time"]
    kept = ("share", "labelled", "duration")
    shares = {(row["video"], row["label"]): tuple(row[key] for key in kept) for row in rows}
    assert shares["one, main", "groom"] == (pytest.approx(100 * 7 / 11), 11.0, 20.0)
    assert shares["two", NASTY] == (20.0, 20.0, 20.0)
    assert shares["all", "groom"] == (pytest.approx(100 * 14 / 38), 38.0, 60.0)
    table = user.client.get("/api/summary", params={"format": "csv"}).text.splitlines()
    assert table[0] == "video,label,seconds,share,labelled,duration,count,mean,deviation,first"
    assert table[1].startswith('"one, main",groom,7.0,63.636,11.0,20.0,2,')
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(io.BytesIO(user.client.get("/api/summary", params={"format": "xlsx"}).content))
    header, first, *_ = book["time"].values
    assert dict(zip(header, first, strict=True))["labelled"] == 11
    assert f"{100 * 14 / 38:.1f} %" in words(user, "budget")
    user.label(one, (0, 10, "groom"), (10, 20, "background"))
    rows = user.ask("GET", "/api/summary")["time"]
    assert (rows[0]["share"], rows[0]["labelled"]) == (50.0, 20.0)


def test_labels_named_like_background_are_background(user, tmp_path):
    """In the list, the budget, plots and transitions, as in files."""
    *_, empty = (video["id"] for video in user.ask("GET", "/api/state")["videos"])
    user.label(empty, (0, 4, "hop"), (4, 9, "background"), (9, 12, "sit"), (12, 15, "background"), (15, 18, "hop"))
    state = user.ask("GET", "/api/state")
    assert {video["name"]: video["labels"] for video in state["videos"]}["empty"] == 3
    assert "background" not in [action["name"] for action in state["actions"]]
    assert "background" in state["background"]
    summary = user.ask("GET", "/api/summary")
    rows = {row["label"]: row for row in summary["time"] if row["video"] == "empty" and row["count"]}
    assert {label: (row["seconds"], row["count"], row["labelled"]) for label, row in rows.items()} == {
        "hop": (7.0, 2, 18.0),
        "sit": (3.0, 1, 18.0),
    }
    pairs = {(row["from"], row["to"]) for row in summary["transitions"]}
    assert {("hop", "sit"), ("sit", "hop")} <= pairs
    assert not any("background" in pair for pair in pairs)
    for kind in ("ethogram", "budget", "transitions"):
        assert "background" not in words(user, kind)
    (tmp_path / "empty.csv").write_bytes(
        user.client.get(f"/api/videos/{empty}/export", params={"format": "csv"}).content
    )
    # a file of a part of a video says where nothing happens
    assert (tmp_path / "empty.csv").read_text().count("\n") == 6
    user.label(empty, (0, 20, "background"))
    state = user.ask("GET", "/api/state")
    facts = {video["name"]: (video["labels"], video["progress"]) for video in state["videos"]}
    assert facts["empty"] == (0, "started")


@pytest.mark.parametrize(
    ("name", "count"), [("grasp", 60), ("take the long wrench off the table", 18), ("a" * 60, 3), ("切黄瓜片", 24)]
)
def test_the_legend_of_an_ethogram_fits_under_it(name, count):
    names = [f"{name} {number}" for number in range(count)]
    parts = [(number, number + 1, label) for number, label in enumerate(names)]
    rating = Rating.of(parts, is_complete=True, end=count)
    figure = ethogram({"mouse": rating}, dict.fromkeys(names, "#123456"))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == names
    box = legend.get_window_extent()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.axes[0].get_tightbbox().y0


def test_an_ethogram_begins_at_the_first_frame():
    rating = Rating.of([(92.0, 95.0, "pour")], is_complete=False, start=90.0, end=100.0)
    axes = ethogram({"mouse": rating}, {"pour": "#123456"}).axes[0]
    assert axes.get_xlim() == (0, 10)
    assert axes.collections[0].get_paths()[0].get_extents().intervalx.tolist() == [2, 5]


def test_bins_show_shares_of_the_labelled_time_and_how_much_of_it_there_is():
    # Bins of 10 s. The first video starts at 5 s and is labelled from 5 to 25, and the second one lasts 10 s.
    first = Rating.of([(5, 10, "stir"), (10, 25, "pour")], is_complete=False, start=5.0, end=30.0)
    second = Rating.of([(0, 5, "pour")], is_complete=True, end=10.0)
    axes = time_in_bins({"one": first, "two": second}, {"pour": "#123456", "stir": "#654321"}, 10).axes[0]
    pour, stir = ({tuple(corner) for corner in shape.get_paths()[0].vertices.tolist()} for shape in axes.collections)
    # From 0 to 10 s, there are 10 s of pour and 5 s of stir in 20 labelled seconds, and then only pour.
    assert {(0, 0), (0, 50), (10, 50), (10, 100), (20, 100), (20, 0), (25, 0)} <= pour
    assert {(0, 50), (0, 75), (10, 75), (10, 100), (20, 100), (20, 0)} <= stir
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [0, 10, 20, 25]
    assert line.get_ydata().tolist() == [100.0, 50.0, 0.0, 0.0]


def test_many_segments_are_drawn_as_a_picture_and_few_as_vectors():
    names = [f"class {number}" for number in range(10)]
    for count, is_picture in ((100, False), (2000, True)):
        parts = [(number, number + 1, names[number % 10]) for number in range(count)]
        rating = Rating.of(parts, is_complete=True, end=count)
        figure = ethogram({str(number): rating for number in range(3)}, dict.fromkeys(names, "#123456"))
        shapes = figure.axes[0].collections
        assert len(shapes) == len(names)
        assert sum(len(shape.get_paths()) for shape in shapes) == 3 * count
        assert {bool(shape.get_rasterized()) for shape in shapes} == {is_picture}


def test_an_ethogram_of_many_videos_is_not_endless():
    rating = Rating.of([(0, 1, "pour")], is_complete=True, end=2)
    heights = []
    for count in (10, 100, 250):
        figure = ethogram({str(number): rating for number in range(count)}, {"pour": "#123456"})
        heights.append(figure.get_figheight())
    assert heights[1] - heights[0] == pytest.approx(90 * 0.32)
    assert heights[2] == pytest.approx(heights[1])


def test_a_plot_of_some_rows_reads_no_further_videos(user):
    ethogram = words(user, "ethogram", most=2)
    assert {"one, main", "one, second"} <= {*ethogram}
    assert "two" not in ethogram


def test_the_overview_reads_the_classes_once(user, monkeypatch):
    for video in user.ask("GET", "/api/state")["videos"]:
        user.label(video["id"], *((frame, frame + 1, "groom") for frame in range(20)))
    queries = []
    rows = user.page.project.rows
    monkeypatch.setattr(user.page.project, "rows", lambda query, *values: queries.append(query) or rows(query, *values))
    user.ask("GET", "/api/overview")
    assert sum("FROM action" in query for query in queries) <= 2
    assert len(queries) < 20


def test_plots_have_the_colours_of_the_page(user):
    colours = user.ask("GET", "/api/state")["colours"]
    for kind in ("ethogram", "budget"):
        content = user.client.get(f"/api/plots/{kind}.svg").text
        for name in ("groom", "$eat$"):
            assert f"fill: {colours[name]['colour']}" in content


@pytest.mark.parametrize("kind", KINDS)
def test_plots_are_pictures_on_white(user, kind):
    answer = user.client.get(f"/api/plots/{kind}.png")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert min(picture.size) > 200


def test_plots_are_of_the_people_that_are_named(user):
    error = user.ask("GET", "/api/plots/ethogram.svg", 404, params={"annotator": "Anna"})["error"]
    assert error == "there is nothing to plot yet"


def test_nothing_to_plot_is_a_line(opened):
    user = opened(run=None)()
    for kind in KINDS:
        assert user.ask("GET", f"/api/plots/{kind}.png", 404)["error"]
    assert "ethogram" in user.ask("GET", "/api/plots/pie.png", 404)["error"]


def test_the_server_starts_without_matplotlib():
    code = "import sys, fact_clip_app.web.server; print('matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_at_most_one_earlier_plot_stays_in_memory(user):
    gc.collect()
    before = [each for each in gc.get_objects() if issubclass(type(each), Figure)]  # of other tests
    for _ in range(8):
        words(user, "ethogram")
    gc.collect()
    after = [each for each in gc.get_objects() if issubclass(type(each), Figure)]
    figures = [figure for figure in after if not any(figure is other for other in before)]
    assert len(figures) <= 1
