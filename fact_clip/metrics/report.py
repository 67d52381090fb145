"""All figures by the rules of a named profile, and figures by class (docs/metrics.md)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fact_clip.core import InputError, Json, Names, library_errors
from fact_clip.core.arguments import number_of, validated, whole_of
from fact_clip.core.plugins import Table
from fact_clip.metrics.frame import (
    Classes,
    FrameCounts,
    Labellings,
    Labels,
    Video,
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
    """Rules in which published scripts differ."""

    foreground: bool = True  # report `frame_accuracy_foreground`
    last_ends_early: bool = False  # the last segment ends one frame early, see `segments`
    drop_background_frames: bool = False  # remove frames of true background from both labellings
    f1_per_video: bool = False  # exact F1, averaged over videos with a true or predicted segment


PROFILES: dict[str, Profile] = {
    "fact": Profile(),
    "mstcn": Profile(foreground=False),
    "mstcn-legacy": Profile(foreground=False, last_ends_early=True),
    "ltcontext": Profile(drop_background_frames=True, f1_per_video=True),
}


def _rules(profile: str) -> Profile:
    if profile not in PROFILES:
        fix = f"choose one of {', '.join(PROFILES)}"
        raise InputError("profile", f"no profile {profile!r}", fix)
    return PROFILES[profile]


def figure_keys(profile: str = "fact") -> Names:
    """Return the keys of the figures of `evaluate`, except the keys for seen and unseen classes.

    Args:
        profile: Key of `PROFILES`.

    Returns:
        The keys in order.
    """
    keys = ["frame_accuracy"]
    if _rules(profile).foreground:
        keys.append("frame_accuracy_foreground")
    return (*keys, "edit", *(f"f1@{overlap}" for overlap in OVERLAPS))


Metric = Callable[[list[Labels], list[Labels]], float | Mapping[str, float]]
"""A function from true and predicted classes (T,) of each video, without ignored frames, to one or
more figures."""


_RESERVED = {"profile", "score", "harmonic_mean", "auroc", "called_seen"}
_RESERVED |= {"S", "U", "H", "H*", "AUSUC", "gamma"}
"""Names of figures in addition to those of `evaluate`, as `training.sweep` lists them."""
_RESERVED_STARTS = ("seen_", "unseen_", "unseen ")


def _adopt(name: str, part: Any) -> Metric:
    if name in _RESERVED.union(figure_keys()) or name.startswith(_RESERVED_STARTS):
        raise ValueError("the name is reserved for a built-in figure")
    if not callable(part):
        raise ValueError("not a function of true and predicted labellings")
    return part  # type: ignore[no-any-return]


METRICS: Table[Metric] = Table("fact_clip.metrics", {}, _adopt)
"""Registered metrics of this process, which `evaluate` also computes."""


@validated("ground_truth", "prediction")
def evaluate(
    ground_truth: Labellings,
    prediction: Labellings,
    *,
    background: Classes = (),
    unseen: Classes = (),
    also_unseen: Classes = (),
    profile: str = "fact",
    stride: int = 1,
    count_background: bool = False,
) -> dict[str, float]:
    """Score predictions against labels.

    Args:
        ground_truth: Class indices (T,) of each video. Negative ones are ignored frames, which are
            removed from both labellings.
        prediction: Class indices (T,) of each video, or (ceil(T / stride),) with a stride.
        background: Classes that do not count in the foreground accuracy and in class means, and
            are removed from transcripts and segments.
        unseen: Classes without training frames whose figures are reported. Without them, figures
            by group are omitted.
        also_unseen: Other classes without training frames, which are in neither group.
        profile: Rules to follow, a key of `PROFILES`.
        stride: Temporal stride of the predictions, which are stretched by nearest neighbour.
        count_background: Whether transcripts and segments include the background, as in some
            benchmarks.

    Returns:
        Figures in percent: frame_accuracy, frame_accuracy_foreground (not in the mstcn profiles),
        edit, f1@10, f1@25 and f1@50. With `unseen`, also frame_accuracy, class_mean_accuracy and
        f1@k with the prefixes seen_ and unseen_ (pooled and exact in every profile), and
        harmonic_mean. If nothing can be counted, a figure is 0, never NaN. Metrics of plug-ins
        follow under their names (docs/extending.md).
    """
    rules = _rules(profile)
    groups = class_groups(unseen, background, also_unseen)
    removed = frozenset[int]() if count_background else groups.background
    videos = paired(ground_truth, prediction, stride)
    has_labels = [true.size > 0 for true, _ in videos]  # unlabelled videos have no edit score
    if rules.drop_background_frames:
        videos = without_true(videos, groups.background)

    frames = FrameCounts.of(videos)
    segment_pairs = []
    for true, guess in videos:
        true_segments = segments(true, removed, rules.last_ends_early)
        guessed_segments = segments(guess, removed, rules.last_ends_early)
        segment_pairs.append((true_segments, guessed_segments))

    result = {"frame_accuracy": frames.accuracy()}
    if rules.foreground:
        result["frame_accuracy_foreground"] = frames.without(groups.background).accuracy()
    edits = [edit_of(*pair) for pair, has in zip(segment_pairs, has_labels, strict=True) if has]
    result["edit"] = float(np.mean(edits)) if edits else 0.0
    by_group = frame_figures(frames, groups)
    for overlap in OVERLAPS:
        counts = [SegmentCounts.of(true, guess, overlap) for true, guess in segment_pairs]
        pooled = SegmentCounts.pooled(counts)
        figure = f1_smoothed(*pooled.totals())
        if rules.f1_per_video:
            # Average over the videos with a true or predicted segment.
            values = [f1_exact(*part.totals()) for part in counts if any(part.totals())]
            figure = float(np.mean(values)) if values else 0.0
        result[f"f1@{overlap}"] = figure
        by_group |= segment_figures(pooled, groups, overlap)
    if groups.unseen:
        result |= by_group
    return result | _registered_figures(videos)


def _registered_figures(videos: Sequence[Video]) -> dict[str, float]:
    """Compute registered metrics: one figure under their name, or several as name_key."""
    figures = {}
    for name, metric in METRICS.items():
        where = f"metric {name!r}"
        with library_errors(where, "it fails", Exception, fix="correct or remove it"):
            value = metric([true for true, _ in videos], [guess for _, guess in videos])
        if isinstance(value, Mapping):
            values = {f"{name}_{key}": part for key, part in value.items()}
        else:
            values = {name: value}
        for key, figure in values.items():
            figures[key] = number_of(figure, where, f"a finite number for {key}")
    return figures


def per_class(ground_truth: Labellings, prediction: Labellings, n_classes: int) -> list[Json]:
    """Score each class, pooled over all videos.

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        n_classes: Number of classes, C.

    Returns:
        A row for each class: "class" (its index), "frames" (true ones), "accuracy" (percent of
        these), "segments" (true ones), "predicted_segments" and "f1" (exact, at an IoU of 50 %, in
        percent). If nothing can be counted, both figures are 0.
    """
    n_classes = whole_of(n_classes, "n_classes", 1, 1_000_000)
    videos = paired(ground_truth, prediction)
    highest = -1
    for true, guess in videos:
        if true.size:
            highest = max(highest, int(true.max()), int(guess.max()))
    if highest >= n_classes:
        raise InputError("labels", f"class {highest} is not below n_classes = {n_classes}")

    frames = FrameCounts.of(videos)
    counts = count_segments(videos, 50)
    rows = []
    for label in range(n_classes):
        hits = counts.hits[label]
        false_alarms = counts.false_alarms[label]
        misses = counts.misses[label]
        rows.append(
            {
                "class": label,
                "frames": frames.total[label],
                "accuracy": percent(frames.right[label], frames.total[label]),
                "segments": hits + misses,
                "predicted_segments": hits + false_alarms,
                "f1": f1_exact(hits, false_alarms, misses),
            }
        )
    return rows


def figure_name(key: str) -> str:
    """Return the name of a figure in tables.

    Args:
        key: Key such as "f1@10" or "unseen_frame_accuracy".

    Returns:
        The name, such as "F1@10" or "unseen frame accuracy".
    """
    return "AUSUC" if key == "ausuc" else key.replace("f1@", "F1@").replace("_", " ")
