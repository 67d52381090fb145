"""Laws of the parts that programs and plug-ins add, for their tests (docs/extending.md).

Each check takes the part, or the name by which it is used, so that it tests the entry point too. It
raises an AssertionError for a broken law.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fact_clip.core import Clock, Json, Segment, Segmentation
from fact_clip.encoders import (
    EncodeImages,
    FrameEncoder,
    Runtime,
    TextEncoder,
    clip_of,
    frame_encoder,
    text_encoder,
)
from fact_clip.formats import FORMATS, Format, load, save
from fact_clip.formats.base import Options
from fact_clip.formats.gaps import to_frames
from fact_clip.metrics.frame import Labels
from fact_clip.metrics.report import METRICS, Metric

if TYPE_CHECKING:
    from fact_clip.models import FACT
    from fact_clip.models.heads import Head

__all__ = ["check_encoder", "check_format", "check_head", "check_metric", "check_text_encoder"]

TEXTS = ("stir the pot", "pour milk", "Crack an egg!", "混ぜる eggs", "x")
ORDER = [3, 0, 4, 1, 2]  # of five texts or classes
_LINES = r"""
=cmd|'/c calc'!A1
+1+1
-1
@SUM(A1)
'=1
''+1
'
' quoted'
"double"
a;b
a,b
a|b
<b>bold</b>
&amp;
&lt;
&xxe;
]]>
<!-- no -->
<?php ?>
{{ 7 * 7 }}
${HOME}
%s %d %n
{0}
$(touch x)
`id`
../../x
/etc/passwd
C:\x
nul
a\nb
\u0000
\x00
null
true
NaN
1e5
0x10
12:34
2024-01-01
~
- a
# a
a: b
[a]
{a}
*a
&a
!a
0 idle
?
-->
00:00:01.000 --> 00:00:02.000
NOTE x
WEBVTT
混ぜる 🥄
אבג
ﬁ
İ
"""
NAMES = (*_LINES.strip().split("\n"), "e\u0301", "a" * 500)
"""Names of actions that a format may take for something else."""


def _check(holds: object, law: str) -> None:
    if not holds:
        raise AssertionError(law)


def _check_close(actual: Any, expected: Any, tolerance: float, law: str) -> None:
    np.testing.assert_allclose(actual, expected, tolerance, tolerance, err_msg=law)


def check_encoder(
    part: str | FrameEncoder | EncodeImages,
    size: tuple[int, int] = (64, 48),
    tolerance: float = 1e-6,
) -> None:
    """Check that a frame encoder gives each picture of a batch the features that it gets alone.

    Args:
        part: the encoder, or its name with what follows the colon.
        size: width and height of the pictures, unless the encoder has its own.
        tolerance: largest absolute and relative difference.
    """
    encoder = frame_encoder(part, Runtime("cpu"))
    if isinstance(part, str):
        is_found_again = encoder.name.partition(":")[0] == part.partition(":")[0]
        _check(is_found_again, f"{encoder.name!r} does not begin with the name of the entry point")
    width, height = encoder.size or size
    images = np.random.default_rng(0).integers(0, 255, (6, height, width, 3), dtype=np.uint8)
    prepared = np.stack([encoder.prepare(image) for image in images])
    length = clip_of(encoder).length
    if length > 1:
        prepared = np.stack([prepared] * length, axis=1)
    together = encoder.encode_images(prepared)
    has_shape = together.shape[:-1] == (6 - encoder.context,)
    _check(together.dtype == np.float32 and has_shape, "features are not float32, (N, D)")
    _check(np.isfinite(together).all(), "features are not finite")
    for row, features in enumerate(together):
        alone = encoder.encode_images(prepared[row : row + encoder.context + 1])
        _check_close(alone[0], features, tolerance, "a picture depends on its batch")


def check_text_encoder(
    part: str | TextEncoder, texts: Sequence[str] = TEXTS, tolerance: float = 2e-6
) -> None:
    """Check that a text encoder makes unit vectors, alone as in a batch, in any order.

    Args:
        part: the encoder, or its name.
        texts: five texts.
        tolerance: largest absolute and relative difference.
    """
    encoder = text_encoder(part, "cpu") if isinstance(part, str) else part
    together = encoder.encode_texts(list(texts))
    has_shape = together.shape[:-1] == (5,)
    _check(together.dtype == np.float32 and has_shape, "vectors are not float32, (N, E)")
    _check_close(np.linalg.norm(together, axis=1), 1, 1e-4, "vectors have another length than 1")
    alone = np.concatenate([encoder.encode_texts([sentence]) for sentence in texts])
    _check_close(alone, together, tolerance, "a vector depends on the other texts")
    reordered = encoder.encode_texts([texts[index] for index in ORDER])
    _check_close(reordered, together[ORDER], tolerance, "a vector depends on the order")


def model_of(head: str, order: Sequence[int] = range(5)) -> FACT:
    """Return a small model of a head with its five classes in an order; the weights are the same.

    Args:
        head: its name.
        order: of the classes.

    Returns:
        The model, which reads features of 6 columns.
    """
    import torch

    from fact_clip.config import ModelConfig
    from fact_clip.models import FACT, Classes

    sizes = {"hidden": 24, "frame_dim": 16, "frame_layers": 3, "action_dim": 16, "heads": 2}
    config = ModelConfig.inheriting(blocks="iuU", tokens=6, head=head, input=sizes)
    classes = Classes(5)
    options: Json = {}
    if config.is_open:
        classes = Classes(5, n_slots=2, text_width=4)
        vectors = torch.eye(10, 4).reshape(5, 2, 4).roll(1, 0)  # the background has no word
        options["text"] = vectors[list(order)]
    elif config.reads_text:
        options["text"] = torch.eye(5)
    torch.manual_seed(4)
    return FACT(config, 6, classes, **options).eval()


def check_head(
    part: str | type[Head],
    tolerance: float = 1e-5,
    make: Callable[[str, Sequence[int]], FACT] = model_of,
) -> None:
    """Check that a head gives each video of a padded batch the scores that it gets alone.

    Gradients are finite, and the scores of a head that reads names (`is_open`) follow the order of
    the candidates.

    Args:
        part: the class, which is registered by its name, or the name.
        tolerance: largest absolute and relative difference.
        make: makes a model of the head, with its classes in an order; see `model_of`.
    """
    import torch

    from fact_clip.models.heads import HEADS

    name = HEADS.name_of(part)
    model = make(name, range(5))
    generator = torch.Generator().manual_seed(5)
    videos = [torch.randn(length, 6, generator=generator) for length in (1, 17, 40)]
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    mask = torch.arange(40) < torch.tensor([[1], [17], [40]])  # (B, T)
    blocks = model(rows, mask).blocks
    for block in blocks:
        _check(block.frame_logits.shape == (3, 40, 5), "scores of frames are not (B, T, C)")
        _check(block.token_logits.shape[-1] == 6, "scores of tokens lack the null class")
        block.frame_logits[mask].square().mean().backward(retain_graph=True)
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    are_finite = all(gradient.isfinite().all() for gradient in gradients)
    _check(gradients and are_finite, "gradients are not finite")

    with torch.inference_mode():
        scores = blocks[-1].frame_logits
        for row, video in zip(scores, videos, strict=True):
            alone = model(video[None]).blocks[-1].frame_logits[0]
            _check_close(row[: len(video)], alone, tolerance, "a video depends on the others")
        if model.config.is_open:
            last = make(name, ORDER)(rows, mask).blocks[-1]
            law = "scores do not follow the order of the names"
            _check_close(last.frame_logits, scores[..., ORDER], 1e-4, law)
            token_logits = blocks[-1].token_logits[..., [*ORDER, 5]]
            _check_close(last.token_logits, token_logits, 1e-4, law)


def check_format(part: str | Format) -> None:
    """Check that a format keeps the names of actions, and that rereading and rewriting is stable.

    Args:
        part: the format, which is registered by its ending, or its name.
    """
    form = FORMATS[part] if isinstance(part, str) else part
    if form is part:
        FORMATS.register(form, form.ending)
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate(NAMES):
            path = Path(folder, f"v{number}{form.ending}")
            segments = (Segment(0, 10, "stir", 0.5), Segment(10, 25, label, 0.25))
            video = Segmentation(segments, 10.0)
            labels = _labels(form, save(video, path))
            if labels is None:  # the format is only written
                continue
            _check(labels == video.to_frames(), f"the name {label!r} is not read back as it was")
            copy = Path(folder, "again", path.name)
            if form.read is not None:
                is_same = save(load(path), copy).read_bytes() == path.read_bytes()
            else:  # files of tools may hold the time of writing
                save(Segmentation.from_frames(labels, 10.0), copy)
                is_same = _labels(form, copy) == labels
            _check(is_same, f"{label!r}: written again it is another file")


def _labels(form: Format, path: Path) -> list[str] | None:
    """Return the label of each frame of a file, or None if the format has no reader."""
    if form.read is not None:
        return load(path).to_frames()
    if form.annotations is None:
        return None
    (annotation,) = form.annotations(path, Options(fps=10.0))
    return to_frames(annotation, Clock(25, 10.0)).labels


def check_metric(part: str | Metric) -> None:
    """Check that a metric is finite and independent of the order of videos and numbers of classes.

    Args:
        part: its name, or the function.
    """
    function = METRICS[part] if isinstance(part, str) else part
    rng = np.random.default_rng(1)
    truth = [np.repeat(rng.integers(0, 5, 12), rng.integers(1, 9, 12)) for _ in range(4)]
    guess = []
    for row in truth:
        guess.append(np.where(rng.random(len(row)) < 0.3, rng.integers(0, 5, len(row)), row))
    copies = [row.copy() for row in truth]
    figures = _figures(function, truth, guess)
    _check(np.isfinite(figures).all(), "figures are not finite")
    _check(all(map(np.array_equal, copies, truth)), "labellings are changed")
    reversed_videos = _figures(function, truth[::-1], guess[::-1])
    _check_close(reversed_videos, figures, 1e-6, "figures depend on the order of videos")
    number = np.argsort(ORDER)
    renumbered = _figures(function, [number[row] for row in truth], [number[row] for row in guess])
    _check_close(renumbered, figures, 1e-6, "figures depend on the numbers of classes")


def _figures(function: Metric, truth: list[Labels], guess: list[Labels]) -> list[float]:
    value = function(list(truth), list(guess))
    return [value[key] for key in sorted(value)] if isinstance(value, Mapping) else [value]
