"""Labelling by keys while a film plays: real keys, human delays, several speeds."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from .browsing import (
    FPS,
    TRAINED,
    Hand,
    add_classes,
    at,
    begun,
    dragged,
    edited,
    entered,
    film,
    labels,
    opened,
    place,
    served_here,
    settled,
    small_project,
    to_panel,
    until,
    upload,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

CLASSES = TRAINED[1:]
KEYS = {name: str(number) for number, name in enumerate(CLASSES, start=1)}
DELAYS = (0.15, 0.3, 0.6)  # seconds of the hand between what is seen and what is pressed
ORDERS = ("one key", "I, class, O", "class, I, O")
SPEEDS = (1, 2, 4)
N_ACTIONS = 9  # each order of keys with each delay
PAUSE = 0.3  # seconds of the hand
REST = 8.0  # seconds at the end of a film that a loaded machine may need
CORRECTION = 1.9  # seconds within which I moves the start that the key before it has set
ATTEMPTS = 4
NOTHING = "no action"


@dataclass
class Action:
    """An action of a film, and the keys of a person who labels it."""

    name: str
    start: float  # seconds of the film
    stop: float
    delay: float  # seconds of the hand
    presses: list[tuple[float, str]] = field(default_factory=list)  # (seconds of the film, key)


def plan(speed: int, count: int = N_ACTIONS) -> list[Action]:
    """Actions that follow each other, with all orders of keys and all delays, for a film played at a speed."""
    actions = []
    now = 1.0 * speed
    for number in range(count):
        delay = DELAYS[number % len(DELAYS)]
        order = ORDERS[number // len(DELAYS) % len(ORDERS)]
        name = CLASSES[number % len(CLASSES)]
        key = KEYS[name]
        late = delay * speed
        action = Action(name, now, now + 3 * late + 0.2 * speed, delay)
        keys = {"one key": [key], "I, class, O": ["i", key], "class, I, O": [key, "i"]}[order]
        action.presses = [(action.start + (place + 1) * late, each) for place, each in enumerate(keys)]
        action.presses.append((action.stop + late, key if order == "one key" else "o"))
        actions.append(action)
        now = action.stop + late + PAUSE * speed
    return actions


def shown_as(actions: list[Action], speed: int) -> list[tuple[float, str]]:
    """The film of actions that is played at a speed, as (seconds, name)."""
    parts = []
    now = 0.0
    for action in actions:
        parts += [(action.start - now, NOTHING), (action.stop - action.start, action.name)]
        now = action.stop
    return [*parts, (REST * speed, NOTHING)]


def test_every_order_of_keys_gives_every_action_at_every_speed(browser, tmp_path):
    speeds = list(SPEEDS)
    for attempt in range(ATTEMPTS):
        speeds = played(browser, tmp_path / str(attempt), speeds)
        if not speeds:
            return
    raise AssertionError(f"the machine stalls at the speeds {speeds}")


def played(browser, folder: Path, speeds: list[int]) -> list[int]:
    """Label a film at each speed, and check the labels; the speeds at which a key came too late."""
    folder.mkdir()
    with ExitStack() as stack:
        hands = []
        for speed in speeds:
            actions = plan(speed)
            clip = folder / f"speed_{speed}.mp4"
            film(clip, shown_as(actions, speed), speed)
            address = stack.enter_context(served_here(folder / f"project_{speed}"))
            page = stack.enter_context(browser.page(1000, 800))
            entered(page, address)
            upload(page, clip)
            add_classes(page, *CLASSES)
            hands.append((speed, actions, Hand(page, [press for action in actions for press in action.presses])))
        for speed, _, hand in hands:
            hand.play(speed)
        late = []
        for speed, actions, hand in hands:
            hand.end()
            if is_too_late(hand):
                late.append(speed)
            else:
                check(labels(hand.page), actions, hand.heard)
        return late


def is_too_late(hand: Hand) -> bool:
    """Whether the machine stalled between a key and I, or until the film ended."""
    if hand.heard[-1] == hand.heard[-2]:
        return True
    pairs = zip(pairwise(hand.clock), hand.presses[1:], strict=True)
    return any(second - first > CORRECTION for (first, second), (_, key) in pairs if key == "i")


def check(segments, actions, heard) -> None:
    """There is a segment for each action, from the moment of its first key to that of its last one."""
    assert [name for _, _, name in segments] == [action.name for action in actions]
    times = [*heard]
    for (start, stop, _), action in zip(segments, actions, strict=True):
        moments = [times.pop(0) for _ in action.presses]
        assert all(moment >= due for moment, (due, _) in zip(moments, action.presses, strict=True))
        begun = moments[1] if action.presses[1][1] == "i" else moments[0]  # I after a class key moves the start
        assert abs(start - begun * FPS) <= 1.01, (action, moments, start)
        assert abs(stop - moments[-1] * FPS) <= 1.01, (action, moments, stop)


# --- one film, one person -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A film of 20 s with 300 pictures."""
    path = tmp_path_factory.mktemp("clip") / "mouse.mp4"
    film(path, [(20, NOTHING)], 3)
    return path


@pytest.fixture
def page(browser, clip, tmp_path):
    """The page with a film of 20 s and the classes groom (1) and eat (2)."""
    small_project(tmp_path / "my_project", clip)
    with served_here(tmp_path / "my_project") as address, browser.page(1300, 900) as page:
        begun(page, address, "groom", "eat")
        page.locator("#timeline canvas").focus()
        yield page


def keys(page, *presses: tuple[float, str]) -> None:
    """Press keys at times of the film, which stands still."""
    for seconds, key in presses:
        at(page, seconds)
        page.keyboard.press(key)
    settled(page)


def test_keys_of_classes_chain_and_a_made_segment_is_not_renamed(page):
    keys(page, (2, "1"), (4, "2"), (6, "2"), (8, "1"), (9, "1"))
    assert labels(page) == [(30, 60, "groom"), (60, 90, "eat"), (120, 135, "groom")]
    at(page, 8.5)  # inside the segment that was just made, which nobody picked
    page.keyboard.press("2")
    assert page.locator("#chip").text_content().split() == ["eat", "0:00"]
    page.keyboard.press("Escape")
    settled(page)
    assert labels(page) == [(30, 60, "groom"), (60, 90, "eat"), (120, 135, "groom")]


def test_the_first_class_after_i_names_the_recording_however_far_the_film_is(page):
    keys(page, (2, "i"), (9, "2"), (11, "i"), (12, "1"), (14, "o"))
    assert labels(page) == [(30, 165, "eat"), (165, 210, "groom")]


def test_a_picked_segment_is_renamed_while_the_cursor_is_inside(page):
    keys(page, (2, "1"), (6, "1"))
    page.mouse.click(*spot(page, 4))
    page.keyboard.press("2")
    settled(page)
    assert labels(page) == [(30, 90, "eat")]
    keys(page, (8, "1"), (10, "1"))  # the cursor has left it
    assert labels(page) == [(30, 90, "eat"), (120, 150, "groom")]
    page.mouse.click(*spot(page, 4))
    page.mouse.click(*spot(page, 15))  # an empty place: nothing is chosen any more
    until(page, "!document.querySelector('#segment')")
    page.mouse.click(*spot(page, 4))
    page.keyboard.press("Escape")
    keys(page, (4, "1"), (5, "1"))
    assert labels(page) == [(30, 60, "eat"), (60, 75, "groom"), (75, 90, "eat"), (120, 150, "groom")]


def spot(page, seconds: float, row: int = 0) -> tuple[float, float]:
    """Where a time lies on the timeline of the film of 20 s."""
    return place(page, seconds, row, duration=20)


def test_a_click_on_a_class_is_for_what_is_drawn_next(page):
    page.click('#class-list li[data-name="groom"] .give')
    dragged(page, spot(page, 2), spot(page, 4))
    page.click('#class-list li[data-name="eat"] .give')
    dragged(page, spot(page, 6), spot(page, 8))
    assert [name for _, _, name in labels(page)] == ["groom", "eat"]
    assert page.locator("#chip").count() == 0


def test_what_is_recorded_is_seen_and_dropped(page):
    keys(page, (2, "1"))
    at(page, 5)
    until(page, "document.querySelector('#chip output').textContent === '0:03'")
    box = page.locator(".tl-recording").bounding_box()
    assert box["width"] == pytest.approx(spot(page, 5)[0] - spot(page, 2)[0], abs=3)
    page.keyboard.press("Escape")
    assert page.locator("#chip").count() == 0
    assert page.locator(".tl-recording").is_hidden()
    settled(page)
    assert labels(page) == []


def test_the_key_of_a_point_class_sets_a_point_event(page):
    edited(page, "eat").locator(".class-point").check()
    settled(page)
    page.locator("#timeline canvas").focus()
    keys(page, (2, "2"), (4, "2"), (6, "1"), (8, "1"))
    assert labels(page) == [(30, 30, "eat"), (60, 60, "eat"), (90, 120, "groom")]


def test_a_held_key_is_pressed_once(page):
    at(page, 2)
    page.keyboard.down("1")
    at(page, 4)
    page.keyboard.down("1")  # repeats
    page.keyboard.down("1")
    page.keyboard.up("1")
    keys(page, (6, "1"))
    assert labels(page) == [(30, 90, "groom")]


def test_another_panel_keeps_the_film_and_what_is_recorded(page):
    keys(page, (5, "1"))
    page.keyboard.press("]")
    page.keyboard.press("=")
    page.evaluate("document.querySelector('video').play()")
    until(page, "document.querySelector('video').currentTime > 6")
    view = "import('/static/label/player.js').then(({timeline}) => JSON.stringify(timeline.range))"
    before = page.evaluate(view)
    to_panel(page, "results")
    left_at = page.evaluate("document.querySelector('video').currentTime")
    to_panel(page, "teach")
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('video').currentTime") == left_at
    to_panel(page, "label")
    until(page, f"document.querySelector('video').currentTime > {left_at}")  # it plays on
    assert page.evaluate("document.querySelector('video').playbackRate") == 2
    assert page.evaluate(view) == before
    page.locator("#timeline canvas").focus()
    page.keyboard.press("Space")
    keys(page, (9, "o"))
    assert labels(page) == [(75, 135, "groom")]


def test_leaving_a_video_asks_what_becomes_of_the_recording(page, clip, tmp_path):
    second = tmp_path / "second.mp4"
    second.write_bytes(clip.read_bytes())
    upload(page, second)
    if page.locator("#ask").count():  # it is the same film
        page.click("#ask-yes")
    opened(page, 0)
    page.locator("#timeline canvas").focus()
    keys(page, (2, "1"))
    at(page, 5)
    page.click("#videos li:nth-child(2) button.link")
    page.locator("#ask").wait_for()
    assert '"groom" has been recorded since 2.000' in page.locator("#ask-text").text_content()
    page.click("#ask button[type=button]")  # Cancel: it goes on
    assert page.locator("#chip").count() == 1
    page.click("#videos li:nth-child(2) button.link")
    page.click("#ask-yes")
    settled(page)
    assert page.locator("#chip").count() == 0
    assert labels(page) == [(30, 75, "groom")]
    assert labels(page, 1) == []


def test_a_recording_over_a_point_event_keeps_it_when_its_video_is_left(page, clip, tmp_path):
    second = tmp_path / "second.mp4"
    second.write_bytes(clip.read_bytes())
    upload(page, second)
    if page.locator("#ask").count():  # it is the same film
        page.click("#ask-yes")
    opened(page, 0)
    page.click('#class-list li[data-name="eat"] .give')
    page.locator("#timeline canvas").focus()
    keys(page, (3, "p"), (2, "1"))
    at(page, 5)
    page.click("#videos li:nth-child(2) button.link")
    page.locator("#recording-ends").wait_for()
    page.click("#ask-yes")
    settled(page)
    assert labels(page) == [(30, 75, "groom"), (45, 45, "eat")]
    assert labels(page, 1) == []


def changed_elsewhere(page, **change: str) -> None:
    """Change a class as somebody else does."""
    how = {"method": "POST", "headers": {"content-type": "application/json"}, "body": json.dumps(change)}
    page.evaluate(f"fetch('/api/actions', {json.dumps(how)})")


def test_a_class_that_is_renamed_while_it_is_recorded_is_followed_and_one_that_is_gone_is_asked_about(page):
    keys(page, (2, "1"))
    changed_elsewhere(page, do="change", name="groom", to="wash")
    until(page, "document.querySelector('#chip').textContent.includes('wash')")
    changed_elsewhere(page, do="delete", name="wash")
    page.locator("#ask").wait_for()
    assert 'no class "wash"' in page.locator("#ask-text").text_content()
    page.select_option("#recording-name", "eat")
    page.click("#ask-yes")
    page.locator("#timeline canvas").focus()
    keys(page, (4, "o"))
    assert labels(page) == [(30, 60, "eat")]


# --- typing ---------------------------------------------------------------------------------------


def test_what_is_typed_is_stored_when_its_field_is_left(page):
    keys(page, (2, "1"), (6, "1"), (8, "2"), (10, "2"))
    page.mouse.click(*spot(page, 4))
    page.fill("#comment", "left paw")
    page.mouse.click(*spot(page, 9))
    page.fill("#stop", "11")
    to_panel(page, "results")
    to_panel(page, "label")
    page.fill("#comment", "never meant")
    page.press("#comment", "Escape")
    assert page.input_value("#comment") == ""
    page.mouse.click(*spot(page, 4))
    settled(page)
    assert labels(page) == [(30, 90, "groom"), (120, 165, "eat")]
    assert page.input_value("#comment") == "left paw"
    page.fill("#comment", "both paws")
    page.press("#comment", "Enter")
    settled(page)
    page.mouse.click(*spot(page, 9))
    assert page.input_value("#comment") == ""
    page.mouse.click(*spot(page, 4))
    assert page.input_value("#comment") == "both paws"


def answered(page, expected: str, yes: bool) -> None:
    page.locator("#ask").wait_for()
    assert expected in page.locator("#ask-text").text_content()
    page.click("#ask-yes" if yes else "#ask button[type=button]")
    settled(page)


def test_a_typed_class_that_is_new_is_asked_about(page):
    keys(page, (2, "1"), (6, "1"))
    page.mouse.click(*spot(page, 4))
    page.fill("#label", "EAT")
    page.press("#label", "Enter")
    answered(page, 'There is a class "eat"', yes=True)
    assert labels(page) == [(30, 90, "eat")]
    page.fill("#label", "eta")
    page.press("#label", "Tab")
    answered(page, 'There is no class "eta"', yes=False)
    assert page.input_value("#label") == "eat"
    page.fill("#label", "drink")
    page.press("#label", "Enter")
    answered(page, 'There is no class "drink"', yes=True)
    assert labels(page) == [(30, 90, "drink")]
    page.fill("#new-class-name", "Groom")
    page.press("#new-class-name", "Enter")
    answered(page, 'There is a class "groom"', yes=False)
    assert page.locator("#class-list li").count() == 3


# --- the mouse, a pen, a finger -------------------------------------------------------------------


def test_actions_drawn_from_left_to_right_at_their_edges_are_all_there(page):
    edges = [1 + 1.4 * number for number in range(14)]
    for number, (start, stop) in enumerate(pairwise(edges)):
        x, y = spot(page, start)
        inside = (number % 7) - 3  # pixels beside the true edge, mostly within the neighbour
        page.click(f'#class-list li[data-name="{("groom", "eat")[number % 2]}"] .give')
        dragged(page, (x + inside, y), spot(page, stop))
    segments = labels(page)
    assert len(segments) == 13
    assert [name for _, _, name in segments] == (["groom", "eat"] * 7)[:13]
    assert all(one[1] == other[0] for one, other in pairwise(segments))
    assert all(abs(start - edge * FPS) <= 2 for (start, _, _), edge in zip(segments, edges[:-1], strict=True))


def test_an_edge_moves_by_the_handle_of_a_picked_segment(page):
    keys(page, (2, "1"), (6, "1"))
    x, y = spot(page, 6)
    page.mouse.click(*spot(page, 4))
    dragged(page, (x - 2, y), spot(page, 8))
    (segment,) = labels(page)
    assert segment[0] == 30
    assert segment[1] == pytest.approx(120, abs=2)
    x, y = spot(page, 8)
    dragged(page, (x - 2, y), spot(page, 7))  # it still has its handles
    (segment,) = labels(page)
    assert segment[1] == pytest.approx(105, abs=2)


def test_a_pen_and_a_finger_draw(page):
    page.click('#class-list li[data-name="groom"] .give')
    session = page.context.new_cdp_session(page)
    start, stop = spot(page, 2), spot(page, 5)
    for kind, point, held in (("mousePressed", start, 1), ("mouseMoved", stop, 1), ("mouseReleased", stop, 0)):
        event = {"type": kind, "x": point[0], "y": point[1], "pointerType": "pen", "button": "left"}
        session.send("Input.dispatchMouseEvent", {**event, "buttons": held, "clickCount": 1})
    settled(page)
    page.click('#class-list li[data-name="eat"] .give')
    start, stop = spot(page, 8), spot(page, 12)
    near = (start[0] + 8, start[1])
    for kind, points in (("touchStart", [start]), ("touchMove", [near]), ("touchMove", [stop]), ("touchEnd", [])):
        touches = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    settled(page)
    session.detach()
    drawn = labels(page)
    assert [name for _, _, name in drawn] == ["groom", "eat"]
    assert [each for segment in drawn for each in segment[:2]] == pytest.approx([30, 75, 120, 180], abs=2)


def test_an_undo_under_way_does_not_delay_what_a_key_marks(page):
    keys(page, (2, "1"), (4, "1"))
    page.route("**/undo", lambda route: (page.wait_for_timeout(700), route.continue_())[1])
    at(page, 5)
    page.keyboard.press("Control+z")
    page.keyboard.press("2")
    page.evaluate("document.querySelector('video').currentTime = 9")
    settled(page)
    keys(page, (12, "2"))
    assert labels(page) == [(75, 180, "eat")]


# --- what a reader of the code found ----------------------------------------------------------------------


def test_space_after_a_click_on_a_button_plays(page):
    keys(page, (2, "1"), (4, "1"))
    page.click("#mark")
    page.keyboard.press("Space")
    until(page, "!document.querySelector('video').paused")
    page.keyboard.press("Space")
    until(page, "document.querySelector('video').paused")
    assert page.locator("#chip").count() == 1


def test_point_events_stay_when_a_segment_is_recorded_over_them(page):
    page.click('#class-list li[data-name="eat"] .give')
    page.locator("#timeline canvas").focus()
    keys(page, (5, "p"), (4, "1"), (6, "1"))
    settled(page)
    assert labels(page) == [(60, 90, "groom"), (75, 75, "eat")]


def test_point_events_are_recorded_during_a_state(page):
    edited(page, "eat").locator(".class-point").check()
    settled(page)
    page.locator("#timeline canvas").focus()
    keys(page, (4, "1"), (5, "2"), (6, "2"), (8, "1"))
    settled(page)
    states = [(60, 120, "groom"), (75, 75, "eat"), (90, 90, "eat")]
    assert labels(page) == states
    page.keyboard.press("Control+z")
    settled(page)
    assert labels(page) == states[1:]
    page.keyboard.press("Control+Shift+z")
    settled(page)
    assert labels(page) == states


def test_a_point_event_over_a_state_is_chosen_and_deleted_alone(page):
    page.click('#class-list li[data-name="eat"] .give')
    page.locator("#timeline canvas").focus()
    keys(page, (5, "p"), (4, "1"), (9, "1"))
    x, y = spot(page, 5)
    page.mouse.click(x - 3, y)
    assert page.locator("#label").input_value() == "eat"
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")  # which does not reach the state below
    settled(page)
    assert labels(page) == [(60, 135, "groom")]
    page.keyboard.press("Control+z")
    settled(page)
    assert labels(page) == [(60, 135, "groom"), (75, 75, "eat")]
    page.keyboard.press("Delete")  # nothing is chosen after undo
    settled(page)
    assert labels(page) == [(60, 135, "groom"), (75, 75, "eat")]
    page.mouse.click(*spot(page, 7))
    assert page.locator("#label").input_value() == "groom"
    assert page.locator("#stop").input_value() == "9.000"
    page.keyboard.press("s")
    settled(page)
    states = [part for part in labels(page) if part[0] < part[1]]
    assert states[0][::2] == (60, "groom")
    assert len(states) == 2
    page.mouse.click(*spot(page, 4.5))
    page.keyboard.press("m")
    settled(page)
    assert [part for part in labels(page) if part[0] < part[1]] == [(60, 135, "groom")]


def test_a_recording_without_a_name_gets_the_class_that_was_the_pen(page):
    page.click('#class-list li[data-name="eat"] .give')
    page.locator("#timeline canvas").focus()
    keys(page, (2, "i"))
    changed_elsewhere(page, do="change", name="eat", to="dine")
    until(page, "document.querySelector('#chip').textContent.includes('dine?')")
    keys(page, (4, "o"))
    assert labels(page) == [(30, 60, "dine")]


def test_a_film_that_leaves_the_picked_segment_unpicks_it(page):
    keys(page, (2, "1"), (3, "1"))
    page.mouse.click(*spot(page, 2.5))
    page.keyboard.press("Space")
    until(page, "document.querySelector('video').currentTime > 3.5")
    page.keyboard.press("Space")
    keys(page, (2.2, "2"), (2.6, "2"))
    assert labels(page) == [(30, 33, "groom"), (33, 39, "eat"), (39, 45, "groom")]


def test_a_drag_is_dropped_by_esc_and_the_recording_stays(page):
    keys(page, (2, "1"))
    page.mouse.move(*spot(page, 8))
    page.mouse.down()
    page.mouse.move(*spot(page, 12), steps=4)
    page.keyboard.press("Escape")
    page.mouse.up()
    settled(page)
    assert labels(page) == []
    assert page.locator("#chip").count() == 1


def test_the_pin_at_the_start_of_a_segment_is_chosen(page):
    keys(page, (5, "1"), (8, "1"))
    page.click('#class-list li[data-name="eat"] .give')
    page.mouse.click(*spot(page, 15))
    keys(page, (5, "p"))
    x, y = spot(page, 5)
    page.mouse.click(x - 3, y)
    page.keyboard.press("Delete")
    settled(page)
    assert labels(page) == [(75, 120, "groom")]


def test_i_after_a_class_key_while_the_film_stands_moves_the_start(page):
    keys(page, (4, "1"))
    page.wait_for_timeout(2200)
    keys(page, (4.4, "i"), (6, "o"))
    assert labels(page) == [(66, 90, "groom")]
