"""The 95 % interval of a share by its score test (Wilson 1927).

scipy has it too, but takes each process half a second of CPU to import, and counts whole images alone.
"""

import math
from statistics import NormalDist

LEVEL = 0.95
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def width(share: float, images: float) -> float:
    """Width of the interval of a share 0..1 of so many images, of which there may be a fraction; it falls as they grow."""
    return 2 * _Z * math.sqrt(share * (1 - share) * images + _Z**2 / 4) / (images + _Z**2)


def bounds(share: float, images: float) -> tuple[float, float]:
    """The interval of a share 0..1 of so many images, of which there may be a fraction."""
    middle = (share * images + _Z**2 / 2) / (images + _Z**2)
    half = width(share, images) / 2
    return max(middle - half, 0.0), min(middle + half, 1.0)
