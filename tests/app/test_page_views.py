"""How the page is laid out: the size of the film, the way of the Tab key, and what axe-core finds on each view."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from fact_clip_app.store.history import History, Person
from fact_clip_app.store.project import ROLES, Action, Label, Project

from ..browser import missing
from .browsing import (
    LARGE_CLASSES,
    SHOWN,
    called,
    entered,
    film,
    open_menu,
    served_here,
    settled,
    to_panel,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

MOST_TABS = 15  # from the start of the page to the timeline
FILM = 640  # pixels of the picture's width in a window of 1280 x 720


def labelled_project(folder: Path, clip: Path) -> None:
    """Three films: one that two people have labelled, one in part, one not at all."""
    project = Project(folder)
    history = History(project)
    history.add([Action(name) for name in LARGE_CLASSES], Person())
    times = np.arange(301) / 15
    for number in range(3):
        video = project.add_video(f"mouse_{number}", clip, None, times)
        (track,) = project.tracks(video)
        drawn = [Label(60 * place, 60 * place + 50, LARGE_CLASSES[place]) for place in range(5 - 2 * number)]
        if number < 2:
            history.replace(video, track, drawn, None, Person(annotator="Anna"))
        if number == 0:
            project.change_track(video, track, complete=True)
            second = project.add_track(video, "second", "Bernd")
            history.replace(video, second, drawn[1:], None, Person(annotator="Bernd"))
            project.change_track(video, second, complete=True)
    project.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    film(path, SHOWN, 9)
    return path


@pytest.fixture
def address(clip, tmp_path):
    labelled_project(tmp_path / "p", clip)
    with served_here(tmp_path / "p") as address:
        yield address


@pytest.fixture
def page(address, browser):
    with browser.page(1280, 720) as page:
        entered(page, address)
        page.locator("#timeline canvas").wait_for()
        until(page, "document.querySelector('video').videoWidth > 0")
        yield page


def picture_width(page) -> float:
    """The width of the picture in the box of the film."""
    box = page.locator("#video").bounding_box()
    width, height = page.evaluate(
        "[document.querySelector('video').videoWidth, document.querySelector('video').videoHeight]"
    )
    return min(box["width"], box["height"] * width / height)


def test_the_height_belongs_to_the_film(page):
    page.click("#videos li:nth-child(2) button.link")
    settled(page)
    until(page, "document.querySelector('video').videoWidth > 0")
    before = picture_width(page)
    assert before >= FILM
    assert page.evaluate("document.documentElement.scrollHeight") == 720
    page.keyboard.press("F4")
    assert not page.locator("aside.left").is_visible()
    assert not page.locator("aside.right").is_visible()
    assert page.locator("#screen").bounding_box()["width"] > 1240
    page.reload()
    page.locator("#large").wait_for()
    assert page.get_attribute("#large", "aria-pressed") == "true"  # a browser keeps it
    page.click("#foldRight")
    assert page.locator("aside.right").is_visible()
    page.click("#large")
    page.click("#large")
    assert page.locator("aside.left").is_visible()


def test_the_timeline_is_near_and_a_toolbar_is_one_stop(page):
    for _ in range(1, MOST_TABS + 1):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#timeline canvas')"):
            break
    else:
        raise AssertionError(f"more than {MOST_TABS} Tabs")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "play"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "forward"
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "forward"


def test_keys_of_seconds(page):
    page.locator("#timeline canvas").focus()
    frames = []
    for key in ("PageDown", "PageDown", "Shift+J", "Shift+K", "PageUp", "j"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
        frames.append(int(page.locator("#time").text_content().split("frame ")[1].split()[0]))
    assert frames == [75, 150, 135, 150, 75, 74]


def test_the_menu_has_the_project_the_name_and_blind(page):
    assert not page.locator("#annotator").is_visible()
    assert "Your name" in page.locator("#menu-button").text_content()
    called(page, "Anna")
    assert page.locator("#menu-button").inner_text().split("\n")[:2] == ["p", "Anna"]
    page.focus("#menu-button")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "annotator"
    assert page.locator("#project").text_content() == "p"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "blind"
    page.keyboard.press("Escape")
    assert not page.locator("#menu").is_visible()
    assert page.evaluate("document.activeElement.id") == "menu-button"
    open_menu(page)
    page.mouse.click(600, 300)
    assert not page.locator("#menu").is_visible()


def test_the_list_shows_a_picture_of_each_film(page):
    until(page, "[...document.querySelectorAll('#videos img')].every((one) => one.naturalWidth === 160)")
    assert page.locator("#videos img").count() == 3
    assert page.locator("#videos video").count() == 0
    assert page.locator("#videos img[loading=lazy]").count() == 3
    assert page.locator("#videos li").first.inner_text().split("\n")[:3] == ["mouse_0", "9 segments", "20 s"]


def test_columns_are_dragged_and_a_browser_keeps_their_width(page):
    def widths():
        return [page.locator(f"aside.{side}").bounding_box()["width"] for side in ("left", "right")]

    left, right = widths()
    box = page.locator(".splitter.left").bounding_box()
    page.mouse.move(box["x"] + 3, 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 53, 300, steps=5)
    page.mouse.up()
    assert widths() == [pytest.approx(left + 53, abs=4), right]
    page.focus(".splitter.right")
    page.keyboard.press("ArrowLeft")
    assert widths()[1] == right + 16
    page.reload()
    page.locator("#timeline canvas").wait_for()
    assert widths() == [pytest.approx(left + 53, abs=4), right + 16]
    page.dblclick(".splitter.left")
    page.dblclick(".splitter.right")
    assert widths() == [left, right]


def test_the_form_appears_with_its_segment_and_nothing_else_moves(page):
    assert page.locator("#segment-form").count() == 0
    rows = page.locator("#segments li")
    assert rows.nth(3).is_visible()
    row, area = rows.nth(3).bounding_box(), page.locator("#segments-area").bounding_box()
    assert row["y"] + row["height"] <= area["y"] + area["height"]
    before = page.locator("#class-list").bounding_box()
    rows.first.locator("button").click()
    assert page.locator("#segment-form #comment").is_visible()
    assert page.locator("#class-list").bounding_box() == before
    form, first = page.locator("#segment-form").bounding_box(), rows.first.bounding_box()
    assert first["y"] >= form["y"] + form["height"]
    page.locator("#timeline canvas").focus()
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('#segment-form')")
    assert page.locator("#class-list").bounding_box() == before


def test_the_list_scrolls_to_the_segment_that_is_chosen(page):
    last = page.locator("#segments li").last
    assert not page.locator("#segments li:last-child").evaluate(VISIBLE)
    page.evaluate("import('/static/label/player.js').then(({timeline}) => timeline.seek(19))")
    page.locator("#timeline canvas").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#segments li:last-child [aria-current=true]')")
    assert last.evaluate(VISIBLE)


VISIBLE = """(item) => {
    const [row, list] = [item, item.parentElement].map((one) => one.getBoundingClientRect());
    return row.top >= list.top && row.bottom <= list.bottom + 1;
}"""


def test_a_phone_shows_the_video_the_timeline_and_the_segments_first(address, browser):
    with browser.page(390, 844) as page:
        entered(page, address)
        page.locator("#timeline canvas").wait_for()
        order = ["#video-name", "#screen", "#timeline", "#segments-box", "#videos", "#classes"]
        tops = [page.locator(part).bounding_box()["y"] for part in order]
        assert tops == sorted(tops)
        page.locator("#segments li button").first.click()
        form = page.locator("#segment-form").bounding_box()["y"]
        assert page.locator("#timeline").bounding_box()["y"] < form < page.locator("#segments").bounding_box()["y"]
        assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.fixture
def several_tracks(browser, clip, tmp_path):
    """A page with two videos whose first track is empty, and whose second of three has labels."""
    project = Project(tmp_path / "tracks")
    history = History(project)
    history.add([Action("groom")], Person())
    for name in ("mouse_a", "mouse_b"):
        video = project.add_video(name, clip, None, np.arange(301) / 15)
        for track in ("left", "right"):
            project.add_track(video, track)
        left = list(project.tracks(video))[1]
        history.replace(video, left, [Label(30, 270, "groom")], None, Person())
    project.close()
    with served_here(tmp_path / "tracks") as address, browser.page(1280, 720) as page:
        entered(page, address)
        page.locator("#timeline canvas").wait_for()
        yield page


def current_track(page) -> str:
    return page.locator("#track-heads [aria-pressed=true].head-name").inner_text()


def test_a_video_opens_with_the_track_that_has_labels(several_tracks):
    page = several_tracks
    assert current_track(page) == "left"
    overview = page.locator("#timeline canvas").evaluate(
        """(canvas) => {
            const {left, right} = document.querySelector(".tl-overview").getBoundingClientRect();
            const x = (left + right) / 2 - canvas.getBoundingClientRect().left;
            const scale = canvas.width / canvas.clientWidth;
            return [...canvas.getContext("2d").getImageData(x * scale, 10 * scale, 1, 1).data].slice(0, 3);
        }"""
    )
    assert max(overview) - min(overview) > 40  # the colour of the class, and not the grey of an empty track


def test_a_video_opens_with_the_track_that_a_person_used_last(several_tracks):
    page = several_tracks
    page.get_by_role("button", name="right", exact=True).click()
    page.click("#videos li:nth-child(2) button.link")
    settled(page)
    assert current_track(page) == "right"
    page.reload()
    page.locator("#timeline canvas").wait_for()
    assert current_track(page) == "right"
    called(page, "Anna")  # who has used no track
    assert current_track(page) == "left"


def test_segments_are_searched_and_shown(page):
    page.click("#videos li:nth-child(1) button.link")
    settled(page)
    assert page.locator("#segments li").count() == 9
    page.fill("#segment-search", "BERND")
    assert page.locator("#segments li").count() == 4
    page.fill("#segment-search", LARGE_CLASSES[2])
    assert page.locator("#segments li").count() == 2
    page.click("#segments li:nth-child(2) button")
    assert page.input_value("#label") == LARGE_CLASSES[2]
    assert page.locator("#track").evaluate("(one) => one.selectedOptions[0].text").startswith("second")
    assert "8.000" in page.locator("#time").text_content()


def test_a_sheet_of_clips_is_looked_through(page):
    page.click("#videos li:nth-child(1) button.link")
    settled(page)
    page.click("#open-clips")
    page.select_option("#clips-class", LARGE_CLASSES[2])
    until(page, "document.querySelectorAll('#sheet li').length === 3")
    assert page.locator("#sheet video").count() == 3
    assert "8.0" in page.locator("#sheet small").first.text_content()
    page.locator("#sheet video").first.focus()
    until(page, "document.querySelector('#sheet video').currentTime > 8.2")
    page.select_option("#clips-order", "surest")
    until(page, "document.querySelectorAll('#sheet li').length === 0")
    assert "No draft" in page.locator("#clips [role=status]").text_content()
    page.select_option("#clips-order", "shortest")
    page.select_option("#sheet li:nth-child(1) select", LARGE_CLASSES[0])
    until(page, "document.querySelectorAll('#sheet li').length === 2")
    page.click("#sheet li:nth-child(1) button")
    until(page, f"document.querySelector('#label').value === '{LARGE_CLASSES[2]}'")
    assert not page.locator("#clips").is_visible()


def test_results_have_a_head_and_a_sentence(page):
    to_panel(page, "results")
    until(page, "document.querySelector('#methods')")
    assert page.locator("#results-head").text_content() == "1 of 3 videos complete, 2 people, kappa 0.80"
    assert page.locator("#methods").text_content().startswith("2 of 3 videos (0.7 minutes, 1 of them")
    assert page.locator("#format option[value=eaf]").text_content() == "ELAN (.eaf)"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy-methods")
    until(page, "document.querySelector('#toast-text')?.textContent === 'Copied.'")


def test_results_begin_with_figures_and_each_card_has_one_main_action(page):
    to_panel(page, "results")
    until(page, "document.querySelector('#plot')?.naturalWidth > 100")
    until(page, "document.querySelectorAll('#bars li').length === 5")
    assert page.locator("#plot").bounding_box()["y"] < 300
    tables = page.locator("#results-panel table")
    assert tables.first.bounding_box()["y"] > page.locator("#bars").bounding_box()["y"]
    mains = page.eval_on_selector_all(
        "#results-panel > section:not(#command-box)",
        "(cards) => cards.map((card) => card.querySelectorAll('.main').length)",
    )
    assert set(mains) == {1}
    videos = page.locator("#budget-table td.of-video").all_inner_texts()
    assert [name for name in videos if name] == ["mouse_0, main", "mouse_0, second", "mouse_1", "all"]
    labelled = page.locator("#budget-table td.of-labelled").all_inner_texts()
    assert len([cell for cell in labelled if cell]) == 4
    bars = page.locator("#bars li").all_inner_texts()
    longest = {tuple(bar.splitlines()) for bar in bars[:2]}
    assert longest == {("eat", "10.0 s, 20.0 %"), ("rear", "10.0 s, 20.0 %")}


def test_the_budget_of_one_video_has_no_column_that_repeats(browser, clip, tmp_path):
    project = Project(tmp_path / "one")
    history = History(project)
    history.add([Action("groom"), Action("rear", point=True)], Person())
    video = project.add_video("mouse", clip, None, np.arange(301) / 15)
    (track,) = project.tracks(video)
    drawn = [Label(30, 90, "groom"), Label(60, 60, "rear"), Label(120, 150, "groom")]
    history.replace(video, track, drawn, None, Person())
    project.close()
    with served_here(tmp_path / "one") as address, browser.page(1280, 720) as page:
        entered(page, address, "results")
        to_panel(page, "results")
        until(page, "document.querySelectorAll('#budget-table tbody tr').length === 2")
        head = page.locator("#budget-table thead th").all_inner_texts()
        assert head == ["Class", "Seconds", "% of labelled", "Count", "Mean (s)", "SD (s)", "First (s)"]
        assert page.locator("#single").inner_text() == "mouse: 6.0 of 20.0 s labelled"
        assert page.locator("#bars li").last.inner_text().splitlines() == ["rear", "1 ×"]


def test_the_budget_is_sorted_by_a_column(page):
    to_panel(page, "results")
    until(page, "document.querySelectorAll('#budget-table tbody tr').length > 5")

    def classes():
        return page.locator("#budget-table tbody td:nth-child(2)").all_inner_texts()

    before = classes()
    page.click("#budget-table th:nth-child(2) button")
    assert classes() == sorted(before, reverse=True)
    page.click("#budget-table th:nth-child(2) button")
    assert classes() == sorted(before)
    assert page.locator("#budget-table th[aria-sort=ascending]").count() == 1


def test_teach_says_what_needs_more_and_how_models_have_learned(page, tmp_path):
    project = Project(tmp_path / "p")
    for number, right in enumerate((40.0, 62.5), 1):
        figures = {"before": None, "after": {"right": right, "found": 3, "segments": 5}}
        project.add_run(tmp_path / f"model-{number}", "main", figures)
    project.set(ROLES, {project.videos()[1].id: True})
    project.close()
    to_panel(page, "teach")
    until(page, "document.querySelector('#curve')")
    assert page.get_attribute("#curve", "aria-label") == "model-1 40 %, model-2 63 %"
    rows = [row.split("\t") for row in page.locator("#examples tbody").inner_text().splitlines() if row]
    assert page.locator("#examples tbody tr").count() == len(LARGE_CLASSES), rows
    assert page.locator(".remark").first.text_content() == "needs more: fewer than 5"
    assert page.locator("#aside").text_content().endswith("mouse_1.")
    assert findings(page) == []
    to_panel(page, "label")
    assert "set aside" in page.locator("#videos li:nth-child(2)").text_content()


def test_teach_begins_with_the_next_step(page):
    to_panel(page, "teach")
    assert page.locator("#next-step").inner_text() == "Label more of groom, eat, rear and 3 more."
    assert "groom (2), eat (3), rear (3) and 3 more" in page.locator("#next-reasons").inner_text()
    first = page.locator("#teach-panel > *").first
    assert first.get_attribute("id") == "next-step-box"
    page.click("#go-label")
    assert page.locator("#work").is_visible()
    assert page.evaluate("location.hash") == "#label"


# --- what axe-core finds ---------------------------------------------------------------------------------------------


def axe_script() -> str:
    spec = find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        missing("axe-core is not installed: pip install axe-playwright-python")
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


def findings(page) -> list[str]:
    """Everything that axe-core finds on the page as it is shown."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe_script())
    result = page.evaluate("axe.run().then(({violations}) => violations)")
    lines = []
    for rule in result:
        lines += [
            f"{rule['id']}: {node['html'][:150]} {node.get('failureSummary', '')[:200]}" for node in rule["nodes"]
        ]
    return lines


@pytest.mark.parametrize(("size", "scheme"), [((1280, 720), "light"), ((390, 844), "dark")])
def test_axe_finds_nothing_on_any_view(address, browser, scheme, size):
    found = {}
    with browser.page(*size, scheme=scheme) as page:
        entered(page, address)
        page.locator("#timeline canvas").wait_for()
        found["label"] = findings(page)
        page.locator("#timeline canvas").focus()
        page.keyboard.press("ArrowRight")
        page.click(".more >> nth=0")
        found["segment and class"] = findings(page)
        page.click("#open-clips")
        until(page, "document.querySelector('#sheet video')")
        found["clips"] = findings(page)
        page.keyboard.press("Escape")
        page.click("#keys")
        found["keys"] = findings(page)
        page.keyboard.press("Escape")
        open_menu(page)
        found["menu"] = findings(page)
        page.keyboard.press("Escape")
        page.click("#large")
        found["large"] = findings(page)
        for panel in ("teach", "results"):
            to_panel(page, panel)
            page.wait_for_timeout(300)
            found[panel] = findings(page)
        page.select_option("#second", label="track second")
        page.click("#compare")
        page.locator("#figures").wait_for()
        assert "s are compared." in page.locator("#omissions").text_content()
        found["comparison"] = findings(page)
        page.check("#all-videos")
        page.click("#compare")
        page.locator("#confusion").wait_for()
        found["agreement"] = findings(page)
    assert {view: lines for view, lines in found.items() if lines} == {}


def test_axe_finds_nothing_on_an_empty_page(browser, tmp_path):
    with served_here(tmp_path / "p") as address, browser.page(1280, 720) as page:
        entered(page, address)
        found = {"label": findings(page)}
        for panel in ("teach", "results"):
            to_panel(page, panel)
            found[panel] = findings(page)
        to_panel(page, "label")
        page.click("#example")
        until(page, "document.querySelectorAll('#videos img').length === 3")
        page.locator("#timeline canvas").wait_for()
        for panel in ("label", "teach", "results"):
            to_panel(page, panel)
            found[f"{panel} of the example"] = findings(page)
    assert {view: lines for view, lines in found.items() if lines} == {}
