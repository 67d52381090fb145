"""The sheet of unlabelled stretches in a real browser: one answer labels a group."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from fact_clip_app.store.history import History, Person
from fact_clip_app.store.project import Action, Label, Project

from ..test_readme import environment
from .browsing import ROOT, asked, entered, film, served_here, settled, shown, until
from .test_page_views import findings

pytestmark = pytest.mark.slow

GAPS = ((2, 3), (6, 8))  # seconds; what follows "grasp" is short, what follows "insert" is long


@pytest.fixture
def address(tmp_path):
    """Three films with two unlabelled stretches each."""
    project = Project(tmp_path / "project")
    history = History(project)
    history.add([Action("grasp"), Action("insert")], Person())
    for number in range(3):
        path = tmp_path / f"film_{number}.mp4"
        film(path, [(8, "no action")], seed=number)
        video = project.add_video(path.stem, path, None, np.arange(121) / 15)
        track = next(iter(project.tracks(video)))
        labels = [Label(0, 30, "grasp"), Label(45, 90, "insert")]
        history.replace(video, track, labels, None, Person())
    project.close()
    with served_here(tmp_path / "project") as address:
        yield address


def grouped(page, number: int) -> list[tuple[int, int, str]]:
    segments = shown(page, number)["tracks"][0]["segments"]
    return [(one["start"], one["stop"], one["label"]) for one in segments if one["origin"] == "grouped"]


def opened(page, address) -> None:
    entered(page, address)
    settled(page)
    page.click("#open-groups")
    until(page, "document.querySelector('#group-sheet li')")
    while page.locator("#group-sheet li").count() > 3:
        page.click("#split-group")
    assert "group 1 of 2" in page.locator("#group-place").text_content()


def test_one_answer_labels_the_checked_stretches_and_is_undone_as_one_step(address, browser):
    with browser.page(1280, 720) as page:
        opened(page, address)
        assert page.locator("#group-sheet li").count() == 3
        assert "Before them: insert (3)." in page.locator("#group-summary").text_content()
        page.locator("#group-sheet input").nth(1).uncheck()
        page.fill("#group-class", "screw")
        page.press("#group-class", "Enter")
        until(page, "document.querySelector('#group-report').textContent.startsWith('2 labelled screw.')")
        found = [span for number in range(3) for span in grouped(page, number)]
        assert found == [(90, 120, "screw")] * 2
        assert page.locator("#group-sheet li").count() == 1  # the unchecked one stays
        page.click("#undo-group")
        until(page, "document.querySelectorAll('#group-sheet li').length === 3")
        assert [span for number in range(3) for span in grouped(page, number)] == []
        page.locator("#group-sheet input").nth(1).check()
        page.click("#give-nothing")
        until(page, "document.querySelector('#group-report').textContent.startsWith('3 labelled as background.')")
        assert "Before them: grasp (3)." in page.locator("#group-summary").text_content()
        assert [span for number in range(3) for span in grouped(page, number)] == [(90, 120, "background")] * 3


def test_three_answers_label_the_recordings_of_the_tutorial(browser, tmp_path):
    text = (ROOT / "docs/tutorials/first_labels.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(fact-clip data sample kscgr\n.*?)```", text, re.DOTALL)
    lines = block.replace("fact-clip app cooking\n", "")
    subprocess.run(["bash", "-euc", lines], cwd=tmp_path, env=environment(), capture_output=True, check=True)
    with served_here(tmp_path / "cooking") as address, browser.page(1280, 720) as page:
        entered(page, address)
        settled(page)
        page.click("#open-groups")
        for name in ("move hard-boiled egg", "cut baked egg", "move saltshaker"):
            assert name in text
            until(page, "document.querySelector('#group-sheet li')")
            page.fill("#group-class", name)
            page.press("#group-class", "Enter")
            until(page, f"document.querySelector('#group-report').textContent.includes('labelled {name}.')")
        n_stretches = 0
        for number, video in enumerate(asked(page, "/api/state")["videos"]):
            truth = (tmp_path / f"kscgr/groundTruth/{video['name']}.txt").read_text().split("\n")
            for start, stop, name in grouped(page, number):
                assert set(truth[start:stop]) == {name}
                n_stretches += 1
        assert n_stretches == 19


def test_groups_stay_until_they_are_asked_for_and_labels_of_others_win(address, browser):
    with browser.page(1280, 720) as page:
        opened(page, address)
        video = asked(page, "/api/state")["videos"][0]["id"]
        track = shown(page)["tracks"][0]["id"]
        body = {"track": track, "removed": [], "added": [{"start": 100, "stop": 110, "label": "grasp"}]}
        page.evaluate(
            """([path, body]) => fetch(path, {method: "POST", body: JSON.stringify(body),
               headers: {"content-type": "application/json"}})""",
            [f"/api/videos/{video}/edits", body],
        )
        page.wait_for_timeout(800)
        assert page.locator("#group-sheet li").count() == 3
        page.fill("#group-class", "insert")
        page.click("#give-class")
        until(page, "document.querySelector('#group-report').textContent.includes('1 had a label by now')")
        assert grouped(page, 0) == []
        page.click("#group-again")
        until(page, "document.querySelector('#group-place').textContent.startsWith('group 1')")
        page.keyboard.press("Escape")
        until(page, "!document.querySelector('#groups')")


def test_keys_do_not_label_behind_the_sheet(address, browser):
    """A button that was pressed and is hidden then leaves the focus on the page behind the sheet."""
    with browser.page(1280, 720) as page:
        entered(page, address)
        settled(page)
        page.click("#videos li:nth-child(1) button.link")
        settled(page)
        page.click("#open-groups")
        until(page, "document.querySelector('#group-sheet li')")
        page.locator("#group-sheet input").nth(0).uncheck()
        page.click("#check-all")
        assert page.evaluate("document.activeElement === document.body")
        page.keyboard.press("1")
        page.keyboard.press("Control+z")
        page.keyboard.press("Escape")
        until(page, "!document.querySelector('#groups')")
        settled(page)
        assert page.locator("#chip").count() == 0  # nothing is being recorded
        assert len(shown(page)["tracks"][0]["segments"]) == 2


def test_a_stretch_is_split_off_and_opened(address, browser):
    with browser.page(1280, 720) as page:
        opened(page, address)
        page.locator("#group-sheet input").nth(0).uncheck()
        page.click("#split-off")
        assert "group 1 of 3" in page.locator("#group-place").text_content()
        assert page.locator("#group-sheet li").count() == 2
        page.click("#leave-group")
        assert page.locator("#group-sheet li").count() == 1
        name = page.locator("#group-sheet .name").text_content()
        page.click("#group-sheet button.link")
        until(page, f"document.querySelector('#video-name').value === '{name}'")
        until(page, "document.querySelector('#time').textContent.startsWith('6.0')")


@pytest.mark.parametrize(("size", "scheme"), [((1280, 720), "light"), ((390, 844), "dark")])
def test_axe_finds_nothing_in_the_groups(address, browser, size, scheme):
    with browser.page(*size, scheme=scheme) as page:
        opened(page, address)
        page.locator("#group-sheet input").nth(0).uncheck()
        assert findings(page) == []
        width = "document.querySelector('#groups').scrollWidth - document.querySelector('#groups').clientWidth"
        assert page.evaluate(width) == 0
