"""What the tests of the page in a real browser share: films, a server in a process of its own, and gestures."""

from __future__ import annotations

import json
import re
import signal
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvicorn

from fact_clip.datasets.synthetic import draw_actions
from fact_clip.inference.loading import load
from fact_clip.video.write import write_video
from fact_clip_app.store.history import History, Person
from fact_clip_app.store.project import Action, Label, Project
from fact_clip_app.web.guard import HttpProtocol
from fact_clip_app.web.server import make_app
from fact_clip_app.workspace.engine import Engine
from fact_clip_app.workspace.uploads import Limits
from fact_clip_app.workspace.workspace import Options

from ..browser import shoot
from ..launch import serving
from ..shell import commands

ROOT = Path(__file__).parents[2]
FPS, ROWS = 15.0, 5.0  # pictures and rows of features a second
NEW = "rotate gear"  # no frame of it is trained
SHOWN = ((2, "no action"), (4, "grasp shaft"), (5, NEW), (4, "tap shaft with mallet"), (5, "screw nut with wrench"))
TRAINED = ("no action", "grasp shaft", "tap shaft with mallet", "screw nut with wrench", "place bearing")
LARGE_CLASSES = ("groom", "eat", "rear", "run", "sniff object", "dig")
HOURS, RATE, SEGMENTS = 2, 30, 1500
ROW = 34  # pixels of a row of the timeline, and 6 between
HEAD = 150  # pixels of the heads of the rows
STRIP = 26  # pixels above the first row


def film(path: Path, plan, seed: int) -> list[str]:
    """Draw (seconds, action) one after the other; a label for each row of features."""
    pictures = [name for seconds, name in plan for _ in range(round(seconds * FPS))]
    write_video(path, draw_actions(pictures, FPS, seed), FPS)
    return [name for seconds, name in plan for _ in range(round(seconds * ROWS))]


def small_project(folder: Path, clip: Path) -> None:
    """The film of `SHOWN` without labels."""
    project = Project(folder)
    project.add_video(clip.stem, clip, None, np.arange(sum(length for length, _ in SHOWN) * round(FPS) + 1) / FPS)
    project.close()


def large_project(folder: Path, clip: Path) -> None:
    """A video of two hours without a film, with 1500 segments, and 199 short ones, some of them labelled."""
    project = Project(folder)
    history = History(project)
    history.add([Action(name) for name in LARGE_CLASSES], Person())
    n_frames = HOURS * 3600 * RATE
    long = project.add_video("aviary_two_hours", None, None, np.arange(n_frames + 1) / RATE)
    length = n_frames // SEGMENTS
    segments = []
    for number in range(SEGMENTS):
        name = LARGE_CLASSES[number % len(LARGE_CLASSES)]
        segments.append(Label(length * number, length * (number + 1), name))
    history.replace(long, next(iter(project.tracks(long))), segments, None, Person())
    rng = np.random.default_rng(0)
    seconds = sum(length for length, _ in SHOWN)
    times = np.arange(seconds * round(FPS) + 1) / FPS
    for number in range(1, 200):
        video = project.add_video(f"mouse_{number:03d}", clip, None, times)
        if number % 3 == 0:
            continue
        edges = np.sort(rng.choice(np.arange(1, len(times) - 1), 7, replace=False)).tolist()
        names = rng.choice(LARGE_CLASSES, 6).tolist()
        drawn = [Label(start, stop, name) for start, stop, name in zip(edges[:-1], edges[1:], names, strict=True)]
        track = next(iter(project.tracks(video)))
        history.replace(video, track, drawn, None, Person(annotator="Anna" if number % 2 else "Bernd"))
        if number % 3 == 1:
            project.change_track(video, track, complete=True)
    project.close()


PAGE = """import sys
from fact_clip.cli import main
sys.executable = sys.argv.pop(1)
main()"""


@contextmanager
def served(project: Path, *arguments: object, ending: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """`fact-clip app` on a project in a process of its own; its address. It ends by a signal.

    Its trainings are forks, too.
    """
    words = ["-c", PAGE, commands() / "python", "app", project, *arguments, "--port", 0, "--device", "cpu"]
    with serving(*words, ending=ending, variables={"XDG_DATA_HOME": str(project.parent / "home")}) as (_, line):
        assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/\?token=[\w-]{43}\n", line), line
        yield line.split()[1]


@contextmanager
def served_here(folder: Path) -> Iterator[str]:
    """A page without a model in a thread of this process, which is there sooner; its address."""
    store = Project(folder)
    engine = Engine(store, None, lambda path: load(path, "cpu"), Limits())
    config = uvicorn.Config(
        make_app(engine, Options("127.0.0.1")),
        "127.0.0.1",
        0,
        http=HttpProtocol,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/?token={store.token}"
    finally:
        server.should_exit = True
        thread.join(20)


# --- looking ---------------------------------------------------------------------------------------------------------


def until(page, condition: str, patience: float = 30) -> None:
    """Wait for a condition in JavaScript; the policy of the page forbids playwright's own way."""
    for _ in range(round(10 * patience)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    said = page.evaluate("document.querySelector('#toast-text')?.textContent")
    raise AssertionError(f"{condition} (the page says: {said})")


QUIET = """async () => {
    const pause = (time) => new Promise((done) => setTimeout(done, time));
    const isQuiet = () => document.body.getAttribute("aria-busy") !== "true"
        && !/^(Storing|The server)/.test(document.querySelector("#note")?.textContent ?? "Storing");
    const end = performance.now() + 30_000;
    for (let count = 0; count < 3; count++) {
        while (!isQuiet()) {
            if (performance.now() > end) return false;
            await pause(50);
        }
        await pause(30);
    }
    return true;
}"""


def settled(page) -> None:
    """Wait until every change is stored and every question of the page is answered."""
    assert page.evaluate(QUIET), page.locator("#toast-text").all_text_contents()


def asked(page, path: str):
    """The JSON that the server answers to the page."""
    return page.evaluate(f"fetch('{path}').then((one) => one.json())")


def shown(page, number: int = 0):
    """A video of the project, as the server has it."""
    return asked(page, f"/api/videos/{asked(page, '/api/state')['videos'][number]['id']}")


def parts(segments):
    return [(each["start"], each["stop"], each["label"]) for each in segments]


def labels(page, number: int = 0, track: int = 0):
    """The labels of a track as (start, stop, label) in frames, as the server has them."""
    return parts(shown(page, number)["tracks"][track]["segments"])


def message(page, start: str = "") -> str:
    """The message that lies over the page, once it begins with some words."""
    page.locator("#toast").wait_for()
    until(page, f"document.querySelector('#toast-text').textContent.startsWith({json.dumps(start)})")
    return page.locator("#toast-text").text_content()


def place(page, seconds: float, row: int = 0, duration: float | None = None):
    """Where a time lies on the timeline, behind the heads of its rows."""
    page.locator("#timeline canvas").scroll_into_view_if_needed()
    box = page.locator("#timeline canvas").bounding_box()
    left = HEAD
    duration = duration or sum(length for length, _ in SHOWN)
    return box["x"] + left + seconds / duration * (box["width"] - left - 8), box["y"] + STRIP + (ROW + 6) * row + 17


def picture(page, name: str, **how) -> None:
    """A screenshot for the docs."""
    shoot(page, name, **how)


# --- doing -----------------------------------------------------------------------------------------------------------


def entered(page, address: str, panel: str = "label") -> None:
    """Open the page."""
    page.goto(address)
    page.locator(f"#to-{panel}").wait_for()
    settled(page)


def begun(page, address: str, *classes: str) -> None:
    """Open the page of a project with a film, and give it these classes, as a program does."""
    entered(page, address)
    until(page, "document.querySelector('video')?.readyState > 0")
    if classes:
        replace_classes(page, *classes)


def open_menu(page) -> None:
    """Open the menu of the project and its people."""
    if not page.locator("#menu").is_visible():
        page.click("#menu-button")


def called(page, name: str) -> None:
    """Type one's name into the menu, which Enter closes."""
    open_menu(page)
    page.fill("#annotator", name)
    page.press("#annotator", "Enter")
    page.locator("#menu").wait_for(state="hidden")
    page.locator("#menu-button", has_text=name).wait_for()
    settled(page)


def ask_blind(page) -> None:
    """Press the button that switches Blind on or off."""
    open_menu(page)
    page.click("#blind")


def upload(page, *paths: Path) -> None:
    """Add files, and wait until the page has them."""
    count = page.locator("#videos li").count()
    page.set_input_files("#files", paths)
    until(page, f"document.querySelectorAll('#videos li').length >= {count + 1}", 60)
    until(page, "document.querySelector('#progress').textContent === ''", 60)
    page.locator("#timeline canvas").wait_for(timeout=60_000)
    settled(page)


def opened(page, number: int) -> None:
    """Open a video of the list."""
    page.click(f"#videos li:nth-child({number + 1}) button.link")
    settled(page)


def add_classes(page, *names: str) -> None:
    for name in names:
        page.fill("#new-class-name", name)
        page.press("#new-class-name", "Enter")
        until(page, "document.querySelector('#new-class-name').value === ''")
    settled(page)


def replace_classes(page, *names: str) -> None:
    """Have these classes instead of those of the model, as a program does."""
    revision = asked(page, "/api/state")["actions_revision"]
    body = {"actions": [{"name": name} for name in names], "revision": revision}
    how = {"method": "PUT", "body": json.dumps(body), "headers": {"content-type": "application/json"}}
    assert page.evaluate(f"fetch('/api/actions', {json.dumps(how)}).then((one) => one.status)") == 200
    until(page, f"document.querySelectorAll('#class-list li').length === {len(names)}")
    settled(page)


def edited(page, name: str):
    """Open the editor of a class; its locator."""
    row = page.locator(f'#class-list li[data-name="{name}"]')
    if row.locator(".editor").count() == 0:
        row.locator(".more").click()
    return row.locator(".editor")


def set_key(page, name: str, key: str) -> None:
    """Give a class a key."""
    field = edited(page, name).locator(".class-key")
    field.fill(key)
    field.press("Tab")
    settled(page)
    page.locator(f'#class-list li[data-name="{name}"] .more').click()


def to_panel(page, panel: str) -> None:
    page.click(f"#to-{panel}")
    settled(page)


def at(page, seconds: float) -> None:
    """Move the player."""
    page.evaluate(f"document.querySelector('video').currentTime = {seconds}")
    until(page, "!document.querySelector('video').seeking")


def by_keys(page, *segments: tuple[str, int, int]) -> None:
    """Label with the keyboard alone: the key of a class, I at its first picture, O at its last; in pictures."""
    page.locator("#timeline canvas").focus()
    for key, start, stop in segments:
        page.keyboard.press("Escape")
        at(page, start / FPS)
        page.keyboard.press(key)
        page.keyboard.press("i")
        at(page, stop / FPS)
        page.keyboard.press("o")
    settled(page)


HAND = """(presses) => {
    const video = document.querySelector("video");
    const hand = window.hand = {seconds: [], clock: []};
    let behind = 0;
    const timer = setInterval(() => {
        const [due, key] = presses[hand.seconds.length];
        if (video.currentTime < due + behind && !video.ended) return;
        behind = video.currentTime - due;
        hand.seconds.push(video.currentTime);
        hand.clock.push(performance.now() / 1000);
        const code = /\\d/.test(key) ? `Digit${key}` : `Key${key.toUpperCase()}`;
        const how = {key, code, bubbles: true, cancelable: true};
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", how));
        if (hand.seconds.length === presses.length) clearInterval(timer);
    }, 5);
}"""


@dataclass
class Hand:
    """A person who presses keys while a film plays: (seconds of the film, key) in order of time.

    A script in the page presses them, and knows at which second of the film. A machine that stalls delays this key and
    all that follow, as if the person had seen things later.
    """

    page: object
    presses: list[tuple[float, str]]

    def play(self, speed: float) -> None:
        """Play the film from its start, and press the keys."""
        self.page.keyboard.press("Escape")
        at(self.page, 0)
        self.page.evaluate(f"document.querySelector('video').playbackRate = {speed}")
        self.page.locator("#timeline canvas").focus()
        self.page.evaluate(HAND, self.presses)
        self.page.keyboard.press("Space")

    def end(self) -> None:
        """Wait until all keys are pressed, stop the film, and know when they were, by the film and by the clock."""
        until(self.page, f"hand.seconds.length === {len(self.presses)}", patience=300)
        self.page.evaluate("document.querySelector('video').pause()")
        settled(self.page)
        self.heard, self.clock = self.page.evaluate("[hand.seconds, hand.clock]")


def while_playing(page, *segments: tuple[str, int, int]) -> None:
    """Label the first video while it plays at speed 2, by a key at each change; segments are (key, start, stop).

    Each edge lies where its key was heard.
    """
    presses = []
    edges = []  # places of the keys of a segment
    for place, (key, start, stop) in enumerate(segments):
        presses.append((start / FPS, key))
        edges.append((len(presses) - 1, len(presses)))
        follows = place + 1 < len(segments) and segments[place + 1][1] == stop
        if not follows:
            presses.append((stop / FPS, key))
    hand = Hand(page, presses)
    hand.play(2)
    hand.end()
    marked = [(hand.heard[start] * FPS, hand.heard[stop] * FPS) for start, stop in edges]
    made = [(start, stop) for start, stop, _ in labels(page)]
    assert len(made) == len(marked)
    assert np.abs(np.subtract(made, marked)).max() <= 1.01, (made, marked)


def dragged(page, start: tuple[float, float], stop: tuple[float, float]) -> None:
    """Drag on the timeline."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*stop, steps=5)
    page.mouse.up()
    settled(page)


def encoded(page) -> None:
    """Wait until no video is encoded any more."""
    until(page, "document.querySelector('#videos progress') === null", 60)
    settled(page)


def everything(page, path: Path) -> Mapping[str, bytes]:
    """The files of "Download all videos", by name."""
    to_panel(page, "results")
    page.select_option("#format", "json")
    with page.expect_download() as download:
        page.click("#download-all")
    download.value.save_as(path)
    to_panel(page, "label")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def trained(page, button: str, run: str, minutes: float) -> dict:
    """Press a button of Teach, say that the rest of each video is background, and wait; the figures of the run."""
    to_panel(page, "teach")
    page.fill("#minutes", str(minutes))
    page.click(button)
    settled(page)
    if page.locator("#ask").count():
        questions = page.locator("#unlabelled p")
        for number in range(questions.count()):
            assert "is labelled to" in questions.nth(number).text_content()
            questions.nth(number).locator("select").select_option("background")
        page.click("#ask-yes")
    until(page, f"fetch('/api/state').then((one) => one.json()).then((state) => !!state.runs['{run}'] || "
                "state.training?.state === 'failed')", 300)  # fmt: skip
    state = asked(page, "/api/state")
    assert run in state["runs"], state["training"]
    until(page, "document.querySelector('#training-note').textContent.startsWith('Trained.')")
    to_panel(page, "label")
    return state["runs"][run]
