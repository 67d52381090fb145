"""Laws of all formats: what was written is read with the same label in each frame, and loses nothing in silence."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from fact_clip.core import Clock, Instant, Segment, Segmentation
from fact_clip.formats import FORMATS, READERS, load, save
from fact_clip.formats.base import Options, TiersError
from fact_clip.formats.gaps import to_frames

from ..refusals import refused

STIR = (Segment(0, 2, "idle"), Segment(2, 5, "stir"), Segment(5, 6, "idle"), Segment(6, 9, "pour"))
VIDEOS = {
    "gaps": (*STIR, Segment(9, 20, "idle")),
    "no gaps": (Segment(0, 5, "stir"), Segment(5, 20, "pour")),
    "background alone": (Segment(0, 20, "idle"),),
    "a rejected segment": (*STIR, Segment(9, 10, "none of these"), Segment(10, 20, "idle")),
}
ONE_BACKGROUND = ("gaps", "no gaps", "background alone")
READ_BACK = [name for name, form in FORMATS.items() if form.read]
ANNOTATED = [name for name, form in FORMATS.items() if form.annotations and not form.read and form.is_installed]
NO_BACKGROUND = ("vtt", "srt", "binary.csv")  # files that do not name it
MOMENTS = (Instant(3, "tap"), Instant(6, "call"), Instant(6, "ring", "loud"), Instant(14, "beep"))


def video(kind: str, **values) -> Segmentation:
    return Segmentation(VIDEOS[kind], 10.0, media="v.mp4", background=("idle", "none of these"), **values)


@pytest.mark.parametrize("kind", VIDEOS)
@pytest.mark.parametrize("name", READ_BACK)
def test_what_is_loaded_has_the_frames_that_were_saved(name, kind, tmp_path):
    original = video(kind)
    assert load(save(original, tmp_path / f"v{FORMATS[name].ending}")).to_frames() == original.to_frames()


@pytest.mark.parametrize("kind", ONE_BACKGROUND)
@pytest.mark.parametrize("name", ANNOTATED)
def test_what_is_converted_has_the_frames_that_were_saved(name, kind, tmp_path):
    if kind == "background alone" and name not in ("eaf",):
        pytest.skip("a file without segments is not read")
    original = video(kind)
    path = save(original, tmp_path / f"v{FORMATS[name].ending}")
    (annotation,) = READERS[name](path, Options())
    background = "idle" if name in NO_BACKGROUND else None
    assert to_frames(annotation, Clock(20, 10.0), background).labels == original.to_frames()


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.is_installed])
def test_point_events_have_a_place_or_are_counted(name, tmp_path, caplog):
    original = video("gaps", instants=MOMENTS)
    path = save(original, tmp_path / f"v{FORMATS[name].ending}")
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    if name in ("csv", "json"):
        loaded = load(path)
        assert (loaded.instants, warnings) == (MOMENTS, [])
        assert loaded.to_frames() == original.to_frames()
    elif name.startswith("boris"):
        labels = path.read_text()
        assert all(moment.label in labels for moment in MOMENTS)
        assert warnings == []
    elif name == "eaf":
        with pytest.raises(TiersError) as error:
            READERS[name](path, Options(tier="none"))
        assert error.value.tiers == ("action",)
        (annotation,) = READERS[name](path, Options(instants=True))
        points = [(span.start, span.label) for span in annotation.spans if span.start == span.stop]
        assert points == [(0.3, "tap"), (0.6, "call"), (1.4, "beep")]
        assert " 1 point events" in warnings[0]  # "ring", in the frame of "call"
        (points_tier,) = READERS[name](path, Options(tier="action points"))
        assert len(points_tier.spans) == 3
    else:
        assert " 3 point events" in warnings[0]


def test_points_beyond_the_video_are_refused():
    with refused("instant 'late'"):
        video("gaps", instants=(Instant(21, "late"),))


def observation(**values) -> dict:
    events = [[1, "", "stir", ""], [2, "", "stir", ""]]
    media = {"length": {"a.mp4": 60, "b.mp4": 60}, "offset": {"1": 0.0}}
    return {"events": events, "file": {"1": ["a.mp4", "b.mp4"]}, "media_info": {**media, **values}}


def test_files_of_a_queue_follow_each_other(tmp_path):
    path = tmp_path / "p.boris"
    for values, end in (({}, 120), ({"length": {"a.mp4": 60}}, None)):
        path.write_text(json.dumps({"observations": {"o": observation(**values)}}))
        (annotation,) = READERS["boris"](path, Options())
        assert annotation.end == end
    path.write_text(json.dumps({"observations": {"o": observation(offset={"1": 2.0})}}))
    with refused("p.boris"):
        READERS["boris"](path, Options())
    rows = ["o\ta.mp4\tstir\t1\tSTART", "o\tb.mp4\tstir\t70\tSTOP"]
    header = "Observation id\tMedia file name\tBehavior\tTime\tBehavior type"
    (tmp_path / "t.tsv").write_text("\n".join([header, *rows]))
    with refused("t.tsv:3"):
        READERS["boris"](tmp_path / "t.tsv", Options())


def test_endless_numbers_are_refused(tmp_path):
    path = save(video("gaps"), tmp_path / "v.label-studio.json")
    path.write_text(path.read_text().replace('"end": 5', f'"end": {10**400}'))
    with refused("v.label-studio.json"):
        READERS["label-studio"](path, Options())


@pytest.mark.parametrize(
    "order", [("no action", "none of these"), ("none of these", "no action"), ("cut", "no action")]
)
def test_two_background_names_come_back_from_csv(order, tmp_path):
    """Whichever of them is left out, is first, is last, or is all there is."""
    found = Segmentation.from_frames([order[0]] * 4 + [order[1]] * 6, 2.0)
    found = replace(found, background=("no action", "none of these"))
    path = found.save(tmp_path / "a.csv")
    again = Segmentation.load(path)
    assert again.to_frames() == found.to_frames()
    assert {*again.background} == {*order} & {*found.background} | {"no action"}
    (annotation,) = FORMATS["csv"].annotations(path, Options(unit="seconds"))
    assert annotation.background == "no action"
    assert annotation.further_background == (("none of these",) if "none of these" in order else ())
