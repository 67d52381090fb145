"""The definitions of docs/metrics.md word by word, one frame and one set at a time; shares nothing with fact_clip."""

from __future__ import annotations

from functools import cache
from itertools import groupby

EPSILON = 1e-5


@cache
def levenshtein(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, levenshtein(a[1:], b[1:]) + (a[0] != b[0]))


def segments(labels: list[int], background: set[int], legacy: bool) -> list[tuple[int, set[int]]]:
    """(label, its frames) a segment."""
    groups = [
        (label, {frame for frame, _ in group}) for label, group in groupby(enumerate(labels), key=lambda pair: pair[1])
    ]
    if legacy and groups:
        label, frames = groups[-1]
        groups[-1] = (label, frames - {max(frames)})
    return [(label, frames) for label, frames in groups if label not in background]


def match(
    true: list[tuple[int, set[int]]], predicted: list[tuple[int, set[int]]], k: int
) -> tuple[list[int], list[int], list[int]]:
    """Labels of TP, FP and FN."""
    used: list[int] = []
    tp, fp = [], []
    for label, frames in predicted:
        ious = [
            len(frames & other) / len(frames | other) if label == other_label and frames | other else 0.0
            for other_label, other in true
        ]
        best = ious.index(max(ious)) if ious else -1
        if ious and ious[best] >= k / 100 and best not in used:
            used.append(best)
            tp.append(label)
        else:
            fp.append(label)
    return tp, fp, [label for place, (label, _) in enumerate(true) if place not in used]


def smoothed(tp: int, fp: int, fn: int) -> float:
    precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
    return 100 * 2 * precision * recall / (precision + recall + EPSILON)


def exact(tp: int, fp: int, fn: int) -> float:
    return 100 * 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def share(pairs: list[tuple[int, int]]) -> float:
    return 100 * sum(t == p for t, p in pairs) / len(pairs) if pairs else 0.0


def evaluate(
    truth: list[list[int]], guess: list[list[int]], background: set[int], unseen: set[int], profile: str
) -> dict[str, object]:
    videos = [[(t, p) for t, p in zip(*video, strict=True) if t >= 0] for video in zip(truth, guess, strict=True)]
    labelled = videos
    if profile == "ltcontext":
        videos = [[(t, p) for t, p in video if t not in background] for video in videos]
    frames = [pair for video in videos for pair in video]
    result: dict[str, object] = {"frame_accuracy": share(frames)}
    if not profile.startswith("mstcn"):
        result["frame_accuracy_foreground"] = share([pair for pair in frames if pair[0] not in background])
    cut = [
        tuple(segments([pair[side] for pair in video], background, profile == "mstcn-legacy") for side in (0, 1))
        for video in videos
    ]
    edits = []
    for pairs, (true, predicted) in zip(labelled, cut, strict=True):
        if not pairs:
            continue
        a, b = tuple(label for label, _ in true), tuple(label for label, _ in predicted)
        edits.append(100 * (1 - levenshtein(a, b) / max(len(a), len(b))) if a or b else 100.0)
    result["edit"] = mean(edits) if edits else 0.0
    matches = {k: [match(true, predicted, k) for true, predicted in cut] for k in (10, 25, 50)}
    for k, parts in matches.items():
        counts = [(len(tp), len(fp), len(fn)) for tp, fp, fn in parts]
        if profile == "ltcontext":
            result[f"f1@{k}"] = mean([exact(*count) for count in counts if sum(count)])
        else:
            result[f"f1@{k}"] = smoothed(*(sum(column) for column in zip(*counts, strict=True)))
    if unseen:
        result |= zero_shot(frames, matches, background, unseen)
    return result


def zero_shot(
    frames: list[tuple[int, int]],
    matches: dict[int, list[tuple[list[int], list[int], list[int]]]],
    background: set[int],
    unseen: set[int],
) -> dict[str, object]:
    result: dict[str, object] = {}
    means = {}
    for name, belongs in (("seen", False), ("unseen", True)):
        own = [pair for pair in frames if (pair[0] in unseen) is belongs]
        result[f"{name}_frame_accuracy"] = share(own)
        classes = sorted({t for t, _ in own} - background)
        means[name] = mean([share([pair for pair in own if pair[0] == label]) for label in classes])
        result[f"{name}_class_mean_accuracy"] = means[name]
        for k, parts in matches.items():
            counts = [sum((label in unseen) is belongs for part in parts for label in part[side]) for side in range(3)]
            result[f"{name}_f1@{k}"] = exact(*counts)
    total = means["seen"] + means["unseen"]
    result["harmonic_mean"] = 2 * means["seen"] * means["unseen"] / total if total else 0.0
    return result
