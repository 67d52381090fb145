"""Laws of the parts that plug-ins add, for their tests (docs/extending.md).

Each check takes the name by which the part is used, so that it tests the entry point too, and
raises an AssertionError for a broken law.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fact_clip.core import Clock, Json, Segment, Segmentation
from fact_clip.encoders import Runtime, frame_encoder, text_encoder
from fact_clip.formats import FORMATS, Format, load, save
from fact_clip.formats.base import Options
from fact_clip.formats.gaps import to_frames
from fact_clip.metrics.frame import Labels
from fact_clip.metrics.report import METRICS, Metric

if TYPE_CHECKING:
    from fact_clip.models import FACT

__all__ = ["check_encoder", "check_format", "check_head", "check_metric", "check_text_encoder"]

TEXTS = ("stir the pot", "pour milk", "Crack an egg!", "混ぜる eggs", "x")
ORDER = [3, 0, 4, 1, 2]  # of five texts or classes
VERBS = (0, 0, 1, 1, 2)  # of five classes
NOUNS = (0, 1, 0, 2, 1)
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
    np.testing.assert_allclose(actual, expected, atol=tolerance, err_msg=law)


def check_encoder(name: str, size: tuple[int, int] = (64, 48), tolerance: float = 1e-6) -> None:
    """Check that a frame encoder gives each picture of a batch the features that it gets alone.

    Args:
        name: its name, with what follows the colon.
        size: width and height of the pictures, unless the encoder has its own.
        tolerance: largest absolute difference.
    """
    encoder = frame_encoder(name, Runtime("cpu"))
    begins_equally = encoder.name.partition(":")[0] == name.partition(":")[0]
    law = "leads back to the encoder, so it begins with the name of the entry point"
    _check(begins_equally, f"{encoder.name!r} {law}")

    width, height = encoder.size or size
    images = np.random.default_rng(0).integers(0, 255, (6, height, width, 3), dtype=np.uint8)
    prepared = np.stack([encoder.prepare(image) for image in images])
    context = encoder.context
    together = encoder.encode_images(prepared)
    has_shape = together.shape[:-1] == (6 - context,)
    _check(together.dtype == np.float32 and has_shape, "features are float32, (N, D)")
    _check(np.isfinite(together).all(), "features are finite")
    for row, features in enumerate(together):
        alone = encoder.encode_images(prepared[row : row + context + 1])
        _check_close(alone[0], features, tolerance, "a picture depends on its batch")


def check_text_encoder(name: str, texts: Sequence[str] = TEXTS, tolerance: float = 2e-6) -> None:
    """Check that a text encoder makes unit vectors, alone as in a batch, in any order.

    Args:
        name: its name.
        texts: five texts.
        tolerance: largest absolute difference.
    """
    encoder = text_encoder(name, "cpu")
    together = encoder.encode_texts(list(texts))
    has_shape = together.shape[:-1] == (5,)
    _check(together.dtype == np.float32 and has_shape, "vectors are float32, (N, E)")
    _check_close(np.linalg.norm(together, axis=1), 1, 1e-4, "vectors have length 1")
    alone = np.concatenate([encoder.encode_texts([sentence]) for sentence in texts])
    _check_close(alone, together, tolerance, "a vector depends on the other texts")
    reordered = encoder.encode_texts([texts[index] for index in ORDER])
    _check_close(reordered, together[ORDER], tolerance, "a vector depends on the order")


def _model(head: str, order: Sequence[int] = range(5)) -> FACT:
    """Return a small model of a head with its classes in an order; the weights are the same."""
    import torch

    from fact_clip.config import ModelConfig
    from fact_clip.models import FACT, Classes

    is_similarity = head == "similarity"
    sizes = {
        "hidden": 24,
        "frame_dim": 16,
        "frame_layers": 3,
        "action_dim": 16,
        "action_layers": 1,
        "heads": 2,
    }
    config = ModelConfig.inheriting(blocks="iuU", tokens=6, head=head, input=sizes)

    classes = Classes(5)
    if head == "verb-noun":
        verbs = tuple(VERBS[index] for index in order)
        nouns = tuple(NOUNS[index] for index in order)
        classes = Classes(5, verbs, nouns, 3, 3)
    elif config.is_open:
        classes = Classes(5, n_slots=2, text_width=4, evidence_width=16 * is_similarity)
    options: Json = {}
    if config.is_open:
        vectors = torch.randn((5, 2, 4), generator=torch.Generator().manual_seed(2))
        vectors[0] = 0  # the background has no word
        options["text"] = torch.nn.functional.normalize(vectors, dim=-1)[list(order)]
    elif config.reads_text:
        options["text"] = torch.eye(5)
    if is_similarity:
        options["space"] = torch.randn(2, 4, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    return FACT(config, 6, classes, **options).eval()


def check_head(name: str, tolerance: float = 1e-5) -> None:
    """Check that a head gives each video of a padded batch the scores that it gets alone.

    Gradients are finite, and the scores of a head that reads names (`is_open`) follow the order of
    the candidates.

    Args:
        name: its name.
        tolerance: largest absolute and relative difference.
    """
    import torch
    from torch.testing import assert_close

    model = _model(name)
    generator = torch.Generator().manual_seed(5)
    videos = [torch.randn(length, 6, generator=generator) for length in (1, 17, 40)]
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    mask = torch.arange(40) < torch.tensor([[1], [17], [40]])  # (B, T)
    blocks = model(rows, mask).blocks
    for block in blocks:
        has_null = block.token_logits.shape[-1] == 6
        fits = block.frame_logits.shape == (3, 40, 5) and has_null
        _check(fits, "scores of frames are (B, T, C), and tokens have null too")

    torch.stack([block.frame_logits[mask].square().mean() for block in blocks]).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    are_finite = all(gradient.isfinite().all() for gradient in gradients)
    _check(gradients and are_finite, "gradients are finite")

    scores = blocks[-1].frame_logits.detach()
    with torch.inference_mode():
        for index, video in enumerate(videos):
            alone = model(video[None]).blocks[-1].frame_logits[0]
            assert_close(scores[index, : len(video)], alone, rtol=tolerance, atol=tolerance)
        if model.config.is_open or name == "verb-noun":
            reordered = _model(name, ORDER)(rows, mask).blocks
            for new, block in zip(reordered, blocks, strict=True):
                frame_logits = block.frame_logits[..., ORDER]
                token_logits = block.token_logits[..., [*ORDER, 5]]
                assert_close(new.frame_logits, frame_logits, rtol=1e-4, atol=1e-5)
                assert_close(new.token_logits, token_logits, rtol=1e-4, atol=1e-5)


def check_format(name: str) -> None:
    """Check that a format keeps the names of actions, and that rereading and rewriting is stable.

    Args:
        name: its name.
    """
    form = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate(NAMES):
            path = Path(folder, f"v{number}{form.ending}")
            segments = (
                Segment(0, 10, "stir", 0.5),
                Segment(10, 25, label, 0.25),
                Segment(25, 40, "pour", 0.125),
            )
            video = Segmentation(segments, 10.0)
            frames = _labels(form, save(video, path))
            if frames is None:  # the format is only written
                continue
            _check(frames == video.to_frames(), f"the name {label!r} is read back as it was")
            copy = Path(folder, "again", path.name)
            if form.read is not None:
                is_same = save(load(path), copy).read_bytes() == path.read_bytes()
            else:  # files of tools may hold the time of writing
                save(Segmentation.from_frames(frames, 10.0), copy)
                is_same = _labels(form, copy) == frames
            _check(is_same, f"{label!r}: written again it is the same")


def _labels(form: Format, path: Path) -> list[str] | None:
    """Return the label of each frame of a file, or None if the format has no reader."""
    if form.read is not None:
        return load(path).to_frames()
    if form.annotations is None:
        return None
    (annotation,) = form.annotations(path, Options(fps=10.0))
    return to_frames(annotation, Clock(40, 10.0)).labels


def check_metric(metric: str | Metric) -> None:
    """Check that a metric is finite and independent of the order of videos and numbers of classes.

    Args:
        metric: its name, or the function.
    """
    function = METRICS[metric] if isinstance(metric, str) else metric
    rng = np.random.default_rng(1)
    truth = [np.repeat(rng.integers(0, 5, 12), rng.integers(1, 9, 12)) for _ in range(4)]
    guess = []
    for row in truth:
        guess.append(np.where(rng.random(len(row)) < 0.3, rng.integers(0, 5, len(row)), row))
    copies = [row.copy() for row in (*truth, *guess)]
    figures = _figures(function, truth, guess)
    _check(np.isfinite(list(figures.values())).all(), "figures are finite numbers")
    is_unchanged = all(map(np.array_equal, copies, (*truth, *guess)))
    _check(is_unchanged, "labellings are left as they are")

    new_numbers = np.argsort(ORDER)
    renumbered = _figures(
        function, [new_numbers[row] for row in truth], [new_numbers[row] for row in guess]
    )
    reversed_videos = _figures(function, truth[::-1], guess[::-1])
    for law, values in (("order of videos", reversed_videos), ("numbers of classes", renumbered)):
        is_same = values.keys() == figures.keys() and all(
            np.allclose(values[key], figures[key]) for key in figures
        )
        _check(is_same, f"figures do not depend on the {law}")


def _figures(function: Metric, truth: list[Labels], guess: list[Labels]) -> dict[str, float]:
    value = function(list(truth), list(guess))
    return dict(value) if isinstance(value, Mapping) else {"": value}
