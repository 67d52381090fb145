"""Long videos in windows that overlap: where they lie, and how far a model sees."""

from __future__ import annotations

from fact_clip.config import BlockConfig, ModelConfig


def convolution_reach(config: ModelConfig) -> int:
    """Rows to each side that the temporal convolutions of all blocks, one upon another, carry news from.

    A layer of dilation d reaches d rows: 2^l in layer l of `m`, the larger of 2^l and 2^(L-1-l) in `m2`, 4^l in the
    layers of object columns. Exact as a bound; most of the weight lies much nearer.
    """
    blocks = {"i": config.input, "I": config.input, "u": config.update, "U": config.pooled}
    return sum(_block_reach(blocks[letter]) for letter in config.blocks) + sum(
        4**layer for layer in range(config.objects.layers)
    )


def reach(config: ModelConfig) -> int | None:
    """Rows to each side that the scores of a row depend on; None where there is no bound but the video.

    Only a model of the input block alone has a bound, that of :func:`convolution_reach`. In update blocks frames ask
    tokens that have looked at the whole video, and a GRU runs over all segments: the far end of a video can change any
    row, and windows are an approximation.
    """
    return convolution_reach(config) if len(config.blocks) == 1 and not config.transcript else None


def _block_reach(config: BlockConfig) -> int:
    last = config.frame_layers - 1
    if config.frame == "m":
        return sum(2**layer for layer in range(config.frame_layers))
    return sum(2 ** max(layer, last - layer) for layer in range(config.frame_layers))
