"""How much is told of a class, and how much of it by two sources alike, by one of them alone, and by both at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from polyscan.evaluation.calibration import negative_log_likelihood


class Bounds(NamedTuple):
    """At least and at most, in bits; ``str`` writes ``0.120 to 0.350``."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f}"


class PartialInformation(NamedTuple):
    """What two sources tell of a class, in bits.

    Attributes:
        redundant: told by either of them.
        unique_first, unique_second: told by this one alone.
        synergistic: told by both at once, and by neither.
    """

    redundant: Bounds
    unique_first: Bounds
    unique_second: Bounds
    synergistic: Bounds


def entropy(target: ArrayLike) -> float:
    """Bits that there are to tell of classes as frequent as in (study,) indices."""
    _, counts = np.unique(np.asarray(target), return_counts=True)
    frequency = counts / counts.sum()
    return float(-(frequency * np.log2(frequency)).sum())


def predicted_information(probabilities: ArrayLike, target: ArrayLike) -> float:
    """At least so much is told of the class by what a model reads: I(Y; X) >= H(Y) - NLL.

    Barber and Agakov, The IM algorithm, NeurIPS 2003. The model must not have seen these studies; of few it is a bound
    on average. What is lost by a model that is bad, or badly calibrated, is lost here too.

    Args:
        probabilities: (study, class).
        target: (study,) index of the true class.

    Returns:
        Bits; 0 where the model is worse than to know how frequent the classes are.

    Examples:
        >>> predicted_information([[1, 0], [0, 1]], [0, 1]), predicted_information([[0.5, 0.5], [0.5, 0.5]], [0, 1])
        (1.0, 0.0)
    """
    return max(0.0, entropy(target) - negative_log_likelihood(probabilities, target) / math.log(2))


def partial_information(first: float, second: float, together: float) -> PartialInformation:
    """Between which bounds redundant, unique and synergistic information lie.

    The lattice of two sources (Williams and Beer, arXiv 1004.2515, 2010) has I_1 = R + U_1, I_2 = R + U_2 and
    I_12 = R + U_1 + U_2 + S, one equation too few, and none of the four is negative: R is at least I_1 + I_2 - I_12
    and at most the smaller of I_1 and I_2, and says what the others are (bounds as in Liang et al., NeurIPS 2023).

    Args:
        first: I_1, bits that the first source tells of the class.
        second: I_2, of the second source.
        together: I_12, of both; who reads both can do as well as who reads one, so that less than either is raised.

    Examples:
        >>> str(partial_information(0, 0, 1).synergistic), str(partial_information(1, 1, 1).redundant)
        ('1.000 to 1.000', '1.000 to 1.000')
    """
    together = max(first, second, together)
    least, most = max(0.0, first + second - together), min(first, second)
    beyond = together - first - second
    return PartialInformation(
        Bounds(least, most),
        Bounds(first - most, first - least),
        Bounds(second - most, second - least),
        Bounds(max(0.0, beyond), beyond + most),
    )
