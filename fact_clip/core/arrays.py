"""Types of arrays, named after their content."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Flags: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Image: TypeAlias = NDArray[np.uint8]  # (..., H, W, 3), RGB
Integers: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.floating]  # of any precision
Singles: TypeAlias = NDArray[np.float32]
