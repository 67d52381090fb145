"""Loss and matching of docs/method.md word by word, a video, frame and pair at a time; shares nothing with fact_clip.

A video is a dict: "labels" (T), "blocks" (dicts of score lists, see `block_terms`), and what a whole video has.
"""

from __future__ import annotations

import math
from itertools import groupby, permutations, product

Row = list[float]
Table = list[Row]


def log_softmax(row: Row) -> Row:
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


def true_segments(labels: list[int]) -> list[tuple[int, list[int]]]:
    """(class, its frames) a segment; ignored runs are none."""
    groups = groupby(enumerate(labels), key=lambda pair: pair[1])
    return [(label, [t for t, _ in group]) for label, group in groups if label >= 0]


def costs(video: dict, config) -> Table:
    """(M, S); the cost of a pair."""
    last, known = video["blocks"][-1], [t for t, y in enumerate(video["labels"]) if y >= 0]
    table = []
    for m, scores in enumerate(last["token"]):
        p = [math.exp(value) for value in (scores if video["log"] else log_softmax(scores))]
        row = []
        for label, frames in true_segments(video["labels"]):
            overlap = 0.0
            if last["attention"]:
                a = last["attention"]
                shared = sum(a[t][m] for t in frames)
                overlap = shared / (sum(a[t][m] for t in known) + len(frames) - shared)
            row.append(-(config.class_cost * p[label] + config.overlap_cost * overlap))
        table.append(row)
    return table


def cheapest(cost: Table, columns: int) -> set[tuple[int, int]]:
    """The assignment of rows to columns of least cost, by trying them all."""
    rows = range(len(cost))
    if columns >= len(cost):
        ways = [set(zip(rows, chosen, strict=True)) for chosen in permutations(range(columns), len(cost))]
    else:
        ways = [set(zip(chosen, range(columns), strict=True)) for chosen in permutations(rows, columns)]
    return min(ways, key=lambda way: sum(cost[m][s] for m, s in way))


def pairs_of(kind: str, cost: Table, classes: list[int]) -> set[tuple[int, int]]:
    """The (token, segment) pairs."""
    if not classes:
        return set()
    if kind == "seq":
        return {(i, i) for i in range(min(len(cost), len(classes)))}
    if kind == "o2o":
        return cheapest(cost, len(classes))
    present = sorted(set(classes))
    summed = [[sum(row[s] for s, c in enumerate(classes) if c == label) for label in present] for row in cost]
    owner = {m: present[row.index(min(row))] for m, row in enumerate(summed)}
    owner |= {m: present[k] for m, k in cheapest(summed, len(present))}
    pairs = set()
    for s, label in enumerate(classes):
        own = [m for m in owner if owner[m] == label]
        if own:
            pairs.add((min(own, key=lambda m: cost[m][s]), s))
    return pairs


def smoothness(table: Table, labels: list[int]) -> float:
    """Mean over labelled neighbours and columns of the squared change, at most 16 each."""
    steps = [t for t in range(len(labels) - 1) if labels[t] >= 0 and labels[t + 1] >= 0]
    changes = [min((b - a) ** 2, 16) for t in steps for a, b in zip(table[t], table[t + 1], strict=True)]
    return sum(changes) / len(changes) if changes else 0.0


def block_terms(block: dict, video: dict, config, pairs: set, weights: Row, frame_weights: Row) -> dict[str, float]:
    """The five terms. `weights` are those of the classes and, last, of null.

    A block has "frame" (T, C) and "token" (M, C+1) scores; with predicted segments "unit" (T), the segment of each
    frame, and "segment" (S, C); with attention "a2f" (N, M) and "f2a" (M, N).
    """
    labels, logs = video["labels"], (list if video["log"] else log_softmax)
    known, segments = [t for t, y in enumerate(labels) if y >= 0], true_segments(labels)
    frame = [logs(row) for row in block["frame"]]
    terms = dict.fromkeys(("frame", "token", "f2a", "a2f", "smooth"), 0.0)
    if not known:
        return terms
    terms["frame"] = sum(weights[labels[t]] * frame_weights[t] * -frame[t][labels[t]] for t in known) / len(known)
    unit = block["unit"] or list(range(len(labels)))
    inside = {n: [t for t in known if unit[t] == n] for n in unit}
    inside = {n: frames for n, frames in inside.items() if frames}
    if block["unit"]:
        total = 0.0
        for n, frames in inside.items():
            row = logs(block["segment"][n])
            total += sum(weights[labels[t]] / len(frames) * -row[labels[t]] for t in frames)
        terms["frame"] = (terms["frame"] + total / len(inside)) / 2
    target = [next((segments[s][0] for m, s in pairs if m == token), -1) for token in range(len(block["token"]))]
    listed = [weights[z] * -logs(row)[z] for z, row in zip(target, block["token"], strict=True)]
    terms["token"] = sum(listed) / (len(listed) if video["log"] else sum(weights[z] for z in target))
    if block["a2f"]:
        to_unit = {
            m: dict(zip(inside, log_softmax([row[n] for n in inside]), strict=True))
            for m, row in enumerate(block["f2a"])
        }
        for n, (m, s) in product(inside, pairs):
            label, frames = segments[s]
            share = weights[label] * len(set(frames) & set(inside[n])) / len(inside[n]) / len(inside)
            terms["f2a"] -= share * to_unit[m][n]
            columns = log_softmax([block["a2f"][n][other] for other, _ in pairs])
            terms["a2f"] -= share * columns[[other for other, _ in pairs].index(m)]
    maps = [frame]
    if block["a2f"] and not block["unit"]:
        maps += [[log_softmax(row) for row in table] for table in (block["a2f"], zip(*block["f2a"], strict=True))]
    terms["smooth"] = config.smoothing * sum(smoothness(table, labels) for table in maps)
    if video["log"]:
        terms["frame"], terms["token"] = terms["frame"] / 2, terms["token"] / 2
    return terms


def contrastive(table: Table, labels: list[int], seen: list[int]) -> float:
    """InfoNCE over the seen classes: half of frames to texts, half of texts to frames; absent classes count as 0."""
    used = [t for t, y in enumerate(labels) if y in seen]
    if not used:
        return 0.0
    to_text = [-log_softmax([table[t][c] for c in seen])[seen.index(labels[t])] for t in used]
    to_video = []
    for c in seen:
        over_time = log_softmax([table[t][c] for t in used])
        own = [-value for t, value in zip(used, over_time, strict=True) if labels[t] == c]
        to_video.append(sum(own) / len(own) if own else 0.0)
    return (sum(to_text) / len(to_text) + sum(to_video) / len(seen)) / 2
