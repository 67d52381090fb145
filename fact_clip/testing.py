"""Laws of the parts that plug-ins add, for their tests (docs/extending.md): an AssertionError where one is broken.

Each check takes the name by which the part is used, so that it tests the entry point too. The built-in parts pass the
same checks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fact_clip.core import Segment, Segmentation
from fact_clip.core.clock import Clock
from fact_clip.core.io import is_number
from fact_clip.encoders import Runtime, frame_encoder, text_encoder
from fact_clip.formats import FORMATS, Format, load, save
from fact_clip.formats.annotations import Options, to_frames
from fact_clip.metrics.report import METRICS, Metric

if TYPE_CHECKING:
    import torch

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


# --- encoders --------------------------------------------------------------------------------------------------------


def check_encoder(name: str, size: tuple[int, int] = (64, 48), tolerance: float = 1e-6) -> None:
    """Check a frame encoder: its name and sizes, and that pictures are encoded alone as together.

    Args:
        name: of the encoder, as in ``fact-clip extract --encoder NAME``.
        size: width and height of the pictures, unless the encoder says its own.
        tolerance: by which features may differ.
    """
    encoder = frame_encoder(name, Runtime("cpu"))
    prefix = name.partition(":")[0]
    _check(encoder.name.partition(":")[0] == prefix, f"a run finds the encoder by its name, {prefix!r}[:...]")
    width, height = encoder.size or size
    images = np.random.default_rng(0).integers(0, 255, (6, height, width, 3), dtype=np.uint8)
    prepared = np.stack([encoder.prepare(image) for image in images])
    together, before = encoder.encode_images(prepared), encoder.context
    _check(together.dtype == np.float32 and together.shape[:-1] == (6 - before,), "features are float32, (N, D)")
    _check(np.isfinite(together).all(), "features are finite")
    for row in range(len(together)):
        alone = encoder.encode_images(prepared[row : row + before + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=tolerance, err_msg="a picture depends on its batch")


def check_text_encoder(name: str, texts: Sequence[str] = TEXTS, tolerance: float = 2e-6) -> None:
    """Check a text encoder: unit vectors, and that texts are embedded alone as together, in any order.

    Args:
        name: of the encoder, as in ``text.encoder=NAME``.
        texts: five texts that it can encode.
        tolerance: by which vectors may differ.
    """
    encoder = text_encoder(name, "cpu")
    _check(encoder.name, "an encoder has a name")
    together = encoder.encode_texts([*texts])
    _check(together.dtype == np.float32 and together.ndim == 2, "vectors are float32, (N, E)")
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-4, err_msg="vectors have length 1")
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(encoder.encode_texts([text])[0], row, atol=tolerance, err_msg="alone is otherwise")
    turned = encoder.encode_texts([texts[index] for index in ORDER])
    np.testing.assert_allclose(turned, together[ORDER], atol=tolerance, err_msg="vectors depend on the order of texts")


# --- heads -----------------------------------------------------------------------------------------------------------

_VERB, _NOUN = (0, 0, 1, 1, 2), (0, 1, 0, 2, 1)  # of five classes
_COLUMNS, _FRAMES = 6, 40


def _model(head: str, order: Sequence[int] = range(5)) -> FACT:
    """Return a small model of a head, its vocabulary in another order; the weights are the same."""
    import torch

    from fact_clip.config import ModelConfig
    from fact_clip.models import FACT, Classes

    sizes = {"hidden": 24, "frame_dim": 16, "frame_layers": 3, "action_dim": 16, "action_layers": 1}
    values: dict[str, Any] = {
        "blocks": "iuU",
        "tokens": 6,
        "head": head,
        "input": sizes | {"heads": 2, "feedforward": 16},
    }
    if head == "similarity":
        values["similarity"] = {"channels": 8, "layers": 2}
    config, classes, inputs = ModelConfig(**values), Classes(5), dict[str, Any]()
    generator = torch.Generator().manual_seed(2)
    if head == "verb-noun":
        classes = Classes(5, tuple(_VERB[index] for index in order), tuple(_NOUN[index] for index in order), 3, 3)
    elif config.is_open:
        classes = Classes(5, n_slots=2, text_width=4, evidence_width=8 if head == "similarity" else 0)
    if config.reads_text:
        text = torch.nn.functional.normalize(torch.randn((5, 2, 4), generator=generator), dim=-1)
        text[0] = 0  # the background has no word
        inputs["text"] = text[list(order)] if config.is_open else torch.eye(5)[list(order)]
    if head == "similarity":
        inputs["space"] = torch.randn(2, 4, generator=generator)
    torch.manual_seed(4)
    return FACT(config, _COLUMNS, classes, **inputs).eval()


def check_head(name: str, tolerance: float = 1e-5) -> None:
    """Check a head in a small model: a padded batch gives each video what it gets alone, gradients are finite.

    Of a head that reads names (`is_open`) scores follow the order of the candidates.

    Args:
        name: of the head, as in ``model.head=NAME``.
        tolerance: by which scores may differ.
    """
    import torch

    model, generator = _model(name), torch.Generator().manual_seed(5)
    videos = [torch.randn(length, _COLUMNS, generator=generator) for length in (1, 17, _FRAMES)]
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    mask = torch.arange(_FRAMES) < torch.tensor([[len(video)] for video in videos])
    output = model(rows, mask)
    for block in output.blocks:
        _check(block.frame_logits.shape == (3, _FRAMES, 5), "frame scores are (B, T, C)")
        _check(block.token_logits.shape[-1] == 6, "token scores have C classes and null")
    sum(block.frame_logits[mask].square().mean() for block in output.blocks).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    _check(gradients and all(gradient.isfinite().all() for gradient in gradients), "gradients are finite")
    together = output.blocks[-1].frame_logits.detach()
    with torch.inference_mode():
        for index, video in enumerate(videos):
            alone = model(video[None]).blocks[-1].frame_logits[0]
            torch.testing.assert_close(together[index, : len(video)], alone, rtol=tolerance, atol=tolerance)
    if model.config.is_open or name == "verb-noun":
        _check_order(name, rows[2:])


def _check_order(name: str, rows: torch.Tensor) -> None:
    import torch

    with torch.inference_mode():
        plain, turned = (_model(name, order)(rows).blocks for order in (range(5), ORDER))
    for first, second in zip(plain, turned, strict=True):
        for scores, order in (("frame_logits", ORDER), ("token_logits", [*ORDER, 5])):  # tokens have null too
            torch.testing.assert_close(
                getattr(second, scores), getattr(first, scores)[..., order], rtol=1e-4, atol=1e-5
            )


# --- formats ---------------------------------------------------------------------------------------------------------


def check_format(name: str) -> None:
    """Check a format: names of actions stay as they are, and what is written, read and written again is the same.

    Args:
        name: of the format, as in ``--format NAME``.
    """
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate(NAMES):
            path = Path(folder) / f"v{number}{form.ending}"
            middle = (Segment(0, 10, "stir", 0.5), Segment(10, 25, label, 0.25), Segment(25, 40, "pour", 0.125))
            video = Segmentation(middle, 10.0)
            save(video, path)
            labels = _labels(path, form)
            _check(labels in (None, video.to_frames()), f"the name {label!r} is read back as it was")
            if form.read is not None:
                again = save(load(path), Path(folder) / "again" / path.name)
                _check(again.read_bytes() == path.read_bytes(), f"{label!r}: written again it is the same file")
            elif labels is not None:  # files of tools may hold the time of writing
                again = save(Segmentation.from_frames(labels, 10.0), Path(folder) / "again" / path.name)
                _check(_labels(again, form) == labels, f"{label!r}: written again it has the same frames")


def _labels(path: Path, form: Format) -> list[str] | None:
    """Return the labels of frames in a file, read as a segmentation or as annotations of its tool, if it is read."""
    if form.read is not None:
        return list(load(path).to_frames())
    if form.annotations is None:
        return None
    (annotation,) = form.annotations(path, Options(fps=10.0))
    return list(to_frames(annotation, Clock(40, 10.0)).labels)


# --- metrics ---------------------------------------------------------------------------------------------------------


def check_metric(metric: str | Metric) -> None:
    """Check a metric: finite numbers, which depend neither on the order of videos nor on the numbers of classes.

    Args:
        metric: its name in `fact_clip.metrics.evaluate`, or the function itself.
    """
    function: Callable[..., Any] = METRICS[metric] if isinstance(metric, str) else metric
    rng = np.random.default_rng(1)
    truth = [np.repeat(rng.integers(0, 5, 12), rng.integers(1, 9, 12)) for _ in range(4)]
    guess = [np.where(rng.random(len(row)) < 0.3, rng.integers(0, 5, len(row)), row) for row in truth]
    copies = [row.copy() for row in (*truth, *guess)]
    value = function([*truth], [*guess])
    figures = value if isinstance(value, Mapping) else {"value": value}
    _check(figures and all(is_number(np.asarray(part).item()) for part in figures.values()), "figures are numbers")
    same = all(np.array_equal(old, new) for old, new in zip(copies, (*truth, *guess), strict=True))
    _check(same, "labellings are left as they are")
    renamed = [[np.argsort(ORDER)[row] for row in rows] for rows in (truth, guess)]
    for law, pair in (("the order of videos", (truth[::-1], guess[::-1])), ("the numbers of classes", renamed)):
        other = function(*pair)
        other = other if isinstance(other, Mapping) else {"value": other}
        for key, part in figures.items():
            np.testing.assert_allclose(other[key], part, rtol=1e-6, err_msg=f"{key} depends on {law}")
