"""timeline.js in a browser: what it draws, says, seeks and edits. The expected places are worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fact_clip.report

FOLDER = Path(fact_clip.report.__file__).parent
COLOURS = {
    "no action": {"colour": None, "number": None, "index": 0},
    "pour": {"colour": "#1f77b4", "number": 1, "index": 1},
    "stir": {"colour": "#f0e442", "number": 2, "index": 2},
    "<img src=x onerror=alert(1)>": {"colour": "#aa3333", "number": 3, "index": 3},
}
LEFT, WIDTH = 78, 708  # pixels: "prediction" is 10 letters of 7, and 8 between; the page is 800 - 6 wide


def row(name, *spans, **more):
    segments = [
        {"start": start, "stop": stop, "label": label, "confidence": 0.5, "unseen": label == "stir", "corrected": False}
        for start, stop, label in spans
    ]
    return {"name": name, "editable": False, "segments": segments, **more}


ROWS = [
    row("truth", (0, 4, "no action"), (4, 7, "pour"), (7, 10, "stir")),
    row("prediction", (0, 3, "no action"), (3, 6, "pour"), (6, 10, "<img src=x onerror=alert(1)>"), editable=True),
]


@pytest.fixture
def shown(browser, tmp_path):
    """A page with a timeline of 10 s, 100 pixels below its top, and what its callbacks were given."""

    def open_in(page, rows=ROWS, **options):
        script, style = ((FOLDER / f"timeline.{kind}").read_text() for kind in ("js", "css"))
        given = json.dumps({"duration": 10, "rows": rows, "colours": COLOURS, **options})
        (tmp_path / "page.html").write_text(
            f"<!doctype html><meta charset=utf-8><style>body {{ margin: 100px 3px 0 }} {style}</style>"
            "<div id=here></div>"
            f"<script>{script}\nconst given = {given}; globalThis.told = [];\n"
            "given.onSelect = ({row, index}) => told.push(['select', row, index]);\n"
            "given.onEdit = ({row, index, start, stop}) => told.push(['edit', row, index, start, stop]);\n"
            "globalThis.timeline = new Timeline(document.getElementById('here'), given);</script>",
            encoding="utf-8",
        )
        page.goto((tmp_path / "page.html").as_uri())
        return page.locator("canvas")

    with browser.page(800, 400) as page:
        yield page, lambda **options: open_in(page, **options)


def at(seconds: float, row: int) -> tuple[float, float]:
    """The middle of a row at a time."""
    return 3 + LEFT + seconds / 10 * WIDTH, 100 + 2 + 32 * row + 13


def told(page):
    return page.evaluate("told.splice(0)")


def test_it_is_small_and_loads_nothing():
    script = (FOLDER / "timeline.js").read_bytes()
    assert len(script) < 16_000
    assert not any(word in script for word in (b"http", b"import", b"innerHTML", b"eval"))


@pytest.mark.slow
def test_a_click_chooses_a_segment_and_says_it(shown):
    page, show = shown
    canvas = show()
    assert canvas.get_attribute("aria-label") == "Timeline, 2 rows, no segment chosen"
    page.mouse.click(*at(8, 0))
    assert told(page) == [["select", 0, 2]]
    said = "truth, stir, 7.00 to 10.00 s (3.00 s), confidence 50 %, unseen class"
    assert canvas.get_attribute("aria-label") == said
    assert page.get_by_role("status").text_content() == said


@pytest.mark.slow
def test_the_pointer_shows_names_as_text(shown):
    page, show = shown
    show()
    page.mouse.move(*at(8, 1))
    assert page.locator(".tl-tip").text_content() == (
        "prediction\n<img src=x onerror=alert(1)>\n6.00 to 10.00 s (4.00 s)\nconfidence 50 %"
    )
    assert page.locator("img").count() == 0
    page.mouse.move(400, 390)
    assert page.locator(".tl-tip").is_hidden()


@pytest.mark.slow
def test_keys_go_through_segments_and_rows(shown):
    page, show = shown
    show().focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "Escape"):
        page.keyboard.press(key)
    # The fourth step stays at the last segment; the row below is entered where the cursor is, at 7 s.
    assert told(page) == [
        ["select", 0, 0],
        ["select", 0, 1],
        ["select", 0, 2],
        ["select", 0, 2],
        ["select", 1, 2],
        ["select", 1, 1],
    ]
    assert page.locator("canvas").get_attribute("aria-label").endswith("no segment chosen")


@pytest.mark.slow
def test_a_dragged_edge_takes_its_neighbour_along(shown):
    page, show = shown
    canvas = show()
    page.mouse.move(*at(6, 1))
    assert canvas.evaluate("node => node.style.cursor") == "ew-resize"
    page.mouse.down()
    page.mouse.move(*at(5, 1), steps=3)
    page.mouse.up()
    [[kind, row, index, start, stop]] = told(page)
    assert (kind, row, index, start) == ("edit", 1, 1, 3)
    assert stop == pytest.approx(5, abs=10 / WIDTH)
    page.evaluate("timeline.select(1, 2)")
    assert canvas.get_attribute("aria-label").endswith(
        f"{stop:.2f} to 10.00 s ({10 - stop:.2f} s), confidence 50 %, corrected"
    )


@pytest.mark.slow
def test_an_edge_stops_one_frame_before_the_next_and_fixed_rows_stay(shown):
    page, show = shown
    show()
    page.mouse.move(*at(6, 1))
    page.mouse.down()
    page.mouse.move(*at(1, 1), steps=3)
    page.mouse.up()
    [[*_, start, stop]] = told(page)
    assert (start, stop) == (3, pytest.approx(3.04))
    page.mouse.move(*at(7, 0))  # truth is not editable: a drag does nothing, for all is shown already
    page.mouse.down()
    page.mouse.move(*at(5, 0), steps=3)
    page.mouse.up()
    assert told(page) == []


@pytest.mark.slow
def test_keys_nudge_edges_from_one_frame_time_to_the_next(shown):
    page, show = shown
    show(times=[0, 1, 2.5, 3, 3.25, 5, 6, 6.125, 8, 10]).focus()
    page.evaluate("timeline.select(1, 1)")
    for key in (",", ".", ".", ">", "<", "<"):
        page.keyboard.press(key)
    edits = [(1, 2.5, 6), (1, 3, 6), (1, 3.25, 6), (1, 3.25, 6.125), (1, 3.25, 6), (1, 3.25, 5)]
    assert told(page) == [["edit", 1, *edit] for edit in edits]
    page.keyboard.press("<")  # its start is one frame before: nowhere to go
    assert told(page) == []
    page.evaluate("timeline.select(1, 0)")
    page.keyboard.press(",")  # the video begins here
    assert told(page) == []


@pytest.mark.slow
def test_zoom_and_pan_move_the_axis(shown):
    page, show = shown
    show()
    page.evaluate("timeline.zoom(5, 10)")
    page.mouse.click(*at(4, 0))  # 5 + 4 / 2
    page.mouse.move(*at(2, 0))
    page.mouse.down()
    page.mouse.move(*at(4, 0), steps=3)  # 1 s to the left: 4 to 9
    page.mouse.up()
    page.mouse.click(*at(4, 0))  # 4 + 4 / 2 = 6
    assert told(page) == [["select", 0, 2], ["select", 0, 1]]
    page.keyboard.press("0")
    page.mouse.click(*at(2, 0))
    assert told(page) == [["select", 0, 0]]


@pytest.mark.slow
def test_the_video_is_sought_looped_and_sped_up(shown):
    page, show = shown
    show()
    page.evaluate(
        """() => {
          timeline.destroy();
          const video = Object.assign(new EventTarget(), {paused: true, currentTime: 0, playbackRate: 1,
            play() { this.paused = false; return Promise.resolve(); }, pause() { this.paused = true; }});
          globalThis.video = video;
          globalThis.timeline = new Timeline(document.getElementById("here"), {...given, video});
        }"""
    )
    assert page.locator("canvas").count() == 1
    page.mouse.click(*at(4.5, 1))
    assert page.evaluate("video.currentTime") == pytest.approx(4.5, abs=10 / WIDTH)
    for key in ("l", "]", " "):
        page.keyboard.press(key)
    page.evaluate("video.currentTime = 6.01; video.dispatchEvent(new Event('timeupdate'))")
    assert page.evaluate("[video.currentTime, video.playbackRate, video.paused]") == [3, 2, False]


@pytest.mark.slow
def test_new_rows_keep_the_chosen_segment(shown):
    page, show = shown
    canvas = show()
    page.evaluate("timeline.select(0, 2)")
    rows = [row("truth", (0, 4, "pour"), (4, 5, "stir"), (5, 10, "pour"))]
    page.evaluate("rows => timeline.setRows(rows)", rows)
    assert canvas.get_attribute("aria-label") == "truth, pour, 5.00 to 10.00 s (5.00 s), confidence 50 %"
