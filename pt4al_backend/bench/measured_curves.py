"""Learning curves that were measured: mean test accuracies of ten seeds by labels, from docs/results/features.md."""

from collections.abc import Mapping

TENS, HUNDREDS = tuple(range(10, 101, 10)), tuple(range(100, 1001, 100))

#: By what was trained on which images: labels, and accuracies.
MEASURED: Mapping[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "random, digits": (TENS, (0.303, 0.485, 0.582, 0.656, 0.680, 0.707, 0.738, 0.767, 0.782, 0.800)),
    "PT4AL, digits": (TENS, (0.669, 0.712, 0.769, 0.801, 0.820, 0.838, 0.845, 0.857, 0.866, 0.873)),
    "random, Caltech-101": (HUNDREDS, (0.485, 0.588, 0.651, 0.692, 0.723, 0.746, 0.769, 0.785, 0.799, 0.807)),
    "PT4AL, Caltech-101": (HUNDREDS, (0.660, 0.725, 0.769, 0.785, 0.796, 0.803, 0.812, 0.826, 0.829, 0.843)),
    "random, CIFAR-10 by tens": (TENS, (0.217, 0.254, 0.295, 0.330, 0.351, 0.378, 0.389, 0.405, 0.421, 0.434)),
    "PT4AL, CIFAR-10 by tens": (TENS, (0.253, 0.321, 0.347, 0.384, 0.398, 0.425, 0.431, 0.439, 0.445, 0.456)),
    "random, CIFAR-10": (HUNDREDS, (0.416, 0.477, 0.510, 0.534, 0.548, 0.559, 0.564, 0.573, 0.579, 0.585)),
    "PT4AL, CIFAR-10": (HUNDREDS, (0.452, 0.495, 0.523, 0.540, 0.552, 0.570, 0.575, 0.582, 0.587, 0.592)),
    "random, unequal CIFAR-10": (HUNDREDS, (0.386, 0.440, 0.463, 0.475, 0.487, 0.497, 0.501, 0.508, 0.511, 0.520)),
    "PT4AL, unequal CIFAR-10": (HUNDREDS, (0.409, 0.439, 0.479, 0.492, 0.505, 0.515, 0.519, 0.526, 0.532, 0.535)),
}
