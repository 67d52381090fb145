"""timeline.js in a browser: what it draws, says, seeks and edits. The expected places are worked out by hand."""

from __future__ import annotations

import json

import pytest

from fact_clip.report.page import TIMELINE, TIMELINE_STYLE, read_assets

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
        script, style = read_assets(*TIMELINE), read_assets(TIMELINE_STYLE)
        given = json.dumps({"duration": 10, "rows": rows, "colours": COLOURS, **options})
        (tmp_path / "page.html").write_text(
            f"<!doctype html><meta charset=utf-8><style>body {{ margin: 100px 3px 0 }} {style}</style>"
            "<div id=here></div>"
            f"<script>{script}\nconst given = {given}; globalThis.told = [];\n"
            "given.onSelect = ({row, index}) => told.push(['select', row, index]);\n"
            "given.onEdit = ({row, index, start, stop}) => told.push(['edit', row, index, start, stop]);\n"
            "if (given.draws) given.onDraw = ({row, start, stop}) => told.push(['draw', row, start, stop]);\n"
            "given.onLoop = (isLooping) => told.push(['loop', isLooping]);\n"
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


def drag(page, start: tuple[float, float], stop: tuple[float, float], right: float = 0) -> None:
    """Drag with the mouse, from some pixels right of a place."""
    page.mouse.move(start[0] + right, start[1])
    page.mouse.down()
    page.mouse.move(stop[0] + right, stop[1], steps=3)
    page.mouse.up()


def picked(page, row: int, index: int) -> None:
    """Choose a segment as a person does, which gives it handles."""
    page.evaluate(f"timeline.select({row}, {index}, true)")


def test_it_is_small_and_loads_nothing():
    script = read_assets(*TIMELINE)
    assert len(script) < 45_000
    assert not any(word in script for word in ("http", "import", "innerHTML", "eval"))


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
    picked(page, 1, 1)
    page.mouse.move(at(6, 1)[0] - 3, at(6, 1)[1])
    assert canvas.evaluate("node => node.style.cursor") == "ew-resize"
    drag(page, at(6, 1), at(5, 1), right=-3)
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
    picked(page, 1, 1)
    drag(page, at(6, 1), at(1, 1), right=-3)
    [[*_, start, stop]] = told(page)
    assert (start, stop) == (3, pytest.approx(3.04))
    # truth is not editable: a drag does nothing, for all is shown already
    drag(page, at(7, 0), at(5, 0), right=-3)
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
    drag(page, at(2, 0), at(4, 0))  # 1 s to the left: 4 to 9
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


MIXED = [
    {
        "name": "main",
        "editable": True,
        "segments": [
            {"start": 0, "stop": 1, "label": "pour", "kind": "draft", "confidence": 0.8},
            {"start": 1, "stop": 3, "label": "pour", "kind": "label"},
            {"start": 4, "stop": 6, "label": "stir", "kind": "accepted"},
            {"start": 6, "stop": 8, "label": "pour", "kind": "draft", "confidence": 0.8},
            {"start": 9, "stop": 9, "label": "stir", "kind": "label"},
        ],
    },
    {"name": "prediction", "segments": [{"start": 0, "stop": 10, "label": "stir", "kind": "draft"}]},
]
TENTHS = [round(0.1 * frame, 1) for frame in range(101)]


def colour_of(page, x: float, y: float) -> list[int]:
    """The colour of the canvas at a place of the page, once what has changed is drawn."""
    return page.evaluate(
        """async ([x, y]) => {
          for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
          const canvas = document.querySelector("canvas"), {left, top} = canvas.getBoundingClientRect();
          return [...canvas.getContext("2d").getImageData(x - left, y - top, 1, 1).data];
        }""",
        [x, y],
    )


@pytest.mark.slow
def test_a_drag_draws_over_drafts_gaps_and_labels(shown):
    page, show = shown
    show(rows=MIXED, times=TENTHS, draws=True)
    drag(page, at(6.5, 0), at(7.5, 0))  # inside a draft
    drag(page, at(2, 0), at(5, 0))  # from a label into another one
    drag(page, at(8.6, 0), at(8.3, 0))  # backwards in a gap
    drag(page, at(2, 1), at(5, 1))  # a row that is only read
    assert told(page) == [
        ["draw", 0, 6.5, 7.5],
        ["draw", 0, 2, 5],
        ["draw", 0, 8.3, 8.6],
    ]
    page.mouse.click(*at(7, 0))
    assert told(page) == [["select", 0, 3]]
    said = "main, pour, 6.00 to 8.00 s (2.00 s), confidence 80 %, draft"
    assert page.locator("canvas").get_attribute("aria-label") == said


@pytest.mark.slow
def test_an_edge_is_grabbed_from_inside_its_label_alone(shown):
    page, show = shown
    show(rows=MIXED, times=TENTHS, draws=True)
    drag(page, at(3, 0), at(3.5, 0), right=3)  # in the gap beside it
    assert told(page) == [["draw", 0, 3, 3.5]]
    drag(page, at(3, 0), at(3.5, 0), right=-3)  # inside a label that nobody picked
    assert told(page) == [["draw", 0, 3, 3.5]]
    picked(page, 0, 1)
    drag(page, at(3, 0), at(3.5, 0), right=-3)
    assert told(page) == [["edit", 0, 1, 1, 3.5]]
    picked(page, 0, 3)
    drag(page, at(8, 0), at(8.4, 0), right=-3)  # a draft has no edges to drag
    [[kind, row, *_]] = told(page)
    assert (kind, row) == ("draw", 0)
    page.evaluate("rows => { timeline.setRows(rows); timeline.zoom(0, 10) }", MIXED)
    picked(page, 0, 2)
    drag(page, at(6, 0), at(7, 0), right=-3)  # over the draft beside it
    assert told(page) == [["edit", 0, 2, 4, 7]]
    page.mouse.click(*at(6.5, 0))
    page.mouse.click(*at(7.5, 0))
    assert told(page) == [["select", 0, 2], ["select", 0, 3]]
    # a quarter of a narrow label at most: 9 pixels are left of 0.13 s
    page.evaluate(
        "timeline.setRows([{name: 'prediction', editable: true, segments: ["
        "{start: 5, stop: 5.2, label: 'pour', kind: 'label'}]}])"
    )
    picked(page, 0, 0)
    x, y = at(5, 0)
    page.mouse.move(x + 5, y)
    assert page.locator("canvas").evaluate("node => node.style.cursor") == "pointer"
    page.mouse.move(x + 2, y)
    assert page.locator("canvas").evaluate("node => node.style.cursor") == "ew-resize"


@pytest.mark.slow
def test_edges_go_to_neighbours_and_to_the_cursor(shown):
    page, show = shown
    times = [frame / 100 for frame in range(1001)]
    show(rows=MIXED, times=times, draws=True)
    drag(page, at(3.05, 0), at(3.93, 0))  # 3 and 5 pixels from the labels on both sides
    page.evaluate("timeline.seek(8.5)")
    drag(page, at(8.05, 0), at(8.43, 0))
    assert told(page) == [["draw", 0, 3, 4], ["draw", 0, 8, 8.5]]
    page.keyboard.down("Alt")
    drag(page, at(3.05, 0), at(3.93, 0))
    page.keyboard.up("Alt")
    [[*_, start, stop]] = told(page)
    assert (start, stop) == (pytest.approx(3.05, abs=0.011), pytest.approx(3.93, abs=0.011))
    picked(page, 0, 1)
    drag(page, at(3, 0), at(3.95, 0), right=-2)
    assert told(page) == [["edit", 0, 1, 1, 4]]
    picked(page, 0, 2)
    drag(page, at(4, 0), at(4.06, 0), right=2)  # not back to where it was
    [[*_, start, stop]] = told(page)
    assert (start, stop) == (pytest.approx(4.06, abs=0.011), 6)


@pytest.mark.slow
def test_escape_drops_a_drag_and_new_rows_do_not(shown):
    page, show = shown
    canvas = show(rows=MIXED, times=TENTHS, draws=True)
    picked(page, 0, 1)
    for start, right in ((at(3, 0), -3), (at(3.3, 0), 0)):
        page.mouse.move(start[0] + right, start[1])
        page.mouse.down()
        page.mouse.move(*at(3.7, 0), steps=3)
        page.keyboard.press("Escape")
        page.mouse.up()
    picked(page, 0, 1)
    assert "1.00 to 3.00 s" in canvas.get_attribute("aria-label")
    x, y = at(3, 0)
    page.mouse.move(x - 3, y)
    page.mouse.down()
    page.mouse.move(*at(3.2, 0))
    page.evaluate("rows => timeline.setRows(rows)", MIXED)
    page.mouse.move(at(3.5, 0)[0] - 3, y)
    page.mouse.up()
    assert told(page) == [["edit", 0, 1, 1, 3.5]]


@pytest.mark.slow
def test_shift_the_axis_and_read_only_rows_pan(shown):
    page, show = shown
    show(rows=MIXED, times=TENTHS, draws=True)
    for row, key in ((0, "Shift"), (1, None), (2, None)):
        page.evaluate("timeline.zoom(4, 9)")
        if key:
            page.keyboard.down(key)
        drag(page, at(2, row), at(4, row))  # 1 s to the left: 3 to 8
        if key:
            page.keyboard.up(key)
        page.mouse.click(*at(4, 1))
        assert page.evaluate("timeline.time") == pytest.approx(5, abs=0.02)
    assert {kind for kind, *_ in told(page)} == {"select"}


@pytest.mark.slow
def test_the_overview_shows_and_moves_what_is_visible(shown):
    page, show = shown
    show(rows=MIXED, times=TENTHS, overview=True)
    bar = page.get_by_role("scrollbar", name="Visible part")
    page.evaluate("timeline.zoom(0, 2)")
    assert bar.get_attribute("aria-valuenow") == "0"
    assert bar.get_attribute("aria-valuetext") == "0.00 to 2.00 s (2.00 s)"
    x, y = 3 + LEFT, 100 + 11
    assert colour_of(page, x + 0.2 * WIDTH, y)[:3] == [0x1F, 0x77, 0xB4]  # 1 to 3 s
    page.mouse.click(x + 0.7 * WIDTH, y)
    assert bar.get_attribute("aria-valuetext") == "6.00 to 8.00 s (2.00 s)"
    drag(page, (x + 0.65 * WIDTH, y), (x + 0.45 * WIDTH, y))  # by its frame
    assert bar.get_attribute("aria-valuetext") == "4.00 to 6.00 s (2.00 s)"
    assert bar.get_attribute("aria-valuenow") == "50"
    drag(page, (x + 0.5 * WIDTH, y), (x + 2 * WIDTH, y))
    assert bar.get_attribute("aria-valuetext") == "8.00 to 10.00 s (2.00 s)"
    page.mouse.click(at(5, 0)[0], at(5, 0)[1] + 24)  # the rows lie below it
    assert told(page) == [["select", 0, 4]]
    assert page.get_by_role("status").text_content() == "main, stir, 9.00 s (instant), label"


@pytest.mark.slow
def test_kinds_are_told_apart_by_their_shape(shown):
    page, show = shown
    rows = [{"name": "prediction", "editable": True, "segments": [
        {"start": 3 * at, "stop": 3 * at + 2.9, "label": "pour", "kind": kind}
        for at, kind in enumerate(("label", "accepted", "draft"))
    ]}]  # fmt: skip
    for scheme, ink in (("light", 0), ("dark", 255)):
        page.emulate_media(color_scheme=scheme)
        show(rows=rows, rowHeight=34)
        page.add_style_tag(content=f"body {{ color: rgb({ink} {ink} {ink}); background: rgb({255 - ink} 0 0) }}")
        page.evaluate("timeline.draw()")
        top = 102
        label, accepted, draft = (at(second, 0)[0] for second in (1.5, 4.5, 7.5))
        assert colour_of(page, label, top)[:3] == [ink] * 3  # the outline
        fill = [0x1F, 0x77, 0xB4]
        assert colour_of(page, label, top + 8)[:3] == fill
        assert colour_of(page, accepted, top)[:3] == fill
        inside = [colour_of(page, accepted + step, top + 2)[:3] for step in range(8)]
        assert fill in inside
        assert len({tuple(colour) for colour in inside}) > 1  # dashes
        alphas = {colour_of(page, draft + step, top + 6)[3] for step in range(8)}
        assert min(alphas) < 80
        assert max(alphas) > 120  # hatching
        # rows are as high as asked
        assert page.locator("canvas").bounding_box()["height"] == 2 + 34 + 6 + 20


@pytest.mark.slow
def test_keys_can_be_left_to_the_page(shown):
    page, show = shown
    show(rows=MIXED, times=TENTHS, keys=False).focus()
    page.evaluate("timeline.select(0, 1)")
    for key in ("l", ",", ".", "[", " ", "Escape"):
        page.keyboard.press(key)
    assert told(page) == []
    page.evaluate("timeline.loop(); timeline.nudge('stop', 2); timeline.nudge('start', -1); timeline.loop()")
    assert told(page) == [["loop", True], ["edit", 0, 1, 1, 3.2], ["edit", 0, 1, 0.9, 3.2], ["loop", False]]
    assert page.evaluate("timeline.looping") is False
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")  # a row without segments cannot be entered
    assert [place[1:] for place in told(page)] == [[0, 2], [1, 0], [1, 0]]
    page.keyboard.press("End")
    assert page.evaluate("timeline.time") == 10
    page.keyboard.press("Home")
    assert page.evaluate("timeline.time") == 0
    page.evaluate("timeline.select(0, 3); timeline.nudge('start', 1)")  # a draft
    page.evaluate("timeline.select(0, 4); timeline.nudge('start', 1)")  # an instant
    assert told(page) == []


@pytest.mark.slow
def test_a_long_video_is_quick(shown):
    """Two hours, three rows of 1,500 segments: a move of the mouse draws what it changes, and not all of it."""
    page, show = shown
    show(overview=True, rowHeight=34)
    drawn = page.evaluate(
        """() => {
          const times = Array.from({length: 216001}, (_, frame) => frame / 30);
          const kinds = ["label", "accepted", "draft"], names = ["pour", "stir"];
          const segments = Array.from({length: 1500}, (_, at) => ({
            start: 4.8 * at, stop: 4.8 * at + 4.5, label: names[at % 2], kind: kinds[at % 3], confidence: 0.5,
          }));
          let edited = 0;
          timeline.destroy();
          globalThis.timeline = new Timeline(document.getElementById("here"), {
            duration: 7200, times, colours: given.colours, overview: true, rowHeight: 34, onDraw() {},
            onEdit() { edited += 1; },
            rows: ["main", "second", "third"].map((name) => ({name, editable: true, segments})),
          });
          const canvas = document.querySelector("canvas"), {left, top} = canvas.getBoundingClientRect();
          canvas.setPointerCapture = () => {};
          const fire = (kind, x) => canvas.dispatchEvent(
            new PointerEvent(kind, {clientX: left + x, clientY: top + 40, pointerId: 1, buttons: 1}));
          let calls = 0;
          for (const name of ["fillRect", "strokeRect", "fillText", "drawImage", "fill", "stroke"]) {
            const real = CanvasRenderingContext2D.prototype[name];
            CanvasRenderingContext2D.prototype[name] = function (...given) {
              calls += 1;
              return real.apply(this, given);
            };
          }
          const run = (x) => { // x: where the mouse is pressed, or null
            if (x !== null) fire("pointerdown", x);
            calls = 0;
            for (let move = 0; move < 100; move++) fire("pointermove", (x ?? 200) + 3 * move);
            const each = calls / 100;
            if (x !== null) fire("pointerup", (x ?? 200) + 300);
            return each;
          };
          return new Promise((resolve) => setTimeout(() => {
            const each = {hover: run(null), draw: run(200)};
            timeline.zoom(0, 3600);
            each.pan = run(2); // among the names
            timeline.zoom(0, 24);
            timeline.select(0, 0, true);
            each.edge = run(48 + 2);
            each.edited = edited;
            resolve(each);
          }, 100));
        }"""
    )
    assert drawn.pop("edited") == 1
    assert drawn["hover"] == drawn["draw"] == 0  # they wait for the next picture
    assert drawn["pan"] < 1500  # half of the 4,500 segments are in view, and neighbours share a pixel
    assert drawn["edge"] < 100  # fifteen are in view


@pytest.mark.slow
def test_methods_do_what_keys_do(shown):
    page, show = shown
    show(rows=MIXED, times=TENTHS, overview=True, keys=False)
    bar = page.get_by_role("scrollbar", name="Visible part")
    page.evaluate("timeline.seek(5); timeline.zoomBy(0.5)")
    assert bar.get_attribute("aria-valuetext") == "2.50 to 7.50 s (5.00 s)"
    page.evaluate("timeline.pan(0.25)")
    assert bar.get_attribute("aria-valuetext") == "3.75 to 8.75 s (5.00 s)"
    page.evaluate("timeline.zoom(0, 10); timeline.select(0, 0); timeline.step(1)")
    page.evaluate("timeline.step(0, 1); timeline.speed(2); timeline.play()")  # without a video: nothing to play
    assert told(page) == [["select", 0, 1], ["select", 1, 0]]
    assert page.evaluate("[timeline.press('l'), timeline.press('+'), timeline.press('Home')]") == [False, True, False]
    page.mouse.click(at(5, 2)[0], at(5, 2)[1] + 24)
    assert [index for _, _, index in told(page)] == [-1]  # nothing is chosen any more
