"""The threshold of a segmentation at which no more is missed, on average, than was promised."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from polyscan.errors import PolyscanError


def controlled_column(losses: ArrayLike, risk: float = 0.1) -> int:
    """The last threshold at which the expected loss of a new subject is at most a given risk.

    Conformal risk control (Angelopoulos et al., ICLR 2024): the last at which (the sum of the losses + 1) / (n + 1) is
    at most the risk. It holds on average over the n subjects and a new one, if all are exchangeable.

    Args:
        losses: (subject, threshold), each from 0 to 1 and nowhere falling from one threshold to the next, as the part
            of a region that is missed.
        risk: what the loss is to be at most, on average.

    Returns:
        The column of the threshold.

    Raises:
        PolyscanError: the risk cannot be promised at any threshold: too few subjects, or all thresholds lose more.

    Example:
        >>> controlled_column([[0.0, 0.1, 0.4]] * 9, risk=0.2)
        1
    """
    each = np.asarray(losses, dtype=np.float64)
    bound = (each.sum(0) + 1) / (len(each) + 1)
    kept = int(np.count_nonzero(bound <= risk + 1e-9))  # rounding: nine subjects of no loss are a tenth
    if not kept:
        raise PolyscanError(
            f"A risk of {risk:g} cannot be promised from {len(each)} subjects, who with one more that loses all lose "
            f"{bound.min():.4g} at the least, on average; give more subjects, or a higher risk."
        )
    return kept - 1
