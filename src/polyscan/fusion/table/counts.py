"""Counts of genes or cells as numbers that can be compared between patients."""

from __future__ import annotations

import torch
from torch import Tensor


def centred_log_ratio(counts: Tensor, pseudocount: float = 0.5) -> Tensor:
    """log(x_g) - mean_g log(x_g) with x = counts + pseudocount, then log10 of the library size.

    Aitchison (1982): what sequencing depth multiplies drops out, so that the depth is given beside it.

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


def pearson_residuals(
    counts: Tensor, fractions: Tensor | None = None, *, theta: float = 100.0, clip: float | None = None
) -> Tensor:
    """(x - mu) / sqrt(mu + mu^2 / theta) with mu = depth of the patient times the fraction of the gene.

    Analytic Pearson residuals of a negative binomial with one overdispersion for all genes (Lause, Berens and Kobak,
    Genome Biology 22:258, 2021): genes of few and of many counts come to one scale, where the
    logarithm of :func:`centred_log_ratio` spreads those of few.

    Args:
        counts: (batch, gene), not negative; NaN where not measured.
        fractions: (gene,) of all counts of the patients that a network was trained on, as :func:`gene_fractions` gives
            them; those of these patients where not given. Keep them beside the weights: a patient alone has none.
        theta: overdispersion; as it grows the counts become Poisson's.
        clip: residuals beyond it are cut; the root of the number of patients where not given, as the paper has it.

    Returns:
        (batch, gene), NaN where ``counts`` are; 0 for a gene that no patient had.

    Raises:
        ValueError: a count is negative, theta is not positive, or there is not one fraction a gene.
    """
    if bool((counts < 0).any()):
        raise ValueError(f"counts go down to {float(counts[counts < 0].min()):g}; expected raw counts, not logarithms.")
    if theta <= 0:
        raise ValueError(f"theta is {theta:g}; expected more than 0.")
    share = gene_fractions(counts) if fractions is None else fractions.to(counts.dtype)
    if share.shape != counts.shape[1:]:
        raise ValueError(f"fractions have shape {list(share.shape)}; expected one for each of {counts.shape[1]} genes.")
    # What was measured of a patient is a part of the whole that the fractions tell.
    recorded_share = (~counts.isnan()).to(counts.dtype) @ share
    depth = counts.nansum(1) / recorded_share.clamp_min(torch.finfo(counts.dtype).tiny)
    mean = depth[:, None] * share
    residuals = (counts - mean) / torch.sqrt(mean + mean.square() / theta).clamp_min(torch.finfo(counts.dtype).tiny)
    limit = float(len(counts)) ** 0.5 if clip is None else clip
    return residuals.clamp(-limit, limit)


def gene_fractions(counts: Tensor) -> Tensor:
    """The part of all counts that each gene has, (gene,), from (batch, gene) counts; NaN was not measured."""
    of_gene = counts.nansum(0)
    return of_gene / of_gene.sum().clamp_min(torch.finfo(counts.dtype).tiny)
