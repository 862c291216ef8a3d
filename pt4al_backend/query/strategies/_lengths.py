"""Features of unit length, for strategies that compare directions."""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]


def of_unit_length(features: Features) -> Features:
    """Features float32[n, d] brought to Euclidean length one; zeros stay zeros.

    Not scikit-learn's ``normalize``, which takes rows shorter than 1e-6 for zeros.
    """
    # from both ends: no copy of all numbers for their absolute values
    largest = np.maximum(features.max(1, keepdims=True, initial=0.0), -features.min(1, keepdims=True, initial=0.0))
    scaled: Features = features / np.maximum(largest, np.finfo(np.float32).tiny)
    lengths = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    scaled /= np.where(lengths > 0, lengths, 1)
    return scaled
