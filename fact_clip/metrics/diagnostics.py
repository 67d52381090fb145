"""Diagnostics of errors on unseen classes (docs/metrics.md, 'Diagnostics').

All figures are in percent, and None if nothing can be counted.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fact_clip.core import Flags, Floats, InputError, Integers, frame_labels
from fact_clip.core.arguments import array_of, table_of
from fact_clip.metrics.frame import Classes, Labellings, class_set, paired, percent
from fact_clip.metrics.zero_shot import class_groups


def auroc(positive: ArrayLike, negative: ArrayLike) -> float | None:
    """Compute the area under the ROC curve: how often a positive value is above a negative one.

    Args:
        positive: Values of any shape.
        negative: Values of any shape.

    Returns:
        The share in percent, in which an equal pair counts half, or None if either is empty.
    """
    high = _comparable(positive)
    low = np.sort(_comparable(negative))
    if not high.size or not low.size:
        return None
    below = np.searchsorted(low, high, "left")
    up_to = np.searchsorted(low, high, "right")
    return 100 * float((below + up_to).mean()) / (2 * low.size)


def _comparable(values: ArrayLike) -> Floats:
    array = array_of(values, "values", "numbers").ravel()
    if np.isnan(array).any():
        raise InputError("values", "NaN is not a number to compare")
    return array


def seen_unseen_auroc(
    ground_truth: Labellings,
    scores: Sequence[ArrayLike],
    unseen: Classes,
    background: Classes = (),
    also_unseen: Classes = (),
) -> float | None:
    """Compute the AUROC of frames of unseen classes against frames of seen classes.

    Args:
        ground_truth: Class indices (T,) of each video. Negative ones are ignored frames.
        scores: Scores (T, C) of each video before the softmax. -inf excludes a class.
        unseen: Unseen classes, as in `curve_of_counts`.
        background: Background classes, as in `curve_of_counts`.
        also_unseen: Other untrained classes, as in `curve_of_counts`.

    Returns:
        The AUROC in percent, by the margin of the best seen class over the best unseen class.
    """
    groups = class_groups(unseen, background, also_unseen)
    n_videos = len(ground_truth)
    if n_videos == 0 or n_videos != len(scores):
        raise InputError("scores", f"{len(scores)} videos, but the ground truth has {n_videos}")
    labels: list[Integers] = []
    tables: list[Floats] = []
    width: int | str = "C"
    for index in range(n_videos):
        true = frame_labels(ground_truth[index], f"ground truth of video {index}")
        where = f"scores of video {index}"
        values = table_of(scores[index], where, (true.size, width), finite=False)
        width = values.shape[1]
        labels.append(true[true >= 0])
        tables.append(values[true >= 0].astype(np.float64))

    true = np.concatenate(labels)  # (n,)
    table = np.concatenate(tables)  # (n, C)
    n_classes = table.shape[1]
    if np.isnan(table).any() or np.isposinf(table).any():
        raise InputError("scores", "NaN or inf; only -inf is allowed, which excludes a class")
    for label in groups.all | set(true.tolist()):
        if label >= n_classes:
            raise InputError("scores", f"{n_classes} columns, none for class {label}")

    is_untrained = np.isin(np.arange(n_classes), sorted(groups.unseen | groups.also_unseen))
    margin = _best(table, is_untrained, "unseen") - _best(table, ~is_untrained, "seen")  # (n,)
    is_unseen = np.isin(true, sorted(groups.unseen))
    is_seen = ~np.isin(true, sorted(groups.all))
    return auroc(margin[is_unseen], margin[is_seen])


def _best(table: Floats, is_member: Flags, group: str) -> Floats:
    """Return the score of the best class of a group in each frame, (n,)."""
    if not is_member.any():
        raise InputError("classes", f"none is {group}")
    best: Floats = table[:, is_member].max(axis=1)
    if np.isneginf(best).any():
        raise InputError("scores", f"all {group} classes of a frame are excluded")
    return best


def share_called_seen(
    ground_truth: Labellings, prediction: Labellings, unseen: Classes, seen: Classes
) -> float | None:
    """Compute the share of wrong frames of unseen classes that are labelled as a seen class.

    Args:
        ground_truth: True labels; see `paired`.
        prediction: Predicted labels; see `paired`.
        unseen: Indices of the unseen classes.
        seen: Indices of the seen classes, including background.

    Returns:
        The share in percent, or None if no frame of an unseen class is wrong.
    """
    unseen_classes = sorted(class_set("unseen", unseen))
    seen_classes = sorted(class_set("seen", seen))
    n_wrong = 0
    n_called_seen = 0
    for true, predicted in paired(ground_truth, prediction):
        is_wrong = np.isin(true, unseen_classes) & (true != predicted)
        n_wrong += int(is_wrong.sum())
        n_called_seen += int(np.isin(predicted[is_wrong], seen_classes).sum())
    return percent(n_called_seen, n_wrong) if n_wrong else None
