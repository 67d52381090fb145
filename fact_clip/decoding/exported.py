"""The labels of a video from the outputs of an exported model (docs/streaming.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fact_clip.config.rows import frames_per_row
from fact_clip.core import InputError, Integers, Json, Reals, Vocabulary
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.durations import Durations
from fact_clip.decoding.fusion import FACTOR_FRAMES, Voters, with_factors
from fact_clip.decoding.scores import (
    CandidateSet,
    ModelScores,
    Scoring,
    decode_scores,
)
from fact_clip.decoding.segment_costs import SegmentCosts
from fact_clip.decoding.switching import StateCosts


def decode_exported(outputs: Sequence[Reals], facts: Json, n_frames: int | None = None) -> Integers:
    """Decode the outputs of an exported model in the same way as `Segmenter.segment`.

    Args:
        outputs: Arrays frames (K, T', C) of K models and, if the models have tokens, tokens (K, T',
            C) and has_token (K, T'). With ``facts["interleave"]``, there is one such group for the
            pass from each start.
        facts: Metadata of the file.
        n_frames: Number of feature rows of the video, T. You can leave it out if each output row
            stands for one feature row.

    Returns:
        Indices (T,) of ``facts["names"]``.

    Raises:
        InputError: Outputs of a pass are missing, or do not fit the number of frames.
    """
    tensors = [torch.from_numpy(np.asarray(output)) for output in outputs]
    n_passes = facts["stride"] if facts["interleave"] else 1
    stride = frames_per_row(facts["stride"], facts["interleave"])
    n_parts = len(tensors) // n_passes
    if len(tensors) not in (n_passes, 3 * n_passes):
        problem = f"{len(tensors)} arrays, but {n_passes} passes are needed"
        raise InputError("outputs", problem, "run the model from each start")
    vocabulary = Vocabulary.from_names(
        facts["names"],
        facts["background"],
        dict(zip(facts["names"], map(tuple, facts["factors"]), strict=True)),
        tuple(facts["slots"]),
    )
    passes = []
    for start in range(0, len(tensors), n_parts):
        frames, *parts = tensors[start : start + n_parts]  # (K, T', C), ...
        tokens, has_token = parts or (None, torch.ones(frames.shape[:2], dtype=torch.bool))
        passes.append(Voters(frames, tokens, has_token))
    together = Voters.interleaved(passes)
    n_rows = together.frames.shape[1]
    if n_frames is None and stride == 1:
        n_frames = n_rows
    if n_frames is None or -(-n_frames // stride) != n_rows:
        problem = f"{n_frames}, but the outputs have {n_rows} rows of {stride} frames"
        raise InputError("n_frames", problem, "give the number of feature rows of the video")
    models = []
    for index in range(len(together.frames)):
        voter = together.unpadded(index, n_rows)
        if facts["factor_weight"]:
            voter = with_factors(voter, vocabulary, facts["factor_weight"], FACTOR_FRAMES / stride)
        models.append(voter)
    scoring = Scoring()
    if facts["offset"] is not None:
        scoring = Scoring(log_prior=-np.array(facts["offset"]))
    candidates = CandidateSet(
        vocabulary=vocabulary,
        scoring=scoring,
        costs=SegmentCosts(_changes(facts), _durations(facts)),
    )
    scores = ModelScores(n_frames, tuple(models), frame_weight=facts["frame_weight"], stride=stride)
    settings = DecodeSettings(switch_penalty=facts["switch_penalty"])
    return decode_scores(scores, candidates, settings)[0]


def _changes(facts: Json) -> StateCosts | None:
    if facts["changes"] is None:
        return None
    return StateCosts(**{key: np.array(value) for key, value in facts["changes"].items()})


def _durations(facts: Json) -> Durations | None:
    law = facts["durations"]
    if law is None:
        return None
    return Durations(np.array(law["mean"]), np.array(law["deviation"]), law["weight"])
