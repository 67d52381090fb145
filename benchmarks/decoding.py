"""Decoding with a switching price, and the gamma curve of a calibration: all gammas in one pass beside one by one."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from fact_clip.config import Config
from fact_clip.core import Vocabulary
from fact_clip.decoding import (
    Calibration,
    CandidateSet,
    Scores,
    Voters,
    decode_scores,
    decode_switching,
)
from fact_clip.inference.scorer import Scorer
from fact_clip.metrics import curve_of_predictions
from fact_clip.run import LoadedRun
from fact_clip.training.zero_shot import GAMMAS, Scored, curve_of

TARGET = 0.5  # of the time of one by one, at most, where a change of action has a price
RUNS = 5
VIDEOS, FRAMES, CLASSES, UNSEEN = 20, 600, 67, 12  # kscgr, one row of scores a frame
LONG = (10_000, 70)
SEED = 0


def scored(penalty: float) -> tuple[Scored, Calibration, tuple[list[int], list[int], list[int]]]:
    """Made-up voters of a closed vocabulary; labels follow the scores half of the time."""
    rng = np.random.default_rng(SEED)
    vocabulary = Vocabulary.from_names([f"verb{place} noun{place}" for place in range(CLASSES)])
    settings = [f"decode.switch_penalty={penalty}", "decode.frame_weight=0.9"]
    run = SimpleNamespace(config=Config.load("kscgr", settings), vocabulary=vocabulary, fps=None)
    part = Scored.__new__(Scored)
    part.segmenter = Scorer(LoadedRun(run, [torch.nn.Identity()]), "cpu")  # type: ignore[arg-type, list-item]
    part.choice, part.vocabulary, part.column_of = (
        CandidateSet(vocabulary),
        vocabulary,
        np.arange(CLASSES),
    )
    part.scores, part.truth = [], []
    stride = 1 if run.config.data.interleave else run.config.data.stride
    for _ in range(VIDEOS):
        shape = (1, -(-FRAMES // stride), CLASSES)
        frames, tokens = (
            torch.from_numpy(rng.normal(scale=2, size=shape)).float() for _ in range(2)
        )
        voters = Voters(frames.softmax(-1), tokens, torch.ones(shape[:2], dtype=torch.bool))
        part.scores.append(Scores(FRAMES, (voters,), frame_weight=0.9, stride=stride))
        guess = decode_scores(part.scores[-1], part.choice, part.segmenter.settings)[0]
        part.truth.append(
            np.where(rng.random(FRAMES) < 0.5, guess, rng.integers(CLASSES, size=FRAMES))
        )
    seen = tuple(vocabulary.names[UNSEEN:])
    slots = {slot: {"a": 1} for slot in vocabulary.slots}
    return part, Calibration(seen, slots), (list(range(UNSEEN)), [CLASSES - 1], [])


def one_by_one(
    part: Scored, calibration: Calibration, groups: tuple[list[int], list[int], list[int]]
) -> object:
    found = {gamma: part.calibrated(replace(calibration, gamma=gamma)) for gamma in GAMMAS}
    return curve_of_predictions(part.truth, found, *groups)


def step_by_step(scores: np.ndarray, penalty: float) -> np.ndarray:
    """`decode_switching` as textbooks write it, one frame at a time with its back pointers."""
    n_frames, n_classes = scores.shape
    stayed, source = np.ones((n_frames, n_classes), dtype=bool), np.zeros(n_frames, dtype=np.int64)
    total = scores[0].astype(np.float64)
    for frame in range(1, n_frames):
        source[frame] = total.argmax()
        switched = total[source[frame]] - penalty
        stayed[frame] = total >= switched
        total = np.maximum(total, switched) + scores[frame]
    labels = np.empty(n_frames, dtype=np.int64)
    labels[-1] = total.argmax()
    for frame in range(n_frames - 1, 0, -1):
        labels[frame - 1] = labels[frame] if stayed[frame, labels[frame]] else source[frame]
    return labels


def alternating(plain: Callable[[], object], ours: Callable[[], object]) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for call, kept in zip((plain, ours), times, strict=True):
            start = time.perf_counter()
            call()
            kept.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> int:
    missed = False
    print(
        f"medians of {RUNS} alternating runs, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    scores = np.random.default_rng(SEED).normal(scale=3, size=LONG).astype(np.float32)
    for penalty in (0.0, 3.0):
        assert (step_by_step(scores, penalty) == decode_switching(scores, penalty)).all()
        plain, ours = alternating(
            lambda p=penalty: step_by_step(scores, p), lambda p=penalty: decode_switching(scores, p)
        )
        print(
            f"{LONG[0]:,} frames x {LONG[1]}, price {penalty:g}: {1000 * plain:.1f} -> {1000 * ours:.1f} ms"
        )
    for penalty in (0.0, 1.0):
        given = scored(penalty)
        one, all_ = one_by_one(*given), curve_of([given[0]], *given[1:])
        assert (one.seen == all_.seen).all()
        assert (one.unseen == all_.unseen).all()
        plain, ours = alternating(
            lambda g=given: one_by_one(*g), lambda g=given: curve_of([g[0]], *g[1:])
        )
        what = f"curve of {VIDEOS} x {FRAMES} x {CLASSES}, price {penalty:g}"
        print(f"{what}: {plain:.2f} -> {ours:.2f} s, {ours / plain:.2f}")
        missed |= penalty > 0 and ours > TARGET * plain
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
