"""The page with 200 videos, and with a video of two hours, in a real browser."""

from __future__ import annotations

import pytest

pytest.importorskip("av")
pytest.importorskip("uvicorn")

from .browsing import (
    HOURS,
    SEGMENTS,
    SHOWN,
    entered,
    film,
    labels,
    large_project,
    picture,
    place,
    served_here,
    settled,
    to_panel,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("heard")]


def test_two_hundred_videos_and_two_hours(browser, tmp_path):
    clip = tmp_path / "mouse.mp4"
    film(clip, SHOWN, 9)
    large_project(tmp_path / "aviary", clip)
    with served_here(tmp_path / "aviary") as address, browser.page(1400, 900) as page:
        entered(page, address)
        assert page.locator("#videos li").count() == 200
        assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")

        # a change of the long video: one of 1500 segments is split, and the split is undone
        duration = HOURS * 3600
        page.mouse.click(*place(page, duration / 2 + 2, duration=duration))
        settled(page)
        page.keyboard.press("s")
        settled(page)
        assert len(labels(page)) == SEGMENTS + 1
        page.keyboard.press("Control+z")
        settled(page)
        assert len(labels(page)) == SEGMENTS

        # search and filters
        page.select_option("#video-filter", "unlabelled")
        until(page, "document.querySelectorAll('#videos li').length === 66")
        page.select_option("#video-filter", "complete")
        until(page, "document.querySelectorAll('#videos li').length === 67")
        page.select_option("#video-filter", "by Bernd")
        until(page, "document.querySelectorAll('#videos li').length === 66")
        page.fill("#video-search", "mouse_01")
        until(page, "document.querySelectorAll('#videos li').length === 3")
        page.fill("#video-search", "")
        page.select_option("#video-filter", "")
        page.click("#videos li:nth-child(3) button.link")
        settled(page)
        page.mouse.click(*place(page, 8.0))
        settled(page)
        until(page, "document.querySelector('video').readyState === 4")
        page.mouse.move(5, 5)
        picture(page, "app-200-videos")
        to_panel(page, "results")
        until(page, "document.querySelector('#plot')?.naturalWidth > 100", 60)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
