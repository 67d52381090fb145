"""Measure decoding with a switching penalty, and decoding with many gammas at once.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/decoding.py

`decode_switching` is compared with the textbook algorithm, and `decode_gammas` with one call of
`decode_scores` for each gamma. Both sides give equal labels, but for ties.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from fact_clip.core import Vocabulary
from fact_clip.decoding import (
    CandidateSet,
    DecodeSettings,
    ModelScores,
    Voters,
    decode_gammas,
    decode_scores,
    decode_switching,
)
from fact_clip.decoding.scores import Scoring
from fact_clip.evaluation.calibration import GAMMAS

TARGET = 0.5  # of the time of one gamma after the other, at most, with a switching penalty
RUNS = 5
SEED = 0

# A long video for `decode_switching`: frames, classes.
LONG = (10_000, 70)

# Videos for the gammas: those of kscgr, a row of scores for each frame.
VIDEOS = 20
FRAMES = 600
CLASSES = 67
UNSEEN = 12


def made_up_scores() -> list[ModelScores]:
    """Return random voters of some videos."""
    rng = np.random.default_rng(SEED)
    shape = (1, FRAMES, CLASSES)
    videos = []
    for _ in range(VIDEOS):
        frames = torch.from_numpy(rng.normal(scale=2, size=shape)).float()
        tokens = torch.from_numpy(rng.normal(scale=2, size=shape)).float()
        has_token = torch.ones(shape[:2], dtype=torch.bool)
        voters = Voters(frames.softmax(-1), tokens, has_token)
        videos.append(ModelScores(FRAMES, (voters,), frame_weight=0.9))
    return videos


def one_by_one(
    scores: ModelScores, candidates: CandidateSet, settings: DecodeSettings
) -> list[np.ndarray]:
    """Decode a video with each gamma alone."""
    labels = []
    for gamma in GAMMAS:
        labels.append(decode_scores(scores, candidates.with_gamma(gamma), settings)[0])
    return labels


def step_by_step(scores: np.ndarray, penalty: float) -> np.ndarray:
    """Decode scores (T, C) as textbooks write it, one frame after the other with back pointers."""
    n_frames, n_classes = scores.shape
    stayed = np.ones((n_frames, n_classes), dtype=bool)
    source = np.zeros(n_frames, dtype=np.int64)
    total = scores[0].astype(np.float64)
    for frame in range(1, n_frames):
        source[frame] = total.argmax()
        switched = total[source[frame]] - penalty
        stayed[frame] = total >= switched
        total = np.maximum(total, switched) + scores[frame]
    labels = np.empty(n_frames, dtype=np.int64)
    labels[-1] = total.argmax()
    for frame in range(n_frames - 1, 0, -1):
        label = labels[frame]
        labels[frame - 1] = label if stayed[frame, label] else source[frame]
    return labels


def alternate(plain: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    """Return the median seconds of two calls, which take turns."""
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(RUNS):
        for name, call in (("plain", plain), ("ours", ours)):
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return statistics.median(times["plain"]), statistics.median(times["ours"])


def measure_switching(penalty: float) -> None:
    """Print the time of one long video."""
    scores = np.random.default_rng(SEED).normal(scale=3, size=LONG).astype(np.float32)
    assert (step_by_step(scores, penalty) == decode_switching(scores, penalty)).all()
    plain, ours = alternate(
        lambda: step_by_step(scores, penalty), lambda: decode_switching(scores, penalty)
    )
    what = f"{LONG[0]:,} frames x {LONG[1]}, penalty {penalty:g}"
    print(f"{what}: {1000 * plain:.1f} -> {1000 * ours:.1f} ms")


def measure_gammas(penalty: float) -> float:
    """Print the time of all gammas for all videos and return its share of one by one."""
    videos = made_up_scores()
    vocabulary = Vocabulary.from_names([f"action {index}" for index in range(CLASSES)])
    is_seen = np.arange(CLASSES) >= UNSEEN
    candidates = CandidateSet(vocabulary, scoring=Scoring(trained=is_seen))
    settings = DecodeSettings(switch_penalty=penalty)

    def plain() -> list[list[np.ndarray]]:
        return [one_by_one(scores, candidates, settings) for scores in videos]

    def ours() -> list[np.ndarray]:
        return [decode_gammas(scores, candidates, is_seen, GAMMAS, settings) for scores in videos]

    for expected, labels in zip(plain(), ours(), strict=True):
        # A tie may be broken differently, by rounding.
        assert (np.stack(expected) == labels).mean() > 0.9999
    plain_seconds, our_seconds = alternate(plain, ours)
    share = our_seconds / plain_seconds
    what = f"{len(GAMMAS)} gammas, {VIDEOS} x {FRAMES} x {CLASSES}, penalty {penalty:g}"
    print(f"{what}: {plain_seconds:.2f} -> {our_seconds:.2f} s, {share:.2f}")
    return share


def main() -> int:
    """Print the times; return 1 if the target is missed."""
    threads = torch.get_num_threads()
    print(f"medians of {RUNS} runs in turns, {threads} threads, load {os.getloadavg()[0]:.1f}")
    for penalty in (0.0, 3.0):
        measure_switching(penalty)
    measure_gammas(0.0)
    return int(measure_gammas(1.0) > TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
