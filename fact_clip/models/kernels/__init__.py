"""Operations that the model spends its time in, written for the CPU."""

from fact_clip.models.kernels.base import (
    CachesWeights,
    full_precision,
    keep_freed_memory,
    product_dtype,
    use_cpu_kernel,
)
from fact_clip.models.kernels.convolution import (
    Convolution,
    FrameConv,
    Taps,
    convolve_sum,
    merge_taps,
    multiply_taps,
)
from fact_clip.models.kernels.dropout import Dropout
from fact_clip.models.kernels.gru import BidirectionalGRU

__all__ = [
    "BidirectionalGRU",
    "CachesWeights",
    "Convolution",
    "Dropout",
    "FrameConv",
    "Taps",
    "convolve_sum",
    "full_precision",
    "keep_freed_memory",
    "merge_taps",
    "multiply_taps",
    "product_dtype",
    "use_cpu_kernel",
]
