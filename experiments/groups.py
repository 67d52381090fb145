"""Count the answers that label the hidden classes of a data set, stretch by stretch and by groups.

    PYTHONPATH=. OMP_NUM_THREADS=1 python experiments/groups.py ROOT...

A third of the classes has no labels. A simulated person answers until 90 % of the hidden frames have
labels. For each group, the person unchecks the stretches that are not of the most frequent class, or
splits the group if more than a third are of different classes. A stretch is of a class if 90 % of its
frames are. What stays unlabelled is labelled segment by segment, the longest first. The script prints the
answers of each way: groups with splits and single segments, and these with each uncheck as an answer.
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from fact_clip.core import Floats, Integers, runs
from fact_clip.decoding.stretches import Stretch, find_stretches
from fact_clip_app.results import grouping

BACKGROUND = ("background", "no action")
SHARE = 0.9
MOST_UNCHECKED = 0.34
SEEDS = ("third", "0", "1", "2")


@dataclass(frozen=True)
class Video:
    """A video with its features (T, D) and its true classes (T,)."""

    features: Floats
    truth: Integers


@dataclass(frozen=True)
class Answers:
    """The answers that a simulated person gives."""

    questions: int  # groups that are answered or split
    unchecked: int
    single: int  # segments that are labelled one by one
    precision: float

    def line(self, baseline: int) -> str:
        """Return the numbers, and how they compare to labelling stretch by stretch."""
        fewer = self.questions + self.single
        total = fewer + self.unchecked
        return (
            f"{self.questions:4} {self.unchecked:4} {self.single:4}  {fewer / baseline:.2f} "
            f"{total / baseline:.2f}  {100 * self.precision:.1f}"
        )


def read(root: Path) -> tuple[list[str], list[Video]]:
    """Return the class names and the videos of a data set in the common layout."""
    names = [line.split(maxsplit=1)[1] for line in (root / "mapping.txt").read_text().splitlines()]
    videos = []
    for path in sorted((root / "groundTruth").glob("*.txt")):
        truth = np.array([names.index(line.strip()) for line in path.read_text().splitlines()])
        features = np.load(root / "features" / f"{path.stem}.npy").astype(np.float64)
        n_frames = min(len(truth), len(features))
        videos.append(Video(features[:n_frames], truth[:n_frames]))
    return names, videos


def hidden_classes(names: Sequence[str], seed: str) -> list[int]:
    """Return a third of the actions: every third one by name, or a random choice."""
    actions = [index for index, name in enumerate(names) if name not in BACKGROUND]
    if seed == "third":
        return sorted(actions, key=lambda index: names[index])[2::3]
    order = np.random.default_rng(int(seed)).permutation(actions)
    return order[: len(actions) // 3].tolist()


def mean_features(
    videos: Sequence[Video], stretches: Sequence[Stretch], hidden: Sequence[int]
) -> Floats:
    """Return the whitened mean features of stretches, as the page computes them."""
    rows = []
    classes = []
    for video in videos:
        labelled = np.flatnonzero(~np.isin(video.truth, hidden))
        labelled = labelled[np.linspace(0, len(labelled) - 1, min(500, len(labelled))).astype(int)]
        rows.append(video.features[labelled])
        classes.append(video.truth[labelled])
    mean, matrix = grouping.whitening(np.concatenate(rows), np.concatenate(classes))
    means = [videos[one.video].features[one.start : one.stop].mean(0) for one in stretches]
    whitened: Floats = (np.array(means) - mean) @ matrix
    return whitened


def cut(stretches: Sequence[Stretch], videos: Sequence[Video], quantile: float) -> list[Stretch]:
    """Cut stretches where features change more than in that share of the labelled segments."""
    least = 8
    scale = np.concatenate([video.features for video in videos]).std(0) + 1e-6

    def best(rows: Floats) -> tuple[int, float]:
        places = np.arange(least, len(rows) - least + 1)
        if not len(places):
            return 0, 0.0
        sums = np.cumsum(rows / scale, 0)
        left = sums[places - 1] / places[:, None]
        right = (sums[-1] - sums[places - 1]) / (len(rows) - places)[:, None]
        gains = ((left - right) ** 2).sum(1) * places * (len(rows) - places) / len(rows)
        return int(places[gains.argmax()]), float(gains.max())

    spans = {(one.video, one.start) for one in stretches}
    gains = []
    for index, video in enumerate(videos):
        for start, stop, _ in runs(video.truth):
            if (index, start) not in spans and stop - start >= 2 * least:
                gains.append(best(video.features[start:stop])[1])
    threshold = np.quantile(gains, quantile)
    pieces = []
    waiting = [*stretches]
    while waiting:
        stretch = waiting.pop()
        place, gain = best(videos[stretch.video].features[stretch.start : stretch.stop])
        if place and gain > threshold:
            waiting.append(replace(stretch, stop=stretch.start + place))
            waiting.append(replace(stretch, start=stretch.start + place))
        else:
            pieces.append(stretch)
    return sorted(pieces, key=lambda one: (one.video, one.start))


def by_ward(places: Floats) -> list[list[list[int]]]:
    """Return groups of the page, each as stretches with the distances that split it."""
    groups = grouping.find_groups(places)
    return [[group.members, group.distances] for group in groups]


def by_linkage(method: str, largest: float) -> object:
    """Return a way of grouping that cannot split."""

    def find(places: Floats) -> list[list[list[int]]]:
        labels = fcluster(linkage(places, method), largest, "distance")
        groups = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
        return [[members, []] for members in groups]

    return find


def by_medoids(n_groups: int) -> object:
    """Return a way of grouping by k-medoids, started from far points."""

    def find(places: Floats) -> list[list[list[int]]]:
        distances = np.linalg.norm(places[:, None] - places, axis=2)
        medoids = [int(distances.sum(1).argmin())]
        while len(medoids) < min(n_groups, len(places)):
            medoids.append(int(distances[:, medoids].min(1).argmax()))
        for _ in range(20):
            nearest = distances[:, medoids].argmin(1)
            members = [np.flatnonzero(nearest == place) for place in range(len(medoids))]
            medoids = [int(one[distances[np.ix_(one, one)].sum(1).argmin()]) for one in members]
        return [[one.tolist(), []] for one in members]

    return find


def simulate(
    videos: Sequence[Video], stretches: Sequence[Stretch], groups: list, hidden: int
) -> Answers:
    """Return the answers that label 90 % of the hidden frames."""
    facts = []  # class, or -1 for several, frames, frames of that class
    for one in stretches:
        counts = np.bincount(videos[one.video].truth[one.start : one.stop])
        best = int(counts.argmax())
        n_frames = one.stop - one.start
        facts.append(
            (best if counts[best] >= SHARE * n_frames else -1, n_frames, int(counts[best]))
        )
    queue: list = []
    for members, distances in groups:
        heapq.heappush(
            queue, (-sum(facts[one][1] for one in members), len(queue), members, distances)
        )
    number = len(queue)
    questions = unchecked = single = named = right = 0
    rest = set(range(len(stretches)))
    while queue and named < SHARE * hidden:
        _, _, members, distances = heapq.heappop(queue)
        counts = Counter(facts[one][0] for one in members if facts[one][0] >= 0)
        if not counts:
            questions += len(members) > 1  # looked at and left; single ones are labelled below
            continue
        label, n_right = counts.most_common(1)[0]
        n_others = counts.total() - n_right  # of a different class; the rest holds several actions
        questions += 1
        if n_others > max(1, MOST_UNCHECKED * counts.total()) and distances:
            place = int(np.argmax(distances))
            for part in (slice(0, place), slice(place, None)):
                half = [members[part], [0.0, *distances[part][1:]]]
                size = sum(facts[one][1] for one in half[0])
                number += 1
                heapq.heappush(queue, (-size, number, *half))
            continue
        unchecked += min(len(members) - n_right, 1 + n_right)  # or "Check none", and check those
        for one in members:
            if facts[one][0] == label:
                named += facts[one][1]
                right += facts[one][2]
                rest.discard(one)
    lengths = []
    for one in rest:
        stretch = stretches[one]
        truth = videos[stretch.video].truth[stretch.start : stretch.stop]
        lengths += [stop - start for start, stop, _ in runs(truth)]
    for length in sorted(lengths, reverse=True):
        if named >= SHARE * hidden:
            break
        single += 1
        named += length
        right += length
    return Answers(questions, unchecked, single, right / named)


def main() -> int:
    """Print the answers of each way on each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("root", nargs="+", type=Path)
    for root in parser.parse_args().root:
        names, videos = read(root)
        background = [index for index, name in enumerate(names) if name in BACKGROUND]
        for seed in SEEDS:
            hidden = hidden_classes(names, seed)
            whole = []
            for index, video in enumerate(videos):
                labels = np.where(np.isin(video.truth, hidden), -1, video.truth)
                whole += find_stretches(labels, background, index)
            n_hidden = sum(one.stop - one.start for one in whole)
            lengths = [
                stop - start
                for one in whole
                for start, stop, _ in runs(videos[one.video].truth[one.start : one.stop])
            ]
            reached = np.cumsum(sorted(lengths, reverse=True)) >= SHARE * n_hidden
            baseline = int(reached.argmax()) + 1
            print(f"{root.name}, {seed}: {len(whole)} stretches, one by one {baseline} answers")
            pieces = cut(whole, videos, 0.95)
            full = grouping.coordinates(whole, mean_features(videos, whole, hidden))
            ways = {
                "page": (whole, by_ward(full)),
                "neighbours and lengths only": (whole, by_ward(grouping.coordinates(whole))),
                "neighbours only": (
                    whole,
                    by_linkage("single", 0.1)(grouping.coordinates(whole)[:, :-1]),
                ),
                "small groups (complete, 1)": (whole, by_linkage("complete", 1.0)(full)),
                "average, 1": (whole, by_linkage("average", 1.0)(full)),
                "k-medoids, twice the classes": (whole, by_medoids(2 * len(hidden))(full)),
                "page, cut at changes": (
                    pieces,
                    by_ward(grouping.coordinates(pieces, mean_features(videos, pieces, hidden))),
                ),
            }
            for title, (stretches, groups) in ways.items():
                print(
                    f"  {title:30} {simulate(videos, stretches, groups, n_hidden).line(baseline)}"
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
