"""Labels of the page in a real browser: nothing is wrong in silence, for one person and for two."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from fact_clip.core import Segment, Segmentation

from .browsing import (
    FPS,
    SHOWN,
    add_classes,
    asked,
    at,
    begun,
    by_keys,
    called,
    dragged,
    edited,
    entered,
    film,
    labels,
    message,
    open_menu,
    opened,
    parts,
    place,
    replace_classes,
    served_here,
    set_key,
    settled,
    shown,
    small_project,
    until,
    upload,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

LENGTH = sum(seconds for seconds, _ in SHOWN)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A film of 20 s with 300 pictures."""
    path = tmp_path_factory.mktemp("clip") / "mouse.mp4"
    film(path, SHOWN, 9)
    return path


@pytest.fixture
def address(clip, tmp_path):
    """A page of a project with a film, without a model."""
    small_project(tmp_path / "my_project", clip)
    with served_here(tmp_path / "my_project") as line:
        yield line


def press(page, key: str, code: str, *, ctrl: bool = False, shift: bool = False) -> None:
    """Press a key of any keyboard: what it prints, and its place."""
    session = page.context.new_cdp_session(page)
    modifiers = 2 * ctrl + 8 * shift
    for kind in ("rawKeyDown", "keyUp"):
        session.send("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code, "modifiers": modifiers})
    session.detach()


def signs(page) -> dict[str, str]:
    """The sign of each class in the list."""
    script = "[...document.querySelectorAll('#class-list li')].map((row) => [row.dataset.name, "
    return dict(page.evaluate(f"{script}row.querySelector('.sign').textContent])"))


def has_classes(page, names: list[str]) -> None:
    """Wait until the list has these classes; a change of the project comes as an event."""
    script = "[...document.querySelectorAll('#class-list li')].map((row) => row.dataset.name).join('|')"
    until(page, f"{script} === {'|'.join(names)!r}")


def answer(page, yes: bool, expected: str) -> None:
    """Answer the question that is open, which has these words."""
    page.locator("#ask").wait_for()
    assert expected in page.locator("#ask-text").text_content()
    page.click("#ask-yes" if yes else "#ask button[type=button]")
    settled(page)


def view(page) -> list[tuple[int, int, str]]:
    """The labels of the first track as the page shows them."""
    script = "import('/static/common/state.js').then(({state}) => state.video.tracks[0].segments)"
    return parts(page.evaluate(script))


def without_events(page) -> None:
    """Let no event of the server arrive."""
    page.route("**/api/events", lambda route: None)


class Gate:
    """Answers to requests of a page that arrive only when it opens; the server gives them at once."""

    def __init__(self, page, method: str, pattern: str) -> None:
        self.page, self.method, self.waiting = page, method, []
        self.pattern = re.compile(pattern)
        page.route(self.pattern, self._hold)

    def _hold(self, route) -> None:
        if route.request.method == self.method:
            self.waiting.append((route, route.fetch()))
        else:
            route.fallback()

    def wait(self) -> None:
        """Wait until it holds an answer."""
        for _ in range(100):
            if self.waiting:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("no such request")

    def open(self) -> None:
        """Let everything pass from now on."""
        for route, answer in self.waiting:
            route.fulfill(response=answer)
        self.page.unroute(self.pattern, self._hold)
        self.page.wait_for_timeout(200)


VIDEO = r"/api/videos/\w+\?"
EDITS = r"/api/videos/\w+/edits"


def edited_elsewhere(address: str, video, removed=(), added=()) -> None:
    """An edit of another person in another browser."""
    host, token = address.split("/?token=")
    change = {"removed": removed, "added": [dict(zip(("start", "stop", "label"), each, strict=True)) for each in added]}
    body = {"track": video["tracks"][0]["id"], "annotator": "Bernd", "browser": "another", **change}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    with urlopen(Request(f"{host}/api/videos/{video['id']}/edits", json.dumps(body).encode(), headers)) as answer:
        assert answer.status == 200


# --- drawing ---------------------------------------------------------------------------------------------------------


def test_drawing_over_a_label_cuts_it_and_undo_restores_it(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        by_keys(page, ("1", 30, 120))
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        dragged(page, place(page, 4.0), place(page, 6.0))
        (first, middle, last) = labels(page)
        assert (first[0], first[2], last[1], last[2]) == (30, "groom", 120, "groom")
        assert first[1] == middle[0]
        assert middle[1] == last[0]
        assert middle[2] == "eat"
        assert middle[:2] == pytest.approx((60, 90), abs=1)
        page.keyboard.press("Control+z")
        settled(page)
        assert labels(page) == [(30, 120, "groom")]


def test_a_locked_or_hidden_track_is_not_edited(address, browser):
    """Its signs stand beside its row; the keys, the mouse and a recording leave it as it is."""
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        by_keys(page, ("1", 30, 90))
        for sign in ("Lock main", "Hide main"):
            page.click(f"[aria-label='{sign}']")
            dragged(page, place(page, 4.0), place(page, 8.0))
            page.locator("#timeline canvas").focus()
            at(page, 8.0)
            page.keyboard.press("2")
            assert message(page, "The track").startswith('The track "main" is locked or hidden')
            assert page.locator("#chip").count() == 0  # nothing is recorded
            page.click("#dismiss")
            settled(page)
            assert labels(page) == [(30, 90, "groom")]
            page.click(f"[aria-label='{sign.replace('Lock', 'Unlock').replace('Hide', 'Show')}']")
        by_keys(page, ("2", 105, 135))
        assert labels(page) == [(30, 90, "groom"), (105, 135, "eat")]


def test_a_split_is_undone_by_merge_and_another_class_is_not_eaten(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        by_keys(page, ("1", 30, 90), ("2", 90, 150))
        page.mouse.click(*place(page, 3.0))
        at(page, 4.0)
        page.keyboard.press("s")
        settled(page)
        assert labels(page) == [(30, 60, "groom"), (60, 90, "groom"), (90, 150, "eat")]
        page.keyboard.press("m")
        settled(page)
        assert labels(page) == [(30, 90, "groom"), (90, 150, "eat")]
        page.keyboard.press("m")
        answer(page, False, 'Merge "groom" with "eat"?')
        assert labels(page) == [(30, 90, "groom"), (90, 150, "eat")]


def test_times_are_typed_as_they_are_shown_and_comments_stay(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom")
        by_keys(page, ("1", 30, 90))
        page.fill("#start", "0:03.0")
        page.fill("#comment", "left paw")
        page.press("#comment", "Enter")
        settled(page)
        assert labels(page) == [(45, 90, "groom")]
        assert shown(page)["tracks"][0]["segments"][0]["comment"] == "left paw"
        page.fill("#stop", "nothing")
        page.press("#stop", "Enter")
        assert message(page).startswith("Enter a time between 0 and 20.000")
        assert page.input_value("#stop") == "nothing"


# --- the queue -------------------------------------------------------------------------------------------------------


def test_held_keys_and_three_undos_are_never_refused(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom")
        by_keys(page, ("1", 30, 90))
        for _ in range(25):  # as a keyboard repeats a key that is held
            page.keyboard.press(".")
        settled(page)
        assert labels(page) == [(55, 90, "groom")]
        for _ in range(3):
            page.keyboard.press("Control+z")
        settled(page)
        assert labels(page) == [(52, 90, "groom")]
        for _ in range(3):
            page.keyboard.press("Control+Shift+z")
        settled(page)
        assert labels(page) == [(55, 90, "groom")]
        assert not page.locator("#toast.is-fault").is_visible()


def test_what_follows_an_undo_at_once_acts_on_what_it_restored(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom")
        by_keys(page, ("1", 30, 90), ("1", 120, 150))
        page.mouse.click(*place(page, 9.0))
        page.keyboard.press("Delete")
        page.keyboard.press("Control+z")
        page.keyboard.press(".")
        page.keyboard.press(".")
        settled(page)
        assert labels(page) == [(30, 90, "groom"), (122, 150, "groom")]
        assert not page.locator("#toast.is-fault").is_visible()


def test_a_conflict_names_the_person_and_the_edit_can_be_applied_again(address, browser):
    with browser.page(1300, 900) as anna, browser.page(1300, 900) as bernd:
        begun(anna, address, "groom", "eat")
        by_keys(anna, ("1", 30, 90))
        entered(bernd, address)
        called(bernd, "Bernd")
        until(bernd, "document.querySelector('video').readyState > 0")  # then the timeline stays in its place
        # Anna is offline while Bernd renames her segment.
        anna.context.set_offline(True)
        anna.mouse.click(*place(anna, 3.0))
        anna.fill("#comment", "half a com")
        bernd.mouse.click(*place(bernd, 3.0))
        bernd.keyboard.press("2")
        settled(bernd)
        assert labels(bernd) == [(30, 90, "eat")]
        anna.locator("#timeline canvas").focus()
        anna.keyboard.press(".")
        anna.context.set_offline(False)
        until(anna, "document.querySelector('#toast-text').textContent.includes('Bernd')", 40)
        assert "main" in message(anna)
        assert labels(anna) == [(30, 90, "eat")]
        anna.click("#toast-button")
        settled(anna)
        assert (31, 90, "groom") in labels(anna)


def test_edits_of_two_people_meet_without_a_word(address, browser):
    """Each sees what the other does; undo takes back one's own; a half-typed field stays."""
    with browser.page(1300, 900) as anna, browser.page(1300, 900) as bernd:
        begun(anna, address, "groom", "eat")
        entered(bernd, address)
        by_keys(anna, ("1", 0, 30), ("1", 60, 90))
        by_keys(bernd, ("2", 120, 150))
        anna.mouse.click(*place(anna, 5.0))
        anna.fill("#comment", "half a comm")
        by_keys(bernd, ("2", 180, 210))
        until(anna, "document.querySelector('#videos small').textContent.includes('4 segments')")
        settled(anna)
        assert anna.input_value("#comment") == "half a comm"
        anna.press("#comment", "Escape")
        anna.locator("#timeline canvas").focus()
        anna.keyboard.press("Control+z")
        settled(anna)
        assert labels(anna) == [(0, 30, "groom"), (120, 150, "eat"), (180, 210, "eat")]
        bernd.keyboard.press("Control+z")
        settled(bernd)
        assert labels(bernd) == [(0, 30, "groom"), (120, 150, "eat")]


def test_the_page_shows_what_is_stored_however_late_answers_come(address, browser):
    with browser.page(1300, 900) as page:
        without_events(page)
        begun(page, address)
        add_classes(page, "groom", "eat")
        by_keys(page, ("1", 0, 15))
        # somebody else's edit is stored just before one's own
        edited_elsewhere(address, shown(page), added=[(270, 285, "eat")])
        by_keys(page, ("1", 30, 45))
        assert view(page) == labels(page) == [(0, 15, "groom"), (30, 45, "groom"), (270, 285, "eat")]
        # an answer that was made before an edit arrives after it
        late = Gate(page, "GET", VIDEO)
        page.fill("#new-class-name", "run")
        page.press("#new-class-name", "Enter")
        late.wait()
        drawn(page, 4.0, 5.0)
        late.open()
        settled(page)
        assert view(page) == labels(page)
        assert len(labels(page)) == 4
        # an answer arrives while an edit waits
        edited_elsewhere(address, shown(page), added=[(240, 255, "eat")])
        late = Gate(page, "GET", VIDEO)
        page.fill("#new-class-name", "sit")
        page.press("#new-class-name", "Enter")
        late.wait()
        storing = Gate(page, "POST", EDITS)
        drawn(page, 6.0, 7.0, settle=False)
        storing.wait()
        late.open()
        storing.open()
        settled(page)
        assert view(page) == labels(page)
        assert len(labels(page)) == 6
        # one draws while a step is undone
        undoing = Gate(page, "POST", r"/undo$")
        page.keyboard.press("Control+z")
        undoing.wait()
        drawn(page, 8.0, 9.0, settle=False)
        undoing.open()
        settled(page)
        assert view(page) == labels(page)
        assert len(labels(page)) == 6
        # the track is changed while an edit waits
        storing = Gate(page, "POST", EDITS)
        drawn(page, 10.0, 11.0, settle=False)
        storing.wait()
        page.check("#complete")
        page.wait_for_timeout(300)
        storing.open()
        settled(page)
        assert view(page) == labels(page)
        assert len(labels(page)) == 7
        assert page.locator("#complete").is_checked()


def drawn(page, start: float, stop: float, *, settle: bool = True) -> None:
    """Draw a segment on the first track, in seconds."""
    page.mouse.move(*place(page, start))
    page.mouse.down()
    page.mouse.move(*place(page, stop), steps=3)
    page.mouse.up()
    if settle:
        until(page, "!/^Storing/.test(document.querySelector('#note').textContent)")


def test_a_refused_edit_is_kept_while_the_server_is_away_and_discarded_alone(address, browser):
    with browser.page(1300, 900) as page:
        without_events(page)
        begun(page, address)
        add_classes(page, "groom", "eat")
        by_keys(page, ("1", 30, 90))
        video = shown(page)
        edited_elsewhere(address, video, removed=video["tracks"][0]["segments"])
        page.route(re.compile(VIDEO), lambda route: route.abort())
        page.mouse.click(*place(page, 3.0))
        page.keyboard.press(".")
        until(page, "document.querySelector('#note').textContent.startsWith('1 change was refused')")
        assert "Bernd changed" in message(page)
        page.unroute(re.compile(VIDEO))
        page.click("#toast-button")
        settled(page)
        assert view(page) == labels(page)
        page.evaluate("""import('/static/common/state.js').then(({state, update}) => {
            update({refused: [{video: "another", body: {}}, {video: state.video.id, body: {}}]});
        })""")
        page.click("#note button:last-child")
        kept = page.evaluate(
            "import('/static/common/state.js').then(({state}) => state.refused.map(({video}) => video))"
        )
        assert kept == ["another"]


def test_of_two_videos_that_are_clicked_the_last_one_opens(address, browser, clip, tmp_path):
    copy = tmp_path / "rat.mp4"
    copy.write_bytes(clip.read_bytes())
    with browser.page(1300, 900) as page:
        begun(page, address)
        upload(page, copy)
        until(page, "document.querySelectorAll('#videos li').length === 2")
        other = asked(page, "/api/state")["videos"][1]["id"]
        late = Gate(page, "GET", rf"/api/videos/{other}\?")
        page.click("#videos li:nth-child(2) button.link")
        late.wait()
        page.click("#videos li:nth-child(1) button.link")
        page.wait_for_timeout(500)
        late.open()
        settled(page)
        assert page.input_value("#video-name") == "mouse"


def test_a_page_whose_first_video_does_not_open_is_live(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address)
        page.route(re.compile(VIDEO), lambda route: route.fulfill(status=400, json={"error": "mouse.npy: gone"}))
        page.reload()
        assert message(page) == "mouse.npy: gone"
        replace_classes(page, "groom", "eat")  # as another person does
        has_classes(page, ["groom", "eat"])
        page.unroute(re.compile(VIDEO))

        def with_problem(route):
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "problem": "mouse.npy: gone"})

        page.route(re.compile(VIDEO), with_problem)
        opened(page, 0)
        assert page.text_content("#video-problem") == "No drafts. mouse.npy: gone"


# --- classes ---------------------------------------------------------------------------------------------------------


def test_classes_are_renamed_merged_moved_and_deleted_with_a_question_and_undo(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat", "run")
        by_keys(page, ("1", 0, 30), ("1", 60, 90), ("2", 90, 120))
        field = edited(page, "groom").locator(".class-name")
        field.fill("grooming")
        field.press("Enter")
        answer(page, True, "2 segments in 1 video will change")
        before = [(0, 30, "grooming"), (60, 90, "grooming"), (90, 120, "eat")]
        assert labels(page) == before
        has_classes(page, ["grooming", "eat", "run"])

        # a taken name offers to merge
        field = edited(page, "eat").locator(".class-name")
        field.fill("grooming")
        field.press("Enter")
        answer(page, True, 'There is a class "grooming" already. Merge "eat" into "grooming"?')
        assert [label for *_, label in labels(page)] == ["grooming"] * 3
        has_classes(page, ["grooming", "run"])
        page.locator("#timeline canvas").focus()
        page.keyboard.press("Control+z")
        settled(page)
        assert labels(page) == before
        has_classes(page, ["grooming", "eat", "run"])

        edited(page, "run").locator(".class-up").click()
        settled(page)
        has_classes(page, ["grooming", "run", "eat"])
        edited(page, "eat").locator(".class-delete").click()
        answer(page, True, "1 segment in 1 video will be deleted")
        assert labels(page) == before[:2]
        has_classes(page, ["grooming", "run"])
        page.locator("#timeline canvas").focus()
        page.keyboard.press("Control+z")
        settled(page)
        assert labels(page) == before
        has_classes(page, ["grooming", "run", "eat"])


def test_the_pen_follows_its_class_and_a_point_moves_as_a_whole(address, browser):
    pen = "document.querySelector('[aria-pressed=true].give .name').textContent"
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat", "run")
        page.locator("#timeline canvas").focus()
        page.keyboard.press("2")
        field = edited(page, "eat").locator(".class-name")
        field.fill("dine")
        field.press("Enter")
        has_classes(page, ["groom", "dine", "run"])
        settled(page)
        assert page.evaluate(pen) == "dine"
        field = edited(page, "dine").locator(".class-name")
        field.fill("run")
        field.press("Enter")
        answer(page, True, 'Merge "dine" into "run"?')
        assert page.evaluate(pen) == "run"
        by_keys(page, ("1", 30, 60))
        page.click('#class-list li[data-name="groom"] .give')
        at(page, 4.0)
        page.locator("#timeline canvas").focus()
        page.keyboard.press("p")
        settled(page)
        assert labels(page) == [(30, 60, "groom"), (60, 60, "groom")]
        for field, seconds, frame in (("#start", "5", 75), ("#stop", "4.8", 72)):
            page.fill(field, seconds)
            page.press(field, "Enter")
            settled(page)
            assert labels(page) == [(30, 60, "groom"), (frame, frame, "groom")]


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_taken_key_is_refused_with_what_takes_it_and_a_class_has_one_sign(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        set_key(page, "eat", "g")
        assert signs(page) == {"groom": "1", "eat": "G"}
        assert asked(page, "/api/state")["colours"]["eat"]["number"] == "G"
        set_key(page, "groom", "g")
        assert message(page, "The key G") == 'The key G belongs to "eat".'
        set_key(page, "groom", "s")
        assert message(page, "The key S") == 'The key S belongs to "Split at the cursor".'
        assert signs(page) == {"groom": "1", "eat": "G"}


def test_a_class_called_like_a_command_does_not_take_its_key(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "split", "end")
        for name, key in (("split", "s"), ("end", "o")):
            set_key(page, name, key)
            message(page, f"The key {key.upper()}")
        assert signs(page) == {"split": "1", "end": "2"}


def test_a_key_sets_a_click_while_the_mode_is_on(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        page.locator("#timeline canvas").focus()
        page.keyboard.press("F2")
        assert page.locator("#clicks").get_attribute("aria-pressed") == "true"
        for seconds, key in ((2.0, "1"), (4.0, "2"), (7.0, "1")):
            at(page, seconds)
            page.keyboard.press(key)
        settled(page)
        clicks = [(30, 30, "groom"), (60, 60, "eat"), (105, 105, "groom")]
        assert labels(page) == clicks
        page.keyboard.press("F2")
        assert page.locator("#clicks").get_attribute("aria-pressed") == "false"
        page.keyboard.press("2")
        at(page, 9.0)
        page.keyboard.press("2")
        settled(page)
        assert labels(page) == [*clicks, (105, 135, "eat")]  # keys of classes begin and end segments again


def test_keys_work_on_german_french_and_chinese_keyboards(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        set_key(page, "eat", "z")
        page.locator("#timeline canvas").focus()
        speed = "document.querySelector('video').playbackRate"
        press(page, "ü", "BracketLeft")  # German: the place of [
        until(page, f"{speed} === 0.5")
        press(page, "+", "BracketRight")
        until(page, f"{speed} === 1")
        at(page, 2.0)
        press(page, "&", "Digit1")  # French: 1 without Shift
        press(page, "i", "KeyI")
        at(page, 4.0)
        press(page, "Process", "KeyO")  # Chinese: an input method takes the letters
        settled(page)
        assert labels(page) == [(30, 60, "groom")]
        page.mouse.click(*place(page, 3.0))
        press(page, "z", "KeyY")  # German: Z is printed where Y was
        settled(page)
        assert labels(page) == [(30, 60, "eat")]
        press(page, "z", "KeyY", ctrl=True)
        settled(page)
        assert labels(page) == [(30, 60, "groom")]


def test_a_command_gets_another_key(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom")
        by_keys(page, ("1", 30, 90))
        page.keyboard.press("?")
        page.locator("#key-split").focus()
        page.keyboard.press("m")
        assert message(page) == 'The key M belongs to "Merge with the neighbour".'
        holders = {
            "ArrowLeft": "Previous segment",
            "F2": "Keys of classes set point events, on or off",
            "Shift+J": "One second back",
        }
        for key, holder in holders.items():
            page.locator("#key-split").focus()
            page.keyboard.press(key)
            until(page, f"document.body.textContent.includes('belongs to \"{holder}\"')")
            assert page.locator("#key-split").text_content().strip() == "S"
        page.locator("#key-split").focus()
        page.keyboard.press("x")
        assert page.locator("#key-split").text_content().strip() == "X"
        page.keyboard.press("Escape")
        page.locator("#timeline canvas").focus()
        at(page, 4.0)
        page.keyboard.press("x")
        settled(page)
        assert labels(page) == [(30, 60, "groom"), (60, 90, "groom")]


# --- label files -----------------------------------------------------------------------------------------------------


def test_a_label_file_goes_where_the_person_says(address, browser, clip, tmp_path):
    copy = tmp_path / "rat.mp4"
    copy.write_bytes(clip.read_bytes())
    by_bernd = tmp_path / "by_bernd.csv"
    by_bernd.write_text("start,stop,label\n2,4,sniff\n6,8,groom\n")
    mouse = tmp_path / "mouse.csv"
    mouse.write_text("start,stop,label\n0,1,dig\n")
    with browser.page(1300, 900) as page:
        begun(page, address)
        upload(page, copy)
        add_classes(page, "groom")
        by_keys(page, ("1", 30, 90))
        page.set_input_files("#files", by_bernd)  # no video has this name
        page.locator("#ask").wait_for()
        page.locator("#load-video option").first.wait_for(state="attached")
        settled(page)
        page.select_option("#load-target", "new")
        assert page.input_value("#load-name") == "by_bernd"
        page.click("#ask-yes")
        settled(page)
        tracks = {track["name"]: parts(track["segments"]) for track in shown(page)["tracks"]}
        assert tracks == {"main": [(30, 90, "groom")], "by_bernd": [(30, 60, "sniff"), (90, 120, "groom")]}
        assert shown(page, 1)["tracks"][0]["segments"] == []
        has_classes(page, ["groom", "sniff"])

        # a name that fits one video still asks before labels are replaced
        page.select_option("#track", label="main")
        page.set_input_files("#files", mouse)
        page.locator("#load-target").wait_for()
        settled(page)
        page.click("#ask-yes")
        answer(page, True, 'Replace labels: 1 on "main"?')
        assert labels(page) == [(0, 15, "dig")]
        has_classes(page, ["groom", "sniff", "dig"])
        page.locator("#timeline canvas").focus()
        page.keyboard.press("Control+z")
        settled(page)
        assert labels(page) == [(30, 90, "groom")]
        has_classes(page, ["groom", "sniff"])


def test_labels_are_dropped_together_with_their_video(address, browser, clip, tmp_path):
    film_path = tmp_path / "take.mp4"
    film_path.write_bytes(clip.read_bytes())
    labels_path = tmp_path / "take.json"
    Segmentation((Segment(0, 30, "groom"), Segment(30, 300, "eat")), fps=FPS).save(labels_path)
    with browser.page(1300, 900) as page:
        entered(page, address)
        upload(page, film_path, labels_path)
        until(page, "document.querySelectorAll('#class-list li').length === 2")
        settled(page)
        assert labels(page, 1) == [(0, 30, "groom"), (30, 300, "eat")]


# --- the rows of the list --------------------------------------------------------------------------------------------


def test_focus_stays_while_lists_change(address, browser, clip, tmp_path):
    copies = []
    for number in range(3):
        copy = tmp_path / f"rat{number}.mp4"
        copy.write_bytes(clip.read_bytes())
        copies.append(copy)
    with browser.page(1300, 900) as anna, browser.page(1300, 900) as bernd:
        begun(anna, address)
        entered(bernd, address)
        bernd.locator("#videos button.link").focus()
        upload(anna, *copies)
        until(bernd, "document.querySelectorAll('#videos li').length === 4")
        assert bernd.evaluate("document.activeElement.textContent").startswith("mouse")
        bernd.fill("#video-search", "rat2")
        until(bernd, "document.querySelectorAll('#videos li').length === 1")
        assert bernd.title() == "mouse – my_project – FACT-CLIP"


def test_a_comment_outlives_a_drag_of_its_segment_and_no_other_one(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        by_keys(page, ("1", 30, 60), ("2", 75, 120))
        page.mouse.click(*place(page, 3.0))
        page.locator("#comment").press_sequentially("left ")
        dragged(page, place(page, 2.02), place(page, 1.0))
        page.press("#comment", "End")
        page.locator("#comment").press_sequentially("paw")
        page.press("#comment", "Enter")
        settled(page)
        first = shown(page)["tracks"][0]["segments"][0]
        assert first["start"] == pytest.approx(15, abs=1)
        assert first["comment"] == "left paw"
        page.fill("#comment", "half a comm")
        page.mouse.click(*place(page, 6.0))
        settled(page)
        assert page.input_value("#comment") == ""
        comments = [one["comment"] for one in shown(page)["tracks"][0]["segments"]]
        assert comments == ["half a comm", ""]  # stored when the field was left


def test_a_question_waits_for_the_one_that_is_open(address, browser):
    with browser.page(1300, 900) as page:
        entered(page, address)
        page.evaluate("""async () => {
            const {confirm} = await import("/static/common/dialogs.js");
            window.said = [];
            for (const name of ["one", "two"]) confirm(name, "Yes").then((yes) => window.said.push([name, yes]));
        }""")
        assert page.text_content("#ask-text") == "one"
        page.click("#ask-yes")
        page.locator("#ask-text", has_text="two").wait_for()
        page.keyboard.press("Escape")
        until(page, "window.said.length === 2")
        assert page.evaluate("window.said") == [["one", True], ["two", False]]


def test_a_tick_stays_until_it_is_stored(address, browser):
    with browser.page(1300, 900) as page:
        begun(page, address, "groom")
        page.evaluate("""() => {
            const send = window.fetch;
            const later = (...request) => new Promise((done) => setTimeout(done, 1500)).then(() => send(...request));
            window.fetch = (url, how) => (how?.method === "PATCH" ? later : send)(url, how);
        }""")
        page.check("#complete")
        replace_classes(page, "groom", "eat")  # by another person, so that the page is drawn again
        assert page.is_checked("#complete")
        until(page, "!document.querySelector('#videos small').textContent.includes('unlabelled')")
        assert page.is_checked("#complete")
        assert shown(page)["tracks"][0]["complete"] is True


def test_what_is_typed_outlives_what_others_do(address, browser, tmp_path):
    table = tmp_path / "by_bernd.csv"
    table.write_text("start,stop,label\n2,4,groom\n")
    with browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        editor = edited(page, "eat")
        editor.locator(".class-description").press_sequentially("chews a ")
        replace_classes(page, "groom", "eat", "rest")  # another person adds a class meanwhile
        editor.locator(".class-description").press_sequentially("pellet")
        editor.locator(".class-description").press("Tab")
        settled(page)
        assert asked(page, "/api/state")["actions"][1]["description"] == "chews a pellet"
        open_menu(page)
        page.locator("#annotator").press_sequentially("An")
        replace_classes(page, "groom", "eat", "rest", "walk")
        page.locator("#annotator").press_sequentially("na")
        page.locator("#annotator").press("Tab")
        settled(page)
        assert page.evaluate("localStorage.getItem('annotator')") == "Anna"
        page.set_input_files("#files", table)
        page.locator("#ask").wait_for()
        page.select_option("#load-target", "new")
        page.fill("#load-name", "Bernd")
        page.fill("#ask [name=annotator]", "Bernd")
        replace_classes(page, "groom", "eat", "rest", "walk", "sit")
        page.click("#ask-yes")
        settled(page)
        assert [(track["name"], track["segments"][0]["annotator"]) for track in shown(page)["tracks"][1:]] == [
            ("Bernd", "Bernd")
        ]


def test_rough_times_are_loaded_as_points(address, browser, clip, tmp_path):
    film_path = tmp_path / "take.mp4"
    film_path.write_bytes(clip.read_bytes())
    labels_path = tmp_path / "take.json"
    labels_path.write_text(json.dumps({"segments": [{"start_seconds": "0:02", "stop_seconds": 6, "label": "eat"}]}))
    with browser.page(1300, 900) as page:
        begun(page, address)
        upload(page, film_path)
        page.check("#rough")
        page.set_input_files("#files", labels_path)
        text = message(page, "take.json: 1 on track main.")
        assert text.endswith("rough times, so point events in the middles: 1")
        assert labels(page, 1) == [(60, 60, "eat")]
