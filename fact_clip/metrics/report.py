"""All figures at once, by the rules of a named profile; and by class (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fact_clip.core import InputError, library_errors
from fact_clip.core.arguments import number_of, validated, whole_of
from fact_clip.core.plugins import Table
from fact_clip.metrics.frame import (
    Classes,
    FrameCounts,
    Labellings,
    Labels,
    paired,
    percent,
    without_true,
)
from fact_clip.metrics.segmental import (
    OVERLAPS,
    SegmentCounts,
    count_segments,
    edit_of,
    f1_exact,
    f1_smoothed,
    segments,
)
from fact_clip.metrics.zero_shot import class_groups, frame_figures, segment_figures


@dataclass(frozen=True)
class Profile:
    """Where the field's scripts differ."""

    foreground: bool = True  # report `frame_accuracy_foreground`
    last_ends_early: bool = (
        False  # the last segment of a video stops one frame early, see `segments`
    )
    drop_background_frames: bool = (
        False  # frames of true background are cut out of both labellings first
    )
    # F1 (exact) is not pooled, but the mean over the videos that have a segment on either side
    f1_per_video: bool = False


PROFILES: dict[str, Profile] = {
    "fact": Profile(),
    "mstcn": Profile(foreground=False),
    "mstcn-legacy": Profile(foreground=False, last_ends_early=True),
    "ltcontext": Profile(drop_background_frames=True, f1_per_video=True),
}


def _rules(profile: str) -> Profile:
    if profile not in PROFILES:
        raise InputError(
            "profile", f"no profile {profile!r}", f"choose one of {', '.join(PROFILES)}"
        )
    return PROFILES[profile]


def figure_keys(profile: str = "fact") -> tuple[str, ...]:
    """Return the keys of the figures that `evaluate` gives for a profile, without those of seen and unseen classes."""
    foreground = ("frame_accuracy_foreground",) if _rules(profile).foreground else ()
    return ("frame_accuracy", *foreground, "edit", *(f"f1@{overlap}" for overlap in OVERLAPS))


Metric = Callable[[list[Labels], list[Labels]], float | Mapping[str, float]]
"""True and predicted classes (T,) of each video, at the frames that are judged -> a figure, or several by name."""


def _adopt(name: str, part: Any) -> Metric:
    if name in ("profile", *figure_keys(), "harmonic_mean") or name.startswith(
        ("seen_", "unseen_")
    ):
        raise ValueError("the name is that of a built-in figure")
    if not callable(part):
        raise ValueError("not a function of true and predicted labellings")
    return part  # type: ignore[no-any-return]


METRICS: Table[Metric] = Table("fact_clip.metrics", {}, _adopt)
"""Figures of plug-ins, which join those of `evaluate`."""


@validated("ground_truth", "prediction")
def evaluate(
    ground_truth: Labellings,
    prediction: Labellings,
    *,
    background: Classes = (),
    unseen: Classes = (),
    profile: str = "fact",
    stride: int = 1,
    count_background: bool = False,
) -> dict[str, Any]:
    """Score predictions against labels.

    Args:
        ground_truth: class indices (T,) of each video. Negative ones are ignored frames: left out of frame figures,
            and cut out of both labellings for segment figures.
        prediction: class indices (T,) of each video, or (ceil(T / stride),) if a stride is declared.
        background: classes that are left out of the foreground accuracy and of the class means, and removed from
            transcripts and segments.
        unseen: classes that were never trained on; without any, the figures of the two groups are left out.
        profile: whose rules to follow, a key of `PROFILES`.
        stride: temporal stride of the predictions; they are stretched by nearest neighbour.
        count_background: transcripts and segments keep the background, as some benchmarks have it.

    Returns:
        "profile", then figures in percent: frame_accuracy, frame_accuracy_foreground (not in the mstcn profiles),
        edit, f1@10, f1@25, f1@50; with `unseen` also seen_ and unseen_ frame_accuracy, class_mean_accuracy and
        f1@k (pooled and exact in every profile), and harmonic_mean. With nothing to count a figure is 0, never NaN.
        Metrics of plug-ins follow under their names (docs/extending.md).
    """
    rules = _rules(profile)
    held_out, left_out, _ = class_groups(unseen, background)
    videos, removed = (
        paired(ground_truth, prediction, stride),
        frozenset() if count_background else left_out,
    )
    if rules.drop_background_frames:
        videos = without_true(videos, removed)
    frames = FrameCounts.of(videos)
    cut = [
        [segments(labels, removed, rules.last_ends_early) for labels in video] for video in videos
    ]
    counts = {k: [SegmentCounts.of(true, guess, k) for true, guess in cut] for k in OVERLAPS}

    result: dict[str, Any] = {"profile": profile, "frame_accuracy": frames.accuracy()}
    if rules.foreground:
        result["frame_accuracy_foreground"] = frames.without(left_out).accuracy()
    result["edit"] = float(np.mean([edit_of(true, guess) for true, guess in cut]))
    result |= {f"f1@{overlap}": _f1(parts, rules) for overlap, parts in counts.items()}
    if held_out:
        result |= frame_figures(frames, held_out, left_out)
        for overlap, parts in counts.items():
            result |= segment_figures(SegmentCounts.pooled(parts), held_out, overlap)
    for name, metric in METRICS.items():
        where = f"metric {name!r} of {METRICS.package(name)}"
        with library_errors(where, "it fails", Exception, fix="correct or uninstall the package"):
            value = metric([true for true, _ in videos], [guess for _, guess in videos])
        by_key = (
            {f"{name}_{key}": part for key, part in value.items()}
            if isinstance(value, Mapping)
            else {name: value}
        )
        result |= {
            key: number_of(part, where, f"a finite number for {key}")
            for key, part in by_key.items()
        }
    return result


def _f1(parts: Sequence[SegmentCounts], rules: Profile) -> float:
    if not rules.f1_per_video:
        return f1_smoothed(*SegmentCounts.pooled(parts).totals())
    values = [f1_exact(*part.totals()) for part in parts if any(part.totals())]
    return float(np.mean(values)) if values else 0.0


def per_class(
    ground_truth: Labellings, prediction: Labellings, n_classes: int, overlap: float = 50
) -> list[dict[str, Any]]:
    """Figures of each of the C = `n_classes` classes, all videos pooled; errors as in `paired`.

    A row has "class" (its index), "frames" (true ones), "accuracy" (of those, in percent), "segments" (true ones),
    "predicted_segments" and "f1" (exact, in percent, at `overlap` percent). With nothing to count both figures are 0.
    """
    n_classes, videos = (
        whole_of(n_classes, "n_classes", 1, 1_000_000),
        paired(ground_truth, prediction),
    )
    highest = max(
        (int(labels.max()) for video in videos for labels in video if labels.size), default=-1
    )
    if highest >= n_classes:
        raise InputError("labels", f"class {highest} is not below n_classes = {n_classes}")
    frames, counts = FrameCounts.of(videos), count_segments(videos, overlap)
    return [
        {
            "class": label,
            "frames": frames.total[label],
            "accuracy": percent(frames.right[label], frames.total[label]),
            "segments": counts.hits[label] + counts.misses[label],
            "predicted_segments": counts.hits[label] + counts.false_alarms[label],
            "f1": f1_exact(counts.hits[label], counts.false_alarms[label], counts.misses[label]),
        }
        for label in range(n_classes)
    ]


def figure_name(key: str) -> str:
    """What tables call a figure: "f1@10" -> "F1@10", "unseen_frame_accuracy" -> "unseen frame accuracy"."""
    return "AUSUC" if key == "ausuc" else key.replace("f1@", "F1@").replace("_", " ")
