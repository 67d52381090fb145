"""Write docs/images/architecture.svg: ``python docs/architecture.py``.

Boxes carry their own fill and dark text. Arrows and captions are of a mid grey, so that the figure
is legible on light and on dark pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FIGURE = Path(__file__).parent / "images" / "architecture.svg"
WIDTH = 1000
HEIGHT = 520
LINE = "#808890"

# Fill of a box by what it is.
FILLS = {
    "data": "#e8e8e8",
    "text": "#fde3b5",
    "frames": "#cfe3fa",
    "tokens": "#d7efd0",
    "decoding": "#ecd9f3",
}


@dataclass(frozen=True)
class Box:
    """A box with a title and a line below it; `x` and `y` are its centre."""

    x: float
    y: float
    title: str
    caption: str = ""
    kind: str = "data"
    width: float = 108
    height: float = 46

    @property
    def left(self) -> tuple[float, float]:
        """The middle of its left side."""
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        """The middle of its right side."""
        return self.x + self.width / 2, self.y

    @property
    def top(self) -> tuple[float, float]:
        """The middle of its upper side."""
        return self.x, self.y - self.height / 2

    @property
    def bottom(self) -> tuple[float, float]:
        """The middle of its lower side."""
        return self.x, self.y + self.height / 2

    def svg(self) -> str:
        """Return the box as SVG."""
        x, y = self.x - self.width / 2, self.y - self.height / 2
        shape = (
            f'<rect x="{x:g}" y="{y:g}" width="{self.width:g}" height="{self.height:g}" rx="6" '
            f'fill="{FILLS[self.kind]}" stroke="{LINE}"/>'
        )
        if not self.caption:
            return shape + _text(self.x, self.y + 5, self.title, "title")
        title = _text(self.x, self.y - 3, self.title, "title")
        return shape + title + _text(self.x, self.y + 14, self.caption, "caption")


def _text(x: float, y: float, text: str, style: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{text}</text>'


def _arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.6"{dashes} marker-end="url(#arrow)"/>'


def _frame(x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="none" '
        f'stroke="{LINE}" stroke-dasharray="4 4"/>'
    )


def _whole_model() -> list[str]:
    """Return the upper half: from a video and names to segments."""
    names = Box(66, 50, "action names")
    text_encoder = Box(196, 50, "text encoder", "frozen", "text", 116)
    vectors = Box(446, 50, "text vectors", "(C, slots, E)", "text", 124)
    video = Box(66, 150, "video")
    frame_encoder = Box(196, 150, "frame encoder", "frozen", "text", 116)
    features = Box(326, 150, "features", "(T, D)")
    blocks = [
        Box(446, 150, "block i", "input", "frames", 92),
        Box(552, 150, "block u", "update", "frames", 92),
        Box(658, 150, "block U", "on segments", "frames", 92),
    ]
    decoding = Box(808, 150, "decoding", "see below", "decoding", 100)
    segments = Box(934, 150, "segments", "with confidence")
    row = [video, frame_encoder, features, *blocks, decoding, segments]
    parts = [box.svg() for box in (names, text_encoder, vectors, *row)]
    parts += [_arrow(names.right, text_encoder.left), _arrow(text_encoder.right, vectors.left)]
    for first, second in pairwise(row):
        parts.append(_arrow(first.right, second.left))
    rail = 100
    parts.append(_arrow(vectors.bottom, blocks[0].top))
    for block in blocks[1:]:
        parts.append(_arrow((vectors.x, rail), (block.x, rail), block.top))
    parts.append(_text(672, 96, "read by open heads", "note", "start"))
    parts.append(_text(735, 142, "scores", "note"))
    parts.append(_frame(392, 114, 320, 72))
    caption = "model.blocks: frames (T, H) and tokens (M, H) from block to block"
    parts.append(_text(552, 206, caption, "note"))
    return parts


def _update_block() -> list[str]:
    """Return the lower left: one update block `u`."""
    frames = Box(75, 300, "frames", "(T, H)", "frames", 96)
    tokens = Box(75, 440, "tokens", "(M, H)", "tokens", 96)
    f2a = Box(205, 440, "f2a attention", "tokens read frames", "tokens", 128)
    action = Box(350, 440, "action branch", "self-attention", "tokens", 112)
    a2f = Box(350, 300, "a2f attention", "frames read tokens", "frames", 128)
    frame_branch = Box(490, 300, "frame branch", "convolutions", "frames", 108)
    frame_head = Box(620, 300, "frame head", "(T, C)", "frames", 100)
    token_head = Box(620, 440, "token head", "(M, C + null)", "tokens", 100)
    boxes = (frames, tokens, f2a, action, a2f, frame_branch, frame_head, token_head)
    parts = [box.svg() for box in boxes]
    parts += [_arrow(tokens.right, f2a.left), _arrow(f2a.right, action.left)]
    parts += [
        _arrow((205, 300), f2a.top),
        _arrow(frames.right, a2f.left),
        _arrow(a2f.right, frame_branch.left),
    ]
    parts += [_arrow(action.top, a2f.bottom), _arrow(action.right, token_head.left)]
    parts.append(_arrow(frame_branch.right, frame_head.left))
    parts.append(_frame(12, 250, 674, 244))
    parts.append(_text(24, 270, "one block u", "heading", "start"))
    return parts


def _decoding() -> list[str]:
    """Return the lower right: from scores to labels."""
    calibration = Box(853, 300, "prior and gamma", "calibration.json", "decoding", 200)
    fusion = Box(853, 370, "fusion of both voters", "decode.frame_weight", "decoding", 200)
    path = Box(853, 440, "best path", "decode.switch_penalty", "decoding", 200)
    parts = [box.svg() for box in (calibration, fusion, path)]
    parts += [_arrow(calibration.bottom, fusion.top), _arrow(fusion.bottom, path.top)]
    parts.append(_arrow((670, 300), calibration.left))
    parts.append(_arrow((670, 440), (705, 440), (705, 312), (753, 312)))
    parts.append(_frame(718, 250, 270, 244))
    parts.append(_text(730, 270, "decoding", "heading", "start"))
    caption = (
        "Training matches tokens to true segments and sums the loss over the scores of all blocks."
    )
    parts.append(_text(500, 512, caption, "note"))
    return parts


def figure() -> str:
    """Return the figure as SVG."""
    style = (
        "text{font-family:system-ui,sans-serif}"
        ".title{font-size:13px;font-weight:600;fill:#1b1f23}"
        ".caption{font-size:11px;fill:#333a41}"
        f".note{{font-size:12px;fill:{LINE}}}"
        f".heading{{font-size:14px;font-weight:600;fill:{LINE}}}"
    )
    marker = (
        '<marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L10,5 L0,10 z" fill="{LINE}"/></marker>'
    )
    parts = [*_whole_model(), *_update_block(), *_decoding()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="The architecture of FACT-CLIP">\n'
        f"<style>{style}</style><defs>{marker}</defs>\n" + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    FIGURE.write_text(figure(), encoding="utf-8")
