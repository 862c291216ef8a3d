"""How good a model is, by its control picks and by how sure it is of the whole pool: one number with a 95 % interval.

Images without a label measure a model too, where its confidence says how often it is right. With y of the n control picks, 1
where the model is right and 0 where it is not, and g, how sure it is of its answer,

    p = mean of g over the pool + mean of (y - g) over the control picks

is unbiased whatever g is worth: control picks are drawn uniformly, so the second mean takes away what the first is off by. This
is the difference estimator of surveys (Cassel, Särndal and Wretman, Biometrika 1976), which prediction-powered inference brings
to models (Angelopoulos et al., Science 2023; lambda = 1). A lambda that is tuned on the same picks (PPI++, 2023) is biased and
its interval too narrow where they are few. A confidence that was calibrated on cross-validated labels needs none.

The interval is Wilson's (1927) for a share of as many picks as would be as exact,

    m = p (1 - p) / (s^2 / n + v),    s^2 the variance of y - g, v that of the pool's mean,

as surveys have it (Franco, Little, Louis and Slud, Journal of Survey Statistics and Methodology 2019): the normal interval holds
the truth too rarely with few picks. When not to use it, ``suits`` says; docs/results/pool-estimate.md has the simulation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pt4al_backend import wilson

#: Control picks that are expected to be right, and as many to be wrong: with fewer their spread is hardly known.
LEAST = 5
#: Times as many picks as there are is the most that an estimate is taken to be worth.
MOST_WORTH = 2.0
#: Of the variance of being right, what confidence has to explain of cross-validated labels.
LEAST_EXPLAINED = 0.05
#: Share of the plain interval's width up to which it may matter how labelled images are counted.
MOST_DOUBT = 0.25

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PoolConfidence:
    """How sure a model is of the pool's images.

    No model is unsure of what it has learned. So of labelled images those say it that have not learned them: cross-validation.

    Attributes:
        mean: over all of them, 0..1.
        variance: of the mean, as some images were drawn to stand for all; 0 if none were left out.
        doubt: by how much the mean would differ without the labelled images, and at most with those that could not be judged.
            Truth is close: cross-validated models have learned a little less, and labelled images were chosen for being hard.
        tells: whether confidence tells right answers from wrong ones, by the cross-validated labels.
    """

    mean: float
    variance: float
    doubt: float
    tells: bool

    @classmethod
    def of(cls, unlabelled: Floats, images: int, labelled: Floats, right: Floats, unjudged: int = 0) -> "PoolConfidence":
        """From the confidences on unlabelled images, and on labelled ones.

        Args:
            unlabelled: how sure the model is of some of them, one or more, float64 [u].
            images: how many there are, of which these were drawn.
            labelled: how sure cross-validated models are of labelled images, float64 [l].
            right: whether they are right, 1 or 0, float64 [l].
            unjudged: labelled images beside these, of a class that the others have not. They are left out.
        """
        alone, share = float(unlabelled.mean()), images / (images + len(labelled))
        mean = share * alone + float(labelled.sum()) / (images + len(labelled))
        drawn = float(unlabelled.var()) / len(unlabelled) * (1 - len(unlabelled) / images)
        tells = len(right) > 0 and bool((right - labelled).var() < (1 - LEAST_EXPLAINED) * right.var())
        return cls(mean, share**2 * drawn, abs(mean - alone) + unjudged / (images + len(labelled) + unjudged), tells)

    def suits(self, picks: int) -> bool:
        """Whether an estimate from so many control picks is worth more than they are alone.

        What they turn out to be has no part in it: an estimate that is shown when it looks good is biased.
        """
        expected = picks * min(self.mean, 1 - self.mean)
        return self.tells and expected >= LEAST and self.doubt <= MOST_DOUBT * wilson.width(self.mean, picks)


@dataclass(frozen=True)
class PoolEstimate:
    """A measure 0..1 with the bounds of its 95 % interval.

    Attributes:
        picks: control picks that it rests on.
        worth: how many of them alone would be as exact; not a whole number.
    """

    value: float
    low: float
    high: float
    picks: int
    worth: float


def estimate(right: Floats, confidence: Floats, pool: PoolConfidence) -> PoolEstimate:
    """The estimate from two control picks or more: the model is right, 1 or 0, and sure of its answers, float64 [n] each."""
    picks = len(right)
    value = min(max(pool.mean + float((right - confidence).mean()), 0.0), 1.0)
    kept = min(max(value, 1 / (2 * picks)), 1 - 1 / (2 * picks))  # a share of 0 or 1 would have no variance
    variance = float((right - confidence).var(ddof=1)) / picks + pool.variance
    worth = min(kept * (1 - kept) / max(variance, 1e-12), MOST_WORTH * picks)
    worth = max(worth, float(picks))  # suits() has seen to it that confidence helps: less is the luck of the draw
    return PoolEstimate(value, *wilson.bounds(value, worth), picks, worth)
