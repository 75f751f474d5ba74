"""Counts of genes or cells as numbers that can be compared between patients."""

from __future__ import annotations

import torch
from torch import Tensor


def centred_log_ratio(counts: Tensor, pseudocount: float = 0.5) -> Tensor:
    """log(x_g) - mean_g log(x_g) with x = counts + pseudocount, then log10 of the library size.

    Aitchison (1982, section 4.1): what sequencing depth multiplies drops out, so that the depth is given beside it.

    Args:
        counts: (batch, gene), not negative; NaN where not measured.
        pseudocount: added to every count, so that zero has a logarithm.

    Returns:
        (batch, gene + 1), NaN where ``counts`` are; the last column is NaN where no gene was measured.

    Raises:
        ValueError: a count is negative.
    """
    if bool((counts < 0).any()):
        raise ValueError(f"counts go down to {float(counts[counts < 0].min()):g}; expected raw counts, not logarithms.")
    logs = torch.log(counts + pseudocount)
    library = torch.log10(counts.nansum(1, keepdim=True) + pseudocount)
    library = torch.where(counts.isnan().all(1, keepdim=True), torch.nan, library)
    return torch.cat([logs - logs.nanmean(1, keepdim=True), library], dim=1)
