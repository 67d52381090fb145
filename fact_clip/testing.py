"""Laws of the parts that plug-ins add, for their tests (docs/extending.md): an AssertionError where one is broken.

Each check takes the name by which the part is used, so that it tests the entry point too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fact_clip.core import Clock, Segment, Segmentation
from fact_clip.encoders import Runtime, frame_encoder, text_encoder
from fact_clip.formats import FORMATS, load, save
from fact_clip.formats.base import Options
from fact_clip.formats.gaps import to_frames
from fact_clip.metrics.frame import Labels
from fact_clip.metrics.report import METRICS, Metric

if TYPE_CHECKING:
    from fact_clip.models import FACT

__all__ = ["check_encoder", "check_format", "check_head", "check_metric", "check_text_encoder"]

TEXTS = ("stir the pot", "pour milk", "Crack an egg!", "混ぜる eggs", "x")
ORDER = [3, 0, 4, 1, 2]  # of five texts or classes
NAMES = (
    "=cmd|'/c calc'!A1", "+1+1", "-1", "@SUM(A1)", "'=1", "''+1", "'", "' quoted'", '"double"', "a;b", "a,b", "a|b",
    "<b>bold</b>", "&amp;", "&lt;", "&xxe;", "]]>", "<!-- no -->", "<?php ?>", "{{ 7 * 7 }}", "${HOME}", "%s %d %n",
    "{0}", "$(touch x)", "`id`", "../../x", "/etc/passwd", "C:\\x", "nul", "a\\nb", "\\u0000", "\\x00", "null",
    "true", "NaN", "1e5", "0x10", "12:34", "2024-01-01", "~", "- a", "# a", "a: b", "[a]", "{a}", "*a", "&a", "!a",
    "0 idle", "?", "-->", "00:00:01.000 --> 00:00:02.000", "NOTE x", "WEBVTT", "混ぜる 🥄", "e\u0301", "אבג", "ﬁ", "İ",
    "a" * 500,
)  # fmt: skip
"""Names of actions that a format may take for something else."""


def _check(holds: object, law: str) -> None:
    if not holds:
        raise AssertionError(law)


def check_encoder(name: str, size: tuple[int, int] = (64, 48), tolerance: float = 1e-6) -> None:
    """Check a frame encoder, by its name with what follows the colon: pictures are encoded alone as together.

    `size` is the width and height of the pictures, unless the encoder says its own.
    """
    encoder = frame_encoder(name, Runtime("cpu"))
    same = encoder.name.partition(":")[0] == name.partition(":")[0]
    _check(
        same,
        f"{encoder.name!r} leads back to the encoder, so it begins with the name of the entry point",
    )
    width, height = encoder.size or size
    images = np.random.default_rng(0).integers(0, 255, (6, height, width, 3), dtype=np.uint8)
    prepared = np.stack([encoder.prepare(image) for image in images])
    together, before = encoder.encode_images(prepared), encoder.context
    _check(
        together.dtype == np.float32 and together.shape[:-1] == (6 - before,),
        "features are float32, (N, D)",
    )
    _check(np.isfinite(together).all(), "features are finite")
    for row in range(len(together)):
        alone = encoder.encode_images(prepared[row : row + before + 1])
        np.testing.assert_allclose(
            alone[0], together[row], atol=tolerance, err_msg="a picture depends on its batch"
        )


def check_text_encoder(name: str, texts: Sequence[str] = TEXTS, tolerance: float = 2e-6) -> None:
    """Check a text encoder, by its name: of five texts it makes unit vectors, alone as together, in any order."""
    encoder = text_encoder(name, "cpu")
    together = encoder.encode_texts([*texts])
    _check(
        together.dtype == np.float32 and together.shape[:-1] == (5,), "vectors are float32, (N, E)"
    )
    np.testing.assert_allclose(
        np.linalg.norm(together, axis=1), 1, atol=1e-4, err_msg="vectors have length 1"
    )
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(
        alone, together, atol=tolerance, err_msg="a vector depends on the other texts"
    )
    turned = encoder.encode_texts([texts[index] for index in ORDER])
    np.testing.assert_allclose(
        turned, together[ORDER], atol=tolerance, err_msg="a vector depends on the order"
    )


def _model(head: str, order: Sequence[int] = range(5)) -> FACT:
    """Return a small model of a head, its vocabulary in another order; the weights are the same."""
    import torch

    from fact_clip.config import ModelConfig
    from fact_clip.models import FACT, Classes

    sizes = {
        "hidden": 24,
        "frame_dim": 16,
        "frame_layers": 3,
        "action_dim": 16,
        "action_layers": 1,
        "heads": 2,
    }
    similarity = {"similarity": {"channels": 8, "layers": 2}} if head == "similarity" else {}
    config = ModelConfig.model_validate(
        {"blocks": "iuU", "tokens": 6, "head": head, "input": sizes, **similarity}
    )
    factors = [[row[index] for index in order] for row in ((0, 0, 1, 1, 2), (0, 1, 0, 2, 1))]
    classes, more = Classes(5), dict[str, Any]()
    if head == "verb-noun":
        classes = Classes(5, tuple(factors[0]), tuple(factors[1]), 3, 3)
    elif config.is_open:
        classes = Classes(5, n_slots=2, text_width=4, evidence_width=8 * (head == "similarity"))
    if config.reads_text:
        text = torch.randn((5, 2, 4), generator=torch.Generator().manual_seed(2))
        text[0] = 0  # the background has no word
        more["text"] = (
            torch.nn.functional.normalize(text, dim=-1)[[*order]]
            if config.is_open
            else torch.eye(5)
        )
    if head == "similarity":
        more["space"] = torch.randn(2, 4, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    return FACT(config, 6, classes, **more).eval()


def check_head(name: str, tolerance: float = 1e-5) -> None:
    """Check a head, by its name, in a small model: a padded batch gives each video what it gets alone.

    Gradients are finite, and of a head that reads names (`is_open`) scores follow the order of the candidates.
    """
    import torch

    model, generator = _model(name), torch.Generator().manual_seed(5)
    videos = [torch.randn(length, 6, generator=generator) for length in (1, 17, 40)]
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    mask = torch.arange(40) < torch.tensor([[1], [17], [40]])
    blocks = model(rows, mask).blocks
    shapes = {(block.frame_logits.shape, block.token_logits.shape[-1]) for block in blocks}
    _check(shapes == {((3, 40, 5), 6)}, "scores of frames are (B, T, C), and tokens have null too")
    torch.stack([block.frame_logits[mask].square().mean() for block in blocks]).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    _check(
        gradients and all(gradient.isfinite().all() for gradient in gradients),
        "gradients are finite",
    )
    together, like = blocks[-1].frame_logits.detach(), torch.testing.assert_close
    with torch.inference_mode():
        for index, video in enumerate(videos):
            alone = model(video[None]).blocks[-1].frame_logits[0]
            like(together[index, : len(video)], alone, rtol=tolerance, atol=tolerance)
        if model.config.is_open or name == "verb-noun":
            turned = _model(name, ORDER)(rows, mask).blocks
            for first, second in zip(blocks, turned, strict=True):
                like(second.frame_logits, first.frame_logits[..., ORDER], rtol=1e-4, atol=1e-5)
                like(
                    second.token_logits, first.token_logits[..., [*ORDER, 5]], rtol=1e-4, atol=1e-5
                )


def check_format(name: str) -> None:
    """Check a format, by its name: actions keep their names, and what is read and written again is the same."""
    form = FORMATS[name]

    def labels(path: Path) -> list[str] | None:
        if form.annotations is None or form.read is not None:
            return None if form.read is None else list(load(path).to_frames())
        (annotation,) = form.annotations(path, Options(fps=10.0))
        return list(to_frames(annotation, Clock(40, 10.0)).labels)

    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate(NAMES):
            path = Path(folder) / f"v{number}{form.ending}"
            middle = (
                Segment(0, 10, "stir", 0.5),
                Segment(10, 25, label, 0.25),
                Segment(25, 40, "pour", 0.125),
            )
            video = Segmentation(middle, 10.0)
            frames = labels(save(video, path))
            _check(
                frames in (None, list(video.to_frames())),
                f"the name {label!r} is read back as it was",
            )
            if frames is not None:
                again = (
                    load(path) if form.read is not None else Segmentation.from_frames(frames, 10.0)
                )
                second = save(again, Path(folder) / "again" / path.name)
                # files of tools may hold the time of writing
                same = (
                    second.read_bytes() == path.read_bytes()
                    if form.read is not None
                    else labels(second) == frames
                )
                _check(same, f"{label!r}: written again it is the same")


def check_metric(metric: str | Metric) -> None:
    """Check a metric, by its name or the function: finite, whatever the order of videos and the numbers of classes."""
    function: Callable[..., Any] = METRICS[metric] if isinstance(metric, str) else metric

    def figures(truth: list[Labels], guess: list[Labels]) -> list[tuple[str, float]]:
        value = function(truth, guess)
        return sorted(value.items()) if isinstance(value, Mapping) else [("", value)]

    rng = np.random.default_rng(1)
    truth = [np.repeat(rng.integers(0, 5, 12), rng.integers(1, 9, 12)) for _ in range(4)]
    guess = [
        np.where(rng.random(len(row)) < 0.3, rng.integers(0, 5, len(row)), row) for row in truth
    ]
    before = [row.copy() for row in (*truth, *guess)]
    keys, values = zip(*figures([*truth], [*guess]), strict=True)
    _check(np.isfinite(np.array(values, dtype=float)).all(), "figures are finite numbers")
    _check(all(map(np.array_equal, before, (*truth, *guess))), "labellings are left as they are")
    renamed = [[np.argsort(ORDER)[row] for row in rows] for rows in (truth, guess)]
    for law, pair in (
        ("order of videos", [truth[::-1], guess[::-1]]),
        ("numbers of classes", renamed),
    ):
        names, others = zip(*figures(*pair), strict=True)
        _check(names == keys and np.allclose(others, values), f"figures do not depend on the {law}")
