"""Counts of genes that are often missed, beside a second measurement that tells a true zero from a missed one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from polyscan.phantom.tasks.task import Array, Streams, Task


class Counts(Task):
    """Gene g is on (z_g = 1) with a probability that the class sets; its count is Poisson where on, and often missed.

    p(c | z = 1) = (1 - q) Poisson(c; rate) + q [c = 0], p(c | z = 0) = Poisson(c; 0.1), and the second modality tells z
    with Gaussian noise. Genes are independent given the class: p(x | y) = prod_g sum_z p(z | y) p(c_g | z) p(a_g | z).
    Counts are given as log(1 + c).
    """

    def __init__(self, genes: int = 12, rate: float = 3.0, missed: float = 0.5, contrast: float = 2.0) -> None:
        super().__init__(
            "A type of cell from counts of genes of which half are missed, and from which genes are open to be read.",
            ["RNA", "ATAC"],
            (genes,),
            ["A", "B"],
        )
        first = np.resize([0.75, 0.25], genes)
        self.on = np.stack([first, 1 - first])  # (class, gene)
        self.rate, self.missed, self.contrast = rate, missed, contrast

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        shape = (len(y), *self.shape)
        on = streams("on").random(shape) < self.on[y]
        kept = streams("missed").random(shape) >= self.missed
        counts = streams("noise", "RNA").poisson(np.where(on, self.rate * kept, 0.1))
        opened = self.contrast * (on - 0.5) + streams("noise", "ATAC").standard_normal(shape)
        return np.stack([np.log1p(counts), opened], axis=1)

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        off, on = np.ones((2, len(x), *self.shape))
        if available[0]:
            counts = np.expm1(x[:, 0]).round()
            off = poisson.pmf(counts, 0.1)
            on = (1 - self.missed) * poisson.pmf(counts, self.rate) + self.missed * (counts == 0)
        if available[1]:
            odds = np.exp(self.contrast * x[:, 1])
            off, on = off / (1 + odds), on * odds / (1 + odds)
        gene = self.on[None] * on[:, None] + (1 - self.on[None]) * off[:, None]  # (subject, class, gene)
        return np.log(gene.clip(1e-300)).sum(axis=2)


TASK = Counts()
