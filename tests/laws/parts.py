"""Laws of the parts that programs and plug-ins add.

There is one check for each kind of part: `check_encoder`, `check_text_encoder`, `check_head` and
`check_format`. It takes the part, or the name by which it is used, so that it tests the entry point
too. It raises an AssertionError for a broken law, or an InputError for vectors of another form.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fact_clip.core import Segment, Segmentation
from fact_clip.encoders import (
    EncodeImages,
    FrameEncoder,
    Runtime,
    TextEncoder,
    clip_of,
    frame_encoder,
    text_encoder,
)
from fact_clip.encoders.vectors import check_vectors
from fact_clip.formats import FORMATS, Format, load, save
from fact_clip.models.heads import HEADS, Candidates, Classes, Head

__all__ = ["check_encoder", "check_format", "check_head", "check_text_encoder"]

TEXTS = ("stir the pot", "pour milk", "Crack an egg!", "混ぜる eggs", "x")
ORDER = [3, 0, 4, 1, 2]
"""Another order of the five classes of `check_head`."""

# Formulas, quotes, separators, markup, templates, paths, escapes, and words that YAML, WebVTT or a
# spreadsheet reads as a value of another kind.
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


def check_encoder(part: str | FrameEncoder | EncodeImages) -> None:
    """Check that a frame encoder gives each picture of a batch the features that it gets alone.

    The features have to be finite float32 numbers. An encoder of clips gets clips that repeat one
    picture.

    Args:
        part: the encoder, or its name with what follows the colon.
    """
    encoder = frame_encoder(part, Runtime("cpu"))
    if isinstance(part, str):
        prefix = part.partition(":")[0]
        assert encoder.name.partition(":")[0] == prefix, f"{encoder.name!r} is not a {prefix!r}"
    width, height = encoder.size or (64, 48)
    images = np.random.default_rng(0).integers(0, 255, (6, height, width, 3), dtype=np.uint8)
    prepared = np.stack([encoder.prepare(image) for image in images])  # (6, ...)
    length = clip_of(encoder).length
    if length > 1:
        prepared = np.stack([prepared] * length, axis=1)  # (6, L, ...)
    # The first `encoder.context` pictures are read for those after them, and get no row.
    together = encoder.encode_images(prepared)  # (6 - context, D)
    assert together.dtype == np.float32, "features are not float32"
    assert together.shape[:-1] == (6 - encoder.context,), "features are not (N, D)"
    assert np.isfinite(together).all(), "features are not finite"
    for row, features in enumerate(together):
        alone = encoder.encode_images(prepared[row : row + encoder.context + 1])  # (1, D)
        _assert_close(alone[0], features, "a picture depends on its batch")


def check_text_encoder(part: str | TextEncoder) -> None:
    """Check that a text encoder makes unit vectors, alone as in a batch.

    Args:
        part: the encoder, or its name.
    """
    encoder = text_encoder(part, "cpu") if isinstance(part, str) else part
    # (5, E); `check_vectors` raises an InputError unless the rows are finite unit vectors.
    together = check_vectors(encoder.name, encoder.encode_texts(list(TEXTS)), TEXTS)
    alone = np.concatenate([encoder.encode_texts([sentence]) for sentence in TEXTS])
    _assert_close(alone, together, "a vector depends on the other texts")


def check_head(part: str | type[Head]) -> None:
    """Check that a head gives each video of a padded batch the scores that it gets alone.

    Gradients are finite, and the scores of a head that reads names (`is_open`) follow the order of
    the candidates.

    Args:
        part: the class, which is registered by its name, or the name.
    """
    torch.manual_seed(4)
    pairs = Classes(5, verb=(0, 0, 1, 1, 2), noun=(0, 1, 0, 2, 1), n_verbs=3, n_nouns=3)
    classes = replace(pairs, n_slots=2, text_width=4)
    head = HEADS.find(HEADS.register_by_own_name(part), "head")(16, classes, null=True)
    # (C, S, W), zero where a class has no word: classes 0 (background), 3 and 4 have none.
    names = torch.eye(10, 4).reshape(5, 2, 4).roll(1, 0)
    videos = [torch.randn(length, 16) for length in (1, 17, 40)]  # (T, H) each
    # Padding must not matter, so it is not 0, which a head might ignore by accident: (B, N, H).
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    # A head also returns the features (B, N, H) of the next block, which have no law here.
    _, scores = head(rows.requires_grad_(), Candidates(names))
    assert scores.shape == (3, 40, 6), "scores are not (B, N, C + 1), the last of the null class"
    (gradient,) = torch.autograd.grad(scores.square().mean(), rows)
    assert gradient.isfinite().all(), "gradients are not finite"
    for row, video in zip(scores, videos, strict=True):
        _, alone = head(video[None], Candidates(names))  # (1, T, C + 1)
        expected = alone[0].detach()
        _assert_close(row[: len(video)].detach(), expected, "a video depends on the others")
    if head.is_open:
        _, reordered = head(rows, Candidates(names[ORDER]))
        expected = scores[..., [*ORDER, 5]].detach()  # the null class stays the last
        law = "scores do not follow the order of the names"
        _assert_close(reordered.detach(), expected, law, 1e-4)


def check_format(part: str | Format) -> None:
    """Check that a format keeps the names of actions, and that writing again gives the same file.

    Args:
        part: the format, which is registered, or its name.
    """
    form = FORMATS.find(FORMATS.register_by_own_name(part), "format")
    with tempfile.TemporaryDirectory() as folder:
        for number, label in enumerate(NAMES):
            path = Path(folder, f"v{number}{form.ending}")
            video = Segmentation((Segment(0, 10, "stir", 0.5), Segment(10, 25, label, 0.25)), 10.0)
            save(video, path)
            if form.read is None:  # a format that is only written
                continue
            copy = load(path)
            assert copy.to_frames() == video.to_frames(), f"{label!r} is not read back as it was"
            content = path.read_bytes()
            save(copy, path)
            assert path.read_bytes() == content, f"{label!r}: written again it is another file"


def _assert_close(actual: Any, expected: Any, law: str, tolerance: float = 1e-5) -> None:
    """Assert that arrays differ by no more than a tolerance, both relative and absolute."""
    np.testing.assert_allclose(actual, expected, tolerance, tolerance, err_msg=law)
