"""The criterion against a slow version of its definition, with random scores in every kind of model."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fact_clip.config import LossConfig
from fact_clip.losses import Criterion
from fact_clip.losses.criterion import info_nce
from fact_clip.losses.truth import Truth
from fact_clip.models import Classes
from fact_clip.models.output import BlockOutput, Output, Segments

TERMS = ("frame", "token", "f2a", "a2f", "smooth")
LABELS = ([1, 1, 1, 0, 0, 2, 2, -1, 1], [3, 3, -1, -1, 2, 3], [0, 1, 1], [-1, -1, -1, -1])
ONCE = ([*LABELS[0][:-1], 3], [*LABELS[1][:-1], 0], *LABELS[2:])  # no class twice, where class alone decides
FRAMES, TOKENS, COUNT = max(map(len, LABELS)), 4, 4
UNITS = torch.tensor([[0, 0, 1, 1, 2, 2, 2, 3, 3], [0, 1, 1, 2, 2, 2, 0, 0, 0], [0, 0, 1] + [0] * 6, [0] * 9])


def _load_slow() -> ModuleType:
    # tests are no package (import mode importlib), so the neighbour is loaded by its place
    spec = importlib.util.spec_from_file_location("losses_slow", Path(__file__).with_name("slow.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


slow = _load_slow()


def output_of(kinds: str, seed: int, log: bool, script: bool, text: bool) -> Output:
    """Random scores of blocks "i" (no attention), "u" (frames) and "U" (predicted segments); changes beyond 4 occur."""
    generator = torch.Generator().manual_seed(seed)

    def scores(*shape: int) -> torch.Tensor:
        values = 3 * torch.randn(len(LABELS), *shape, generator=generator)
        return values.log_softmax(-1) - 0.1 if log else values

    blocks = []
    for kind in kinds:
        units = int(UNITS.max()) + 1 if kind == "U" else FRAMES
        exists = torch.arange(units) <= UNITS.amax(1, keepdim=True)
        cut = Segments(UNITS, exists, UNITS, UNITS, exists.sum(1)) if kind == "U" else None
        attends = {} if kind == "i" else {
            "a2f_attention": scores(FRAMES, TOKENS).softmax(-1),
            "a2f_attention_logits": scores(units, TOKENS),
            "f2a_attention_logits": scores(TOKENS, units),
        }  # fmt: skip
        blocks.append(
            BlockOutput(
                torch.zeros(()), scores(FRAMES, COUNT), torch.zeros(()), scores(TOKENS, COUNT + 1), cut,
                None if cut is None else scores(units, COUNT), **attends,
            )
        )  # fmt: skip
    mask = torch.tensor([[t < len(own) for t in range(FRAMES)] for own in LABELS])
    real = torch.tensor([[m < (3, 4, 2, 1)[v] if script else True for m in range(TOKENS)] for v in range(len(LABELS))])
    transcript = torch.where(real, 1, -1) if script else None
    return Output(tuple(blocks), mask, real, transcript, 0.5, log, None, scores(FRAMES, COUNT) if text else None)


def video_of(output: Output, v: int) -> dict:
    """One video without its padding, as lists."""
    length, tokens = int(output.mask[v].sum()), int(output.token_mask[v].sum())

    def table(values: torch.Tensor | None, rows: int, columns: int | None = None) -> list | None:
        return None if values is None else values[v, :rows, :columns].double().tolist()

    blocks = []
    for block in output.blocks:
        unit = None if block.segments is None else block.segments.of_frame[v, :length].tolist()
        units = max(unit) + 1 if unit else length
        blocks.append(
            {
                "frame": table(block.frame_logits, length),
                "token": table(block.token_logits, tokens),
                "unit": unit,
                "segment": table(block.segment_logits, units),
                "attention": table(block.a2f_attention, length, tokens),
                "a2f": table(block.a2f_attention_logits, units, tokens),
                "f2a": table(block.f2a_attention_logits, tokens, units),
            }
        )
    return {"blocks": blocks, "log": output.log_probabilities}


CASES = {
    "frames and segments": ("iuU", {}, {}),
    "one to many": ("iUu", {}, {"match": "o2m", "overlap_cost": 0.7}),
    "verb-noun": ("UUu", {"log": True}, {"match": "o2m"}),
    "transcript": ("iuU", {"script": True}, {"match": "seq"}),
    "text": ("iu", {"text": True}, {"fact_weight": 0.3, "contrastive_weight": 0.9}),
    "no attention": ("i", {}, {"class_cost": 2.0}),
    "weights": ("u", {}, {"balance": 0.5, "segment_balance": 0.4, "smoothing": 0.0}),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_is_the_slow_loss(case, seed):
    kinds, kind, values = CASES[case]
    output = output_of(kinds, seed, **{"log": False, "script": False, "text": False, **kind})
    config = LossConfig(**{"null_weight": 0.3, "background_weight": 0.6, **values})
    frames = [50, 40, 10, 7]
    criterion = Criterion(config, Classes(COUNT), [0], unseen=[2], frames=frames)
    truth = ONCE if kinds == "i" else LABELS
    padded = torch.tensor([[*own, *[2] * (FRAMES - len(own))] for own in truth])  # padding must not matter
    found = criterion(output, padded)
    cut = criterion(output, Truth.of(padded.masked_fill(~output.mask, -1)))  # as a loader gives it
    assert (cut.as_dict(), cut.matches) == (found.as_dict(), found.matches)

    weights, total = [0.6, 1.0, 1.0, 1.0, 1.0 if output.transcript is not None else 0.3], []
    if config.balance:  # the three actions weigh 1 in the mean over their 57 frames
        powers = [n**-0.5 for n in frames[1:]]
        weights[1:4] = [57 * power / sum(p * n for p, n in zip(powers, frames[1:], strict=True)) for power in powers]
    expected = [dict.fromkeys(TERMS, 0.0) for _ in kinds]
    for v, labels in enumerate(truth):
        video, segments = {"labels": labels, **video_of(output, v)}, slow.true_segments(labels)
        pairs = slow.pairs_of(config.match, slow.costs(video, config), [label for label, _ in segments])
        assert set(found.matches[v]) == pairs
        of_frames = [1.0] * len(labels)
        if config.segment_balance:
            actions = [(frames, len(frames) ** -0.4) for label, frames in segments if label]
            mean = sum(len(own) * power for own, power in actions) / max(sum(len(own) for own, _ in actions), 1)
            of_frames = [next((p / mean for own, p in actions if t in own), 1.0) for t in range(len(labels))]
        for place, block in enumerate(video["blocks"]):
            for name, value in slow.block_terms(block, video, config, pairs, weights, of_frames).items():
                expected[place][name] += value / len(LABELS)
        if output.alignment_logits is not None:
            total.append(slow.contrastive(output.alignment_logits[v].double().tolist(), labels, [0, 1, 3]))
    for block, terms in zip(found.blocks, expected, strict=True):
        assert {name: getattr(block, name).item() for name in TERMS} == pytest.approx(terms, rel=2e-5, abs=1e-6)
    means = {name: sum(terms[name] for terms in expected) / len(expected) for name in TERMS}
    fact = sum(means.values())
    assert found.fact.item() == pytest.approx(fact, rel=1e-5)
    log = {"total": fact, **means}
    if total:
        log["contrastive"] = sum(total) / len(total)
        log["total"] = 0.3 * fact + 0.9 * log["contrastive"]
    assert found.as_dict() == pytest.approx(log, rel=2e-5, abs=1e-6)
    assert list(found.as_dict()) == list(log)


def test_contrastive_of_one_frame_and_of_none_by_hand():
    """Odds of 3 to 1 between the seen classes 0 and 1; the frame has its column alone, whose share is 1."""
    table = torch.tensor([[[3.0, 1.0, 9.0]], [[1.0, 1.0, 1.0]]]).log()
    seen = torch.tensor([0, 1])
    of_both = info_nce(table, torch.tensor([[0], [2]]), seen)  # class 2 is not seen
    assert of_both.item() == pytest.approx(math.log(4 / 3) / 2 / 2)


def test_scores_that_are_no_numbers_are_told():
    output = output_of("iu", 0, log=False, script=False, text=False)
    output.blocks[-1].token_logits[1, 2, 0] = float("nan")
    labels = torch.tensor([[*own, *[-1] * (FRAMES - len(own))] for own in LABELS])
    with pytest.raises(FloatingPointError, match="scores that are not finite"):
        Criterion(LossConfig(null_weight=0.3), Classes(COUNT))(output, labels)
