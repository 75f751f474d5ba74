"""Otsu's threshold, by which body is told from air."""

from __future__ import annotations

import numpy as np


def otsu(counts: np.ndarray, centres: np.ndarray) -> int:
    """The bin of a histogram that ends the lower of two classes with the greatest variance between them.

    Otsu, IEEE Transactions on Systems, Man and Cybernetics 9(1), 1979.

    Args:
        counts: (bin,).
        centres: (bin,) the values that the bins stand for, in rising order.
    """
    below, total = counts.cumsum(), (counts * centres).cumsum()
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return int(np.nan_to_num(between).argmax())
