"""The page in a real browser, from nothing and from a model, on films of the workbench."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

import fact_clip
from fact_clip.datasets.synthetic import FACTORS
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings, extract

from ..small import write_dataset
from .browsing import (
    NEW,
    ROWS,
    SHOWN,
    TRAINED,
    add_classes,
    asked,
    at,
    by_keys,
    dragged,
    edited,
    encoded,
    entered,
    everything,
    film,
    labels,
    message,
    parts,
    picture,
    place,
    replace_classes,
    served,
    set_key,
    settled,
    shown,
    to_panel,
    until,
    upload,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def bench(tiny, tmp_path_factory):
    """A data set of rendered films, a run that was trained on it without `NEW`, and a film that shows it."""
    folder = tmp_path_factory.mktemp("bench")
    data, shown, rng = folder / "data", {}, np.random.default_rng(0)
    for number in range(4):
        order = [TRAINED[place] for place in rng.permutation(len(TRAINED))]
        shown[f"v{number}"] = film(folder / f"v{number}.mp4", [(3 + number % 2, name) for name in order], number)
        extract(folder / f"v{number}.mp4", frame_encoder("grid"), data / "features", Settings(fps=ROWS))
    write_dataset(data, FACTORS, shown, train=("v0", "v1", "v2"), test=("v3",))
    settings = {
        "data": {"root": str(data), "fps": ROWS, "stride": 1, "standardize": True, "validation": 0.0},
        "model": {"head": "text", "blocks": "i", "input": {"frame_dim": 32, "frame_layers": 4}},
        "text": {"encoder": "hash:64", "parts": ["factors"]},
        "decode": {"frame_weight": 1.0},
        "augment": {"channels": 0.0, "time_spans": 0},
        "train": {"epochs": 40, "lr": 2e-3},
    }
    fact_clip.training.train(tiny(**settings), folder / "run")
    truth = film(folder / "new.mp4", SHOWN, 9)
    return folder, truth


def share_of_new(segments, truth) -> float:
    """Of the frames that show `NEW`, how many are named so."""
    names = [label for start, stop, label in segments for _ in range(start, stop)][1::3]  # a picture of each row
    return float(np.mean([name == NEW for name, true in zip(names, truth, strict=True) if true == NEW]))


def drafts(page):
    """The prediction as (start, stop, label) in frames."""
    return parts(shown(page)["drafts"])


def test_from_an_upload_to_a_label_over_the_drafts(bench, browser, tmp_path):
    folder, _ = bench
    with (
        served(tmp_path / "p", "--run", folder / "run") as address,
        browser.page(1400, 1000, accept_downloads=True) as page,
    ):
        entered(page, address)
        assert "token" not in page.url
        upload(page, folder / "new.mp4")
        until(page, "fetch('/api/state').then((one) => one.json()).then((state) => state.videos[0].predicted)", 60)
        encoded(page)
        before = drafts(page)
        assert before != []
        assert labels(page) == []

        # names change what is predicted; a name that looks like HTML is shown as it is typed
        replace_classes(page, *TRAINED[1:4], NEW)
        add_classes(page, NASTY)
        to_panel(page, "results")
        until(page, "document.querySelector('#command').textContent.includes('<img')")
        assert NASTY in page.locator("#command").text_content()
        to_panel(page, "label")
        named = drafts(page)
        assert named != before
        assert {label for *_, label in named} <= {"background", *TRAINED[:4], NEW, NASTY}
        assert NASTY in page.locator("#class-list").text_content()
        assert page.locator("#class-list img").count() == 0

        # a click seeks; a segment is drawn over the drafts, and its edge is dragged
        page.mouse.click(*place(page, 8.0, 1))
        until(page, "Math.abs(document.querySelector('video').currentTime - 8) < 0.1")
        keys = {action["name"]: action["key"] for action in asked(page, "/api/state")["actions"]}
        by_keys(page, (keys[NEW], 75, 165))
        assert labels(page) == [(75, 165, NEW)]
        page.mouse.click(*place(page, 8.0))
        dragged(page, place(page, 5.06), place(page, 6.0))
        ((start, stop, name),) = labels(page)
        assert abs(start - 90) <= 1
        assert (stop, name) == (165, NEW)
        page.fill("#start", "6.0")
        page.press("#start", "Enter")
        settled(page)
        assert labels(page) == [(90, 165, NEW)]
        page.fill("#start", "900")
        page.press("#start", "Enter")
        assert message(page).startswith("Enter a time between 0 and")
        page.click("#dismiss")
        page.fill("#start", "6.0")

        edited(page, NASTY).locator(".class-delete").click()
        until(page, "document.querySelectorAll('#class-list li').length === 4")
        settled(page)


def test_drafts_are_no_labels(bench, browser, tmp_path):
    """A complete track shows no drafts; files hold labels alone, whatever the model is."""
    folder, _ = bench
    with (
        served(tmp_path / "p", "--run", folder / "run") as address,
        browser.page(1400, 1000, accept_downloads=True) as page,
    ):
        entered(page, address)
        upload(page, folder / "new.mp4")
        until(page, "fetch('/api/state').then((one) => one.json()).then((state) => state.videos[0].predicted)", 60)
        replace_classes(page, *TRAINED[1:4])
        (tmp_path / "new.csv").write_text("start,stop,label\n2,6,grasp shaft\n11,15,tap shaft with mallet\n")
        page.set_input_files("#files", tmp_path / "new.csv")
        until(page, "document.querySelector('#videos small').textContent.includes('2 segments')")
        settled(page)
        hand = [(30, 90, TRAINED[1]), (165, 225, TRAINED[2])]
        assert labels(page) == hand
        assert drafts(page) != []
        assert "draft" in page.locator("#uncertain-title + p").text_content()
        saved = json.loads(everything(page, tmp_path / "all.zip")["labels/new.json"])
        assert {segment["confidence"] for segment in saved["segments"]} == {None}
        actions = [one for one in saved["segments"] if one["label"] not in saved["background"]]
        assert [(one["start"], one["stop"], one["label"]) for one in actions] == hand
        until(page, "document.querySelectorAll('#uncertain li').length > 0")

        # Enter accepts a draft, and shows the next one
        page.click("#uncertain li:nth-child(1) button")
        settled(page)
        page.wait_for_timeout(100)
        page.keyboard.press("Enter")
        settled(page)
        origins = [segment["origin"] for segment in shown(page)["tracks"][0]["segments"]]
        assert origins.count("predicted") == 1
        page.locator("#timeline canvas").focus()
        page.keyboard.press("Control+z")
        settled(page)
        page.fill("#accept-percent", "0")
        page.click("#accept-all")
        settled(page)
        accepted = [segment for segment in shown(page)["tracks"][0]["segments"] if segment["origin"] == "predicted"]
        assert accepted
        assert all(segment["label"] != "no action" for segment in accepted)
        page.click("#undo")
        settled(page)
        assert labels(page) == hand
        page.check("#complete")
        settled(page)
        assert drafts(page) == []
        until(page, "document.querySelectorAll('#uncertain li').length === 0")


def test_labels_from_nothing_survive_a_kill_and_another_browser(bench, browser, tmp_path):
    """Two videos, two tracks, by keyboard and mouse, without a model; then kill -9, and another browser."""
    folder, _ = bench
    project = tmp_path / "p"
    with (
        served(project, ending=signal.SIGKILL) as address,
        browser.page(1400, 1000, accept_downloads=True) as page,
    ):
        entered(page, address)
        upload(page, folder / "new.mp4", folder / "v0.mp4")
        add_classes(page, "stir", "pour", "hold")
        set_key(page, "pour", "q")
        page.locator("#timeline canvas").focus()
        for key, start, stop in (("1", 1.0, 3.0), ("q", 4.0, 6.0), ("1", 6.0, 8.0)):
            page.keyboard.press("Escape")
            at(page, start)
            page.keyboard.press(key)
            page.keyboard.press("i")
            at(page, stop)
            page.keyboard.press("o")
        settled(page)
        assert labels(page) == [(15, 45, "stir"), (60, 90, "pour"), (90, 120, "stir")]
        page.keyboard.press(".")  # the start of the chosen one, and the end of its neighbour
        settled(page)
        assert labels(page)[1:] == [(60, 91, "pour"), (91, 120, "stir")]
        page.keyboard.press("Control+z")
        settled(page)
        assert labels(page)[1:] == [(60, 90, "pour"), (90, 120, "stir")]
        page.reload()
        page.locator("#timeline canvas").wait_for()
        settled(page)
        page.keyboard.press("Control+Shift+z")  # after a reload
        settled(page)
        assert labels(page)[1:] == [(60, 91, "pour"), (91, 120, "stir")]
        at(page, 12.0)
        page.keyboard.press("p")
        page.keyboard.press("j")
        settled(page)
        assert (180, 180, "stir") in labels(page)

        page.fill("#track-name", "left hand")
        page.click("#add-track")
        settled(page)
        page.locator("#timeline canvas").focus()
        page.keyboard.press("3")
        dragged(page, place(page, 2.0, 1), place(page, 5.0, 1))
        (held,) = shown(page)["tracks"][1]["segments"]
        assert abs(held["start"] - 30) <= 1
        assert abs(held["stop"] - 75) <= 1
        assert (held["label"], held["origin"]) == ("hold", "drawn")
        at(page, 5.0)

        # removal asks, and can be undone
        page.click("[aria-label='Remove v0']")
        page.click("#ask-yes")
        until(page, "document.querySelectorAll('#videos li').length === 1")
        page.click("#removed button")
        until(page, "document.querySelectorAll('#videos li').length === 2")

        before = everything(page, tmp_path / "before.zip")
    with served(project, ending=signal.SIGINT) as address, browser.page(1400, 1000, accept_downloads=True) as page:
        entered(page, address)
        assert everything(page, tmp_path / "after.zip") == before
        # a file of labels is loaded into the other video
        (tmp_path / "v0.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nstir\n")
        to_panel(page, "results")
        page.set_input_files("#load", tmp_path / "v0.srt")
        assert message(page, "v0.srt") == "v0.srt: 1 on track main."
        assert labels(page, 1) == [(15, 30, "stir")]
        page.keyboard.press("?")
        page.locator("#help").wait_for()
    assert len(list((project / "videos").iterdir())) == 2


SIXTY = [f"{verb} {part}" for verb in ("grasp", "place", "turn", "lift", "push", "wipe") for part in
         ("shaft", "gear", "bearing", "bolt", "nut", "lid", "cup", "spoon", "plate", "box")]  # fmt: skip
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def test_how_it_looks(bench, browser, tmp_path):
    """Screenshots for the docs; here that nothing is wider than the window, in every state, and that all has a name."""
    folder, _ = bench
    with served(tmp_path / "p", "--run", folder / "run", ending=signal.SIGHUP) as address:
        with browser.page(1400, 900, scheme="dark") as page:
            entered(page, address)
            assert page.evaluate(FITS)
            picture(page, "app-empty")
            upload(page, folder / "new.mp4")
            until(page, "fetch('/api/state').then((one) => one.json()).then((state) => state.videos[0].predicted)", 60)
            encoded(page)
            page.mouse.click(*place(page, 8.0))
            settled(page)
            until(page, "document.querySelector('video').readyState === 4")
            assert page.evaluate(FITS)
            for panel in ("label", "teach", "results"):
                to_panel(page, panel)
                unnamed = page.evaluate(
                    "[...document.querySelectorAll('input, select, textarea, button')].filter((one) => "
                    "!one.labels?.length && !one.textContent.trim() && !one.ariaLabel).map((one) => one.id)"
                )
                assert unnamed == []
                assert page.evaluate(FITS)
            page.select_option("#first", "shown")  # without labels this is the prediction
            page.select_option("#second", "predicted")
            page.click("#compare")
            until(page, "document.querySelectorAll('#figures td').length === 8")
            assert page.locator("#figures td").all_text_contents() == ["100.0"] * 5 + ["1.000", "0.00", "1.000"]
            assert page.locator("#comparison canvas").is_visible()
            assert "not marked as fully labelled: new." in page.locator("#incomplete").text_content()
            (tmp_path / "other.txt").write_text("grasp shaft\n" * 100)
            page.set_input_files("#label-files", tmp_path / "other.txt")
            until(page, "document.querySelector('#second').selectedOptions[0].textContent === 'other.txt'")
            page.click("#compare")
            until(page, "(document.querySelector('#figures td')?.textContent ?? '100.0') !== '100.0'")
            to_panel(page, "teach")
            page.click("#advanced summary")
            page.locator("#set-shortest").focus()
            page.keyboard.press("End")
            settled(page)
            until(page, "document.querySelector('#settings').textContent.includes('10')")
            to_panel(page, "results")
            until(page, "document.querySelector('#command').textContent.includes('--minimal-duration 10')")
            to_panel(page, "teach")
            page.click("#advanced summary")
            page.click("#reset")
            settled(page)
            to_panel(page, "label")
            replace_classes(page, *SIXTY)
            segments = [{"start": 5 * index, "stop": 5 * index + 5, "label": name} for index, name in enumerate(SIXTY)]
            video = shown(page)
            body = {"track": video["tracks"][0]["id"], "revision": None, "segments": segments}
            how = {"method": "PUT", "body": json.dumps(body), "headers": {"content-type": "application/json"}}
            page.evaluate(f"fetch('/api/videos/{video['id']}/segments', {json.dumps(how)})")
            until(page, "document.querySelector('#videos small')?.textContent.includes('60 segments')")  # it was told
            settled(page)
            assert page.evaluate(FITS)
            picture(page, "app-60-classes")
            to_panel(page, "results")
            until(page, "document.querySelector('#plot')?.naturalWidth > 100")
            assert page.evaluate(FITS)
            picture(page, "app-results")
        with browser.page(400, 900) as page:
            entered(page, address)
            page.locator("#timeline canvas").wait_for(timeout=60_000)
            until(page, "document.querySelector('video').readyState === 4")  # the height of the film is known
            settled(page)
            assert page.evaluate(FITS)
            picture(page, "app-narrow")
            top = page.locator("#timeline canvas").bounding_box()["y"]
            (tmp_path / "no_video.mp4").write_text("nothing to see")
            page.set_input_files("#files", tmp_path / "no_video.mp4")
            page.locator("#toast.is-fault").wait_for()
            page.wait_for_timeout(700)  # longer than the page waits for events
            message(page, "no_video.mp4: ")
            assert page.locator("#timeline canvas").bounding_box()["y"] == top  # an error moves nothing
            picture(page, "app-error")
            page.context.clear_cookies()
            page.goto(address.partition("?")[0])
            assert "whole address" in page.locator("[role=alert]").text_content()
