"""The linear model of a RidgeNet is fitted before anything else is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import convert_to_tensor
from torch import Tensor

from polyscan.networks import RidgeNet

WEAKEST, STRONGEST = -4, 3
"""Penalties are powers of 10, from the one exponent to the other."""


class FitRidge:
    """Fit a linear model for each subset of the tables, with a penalty for each table.

    The mean loss plus sum_t penalty_t |beta_t|^2 / 2 is least, of columns of mean 0 and variance 1 that are divided by
    the root of their number in the table. Penalties differ by table, since tables differ in how much of them tells
    something (van de Wiel et al., Fast cross-validation for multi-penalty ridge regression, JCGS 30, 2021); they are
    those with the least loss on groups of studies that were left out, searched table by table.

    Args:
        network: whose linear model is fitted.
        dataset: items with ``image`` (modality, size) and ``label``, as the loss takes it; without a label none.
        loss: of (study, 1) and labels, the mean over studies or events.
    """

    def __init__(self, network: RidgeNet, dataset: Sequence[Any], loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.network = network
        self.dataset = dataset
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch:
            return
        items = [self.dataset[k] for k in range(len(self.dataset))]
        known = [item for item in items if bool(item["label"].isfinite().all())]
        image, target = (
            torch.stack([convert_to_tensor(item[key], device="cpu") for item in known]) for key in ("image", "label")
        )
        network = self.network
        finite = image.isfinite()
        count = finite.sum(0).clamp(min=1)
        centre = image.masked_fill(~finite, 0.0).sum(0) / count
        values = (image - centre).masked_fill(~finite, 0.0)
        scale = (values.square().sum(0) / count).sqrt()
        columns = (scale > 0).sum(1, keepdim=True).clamp(min=1)
        factor = torch.where(scale > 0, 1 / (scale * columns.sqrt()), 0.0)
        network.centre.copy_(centre)
        network.coefficients.zero_()
        available = finite.flatten(2).any(2)
        for subset in range(1, len(network.coefficients)):
            tables = [m for m in range(image.shape[1]) if subset >> m & 1]
            rows = available[:, tables].any(1)
            if bool(rows.any()):
                blocks = [(values * factor)[rows, m] for m in tables]
                found = fit_ridge(blocks, target[rows], self.loss, network.coefficients.shape[1] - 1)
                beta = torch.zeros(network.coefficients.shape[1], *centre.shape)
                beta[:, tables] = found
                network.coefficients[subset] = (beta * factor).flatten(1)


def fit_ridge(
    blocks: Sequence[Tensor], target: Tensor, loss: Callable[[Tensor, Tensor], Tensor], groups: int
) -> Tensor:
    """A linear model with a penalty for each block of columns, chosen on groups of rows that are left out.

    Args:
        blocks: (row, column) each, of as many columns.
        target: (row, ...) as the loss takes it.
        loss: of (row, 1) and the target.
        groups: of rows, drawn by chance, the same each time.

    Returns:
        (1 + group, block, column): the model of all rows, and those without each group.
    """
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(0))
    group = torch.empty(len(target), dtype=torch.long)
    group[order] = torch.arange(len(target)) % groups
    blocks = [block.double() for block in blocks]
    kernels = [block @ block.T for block in blocks]

    def kernel(exponents: tuple[int, ...]) -> Tensor:
        return torch.stack([10.0**-e * k for e, k in zip(exponents, kernels, strict=True)]).sum(0)

    @cache
    def left_out(exponents: tuple[int, ...]) -> float:
        k, total = kernel(exponents), 0.0
        for g in range(groups):
            fitted, tested = group != g, group == g
            near[g] = _dual(k[fitted][:, fitted], target[fitted], loss, near.get(g))
            total += float(loss((k[tested][:, fitted] @ near[g])[:, None], target[tested]))
        return total

    near: dict[int, Tensor] = {}  # where the search of the next penalties begins
    best, found = (0,) * len(blocks), None
    while found != best:
        found = best
        for b in range(len(blocks)):
            exponents = [e for e in (best[b], best[b] + 1, best[b] - 1) if WEAKEST <= e <= STRONGEST]
            tried = [(*best[:b], e, *best[b + 1 :]) for e in exponents]
            best = min(tried, key=left_out)
    k, models = kernel(best), []
    for g in (-1, *range(groups)):
        fitted = group != g
        dual = _dual(k[fitted][:, fitted], target[fitted], loss)
        models.append(torch.stack([10.0**-e * block[fitted].T @ dual for e, block in zip(best, blocks, strict=True)]))
    return torch.stack(models).float()


def _dual(
    kernel: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor], start: Tensor | None = None
) -> Tensor:
    """(row,) a, of answers K a, where the loss plus a K a / 2 is least; from ``start`` on fewer steps are enough."""
    small = 1e-9 * kernel.diagonal().mean().clamp(min=1e-6)
    root = torch.linalg.cholesky(kernel + small * torch.eye(len(kernel), dtype=kernel.dtype))
    b = (torch.zeros_like(kernel[0]) if start is None else root.T @ start).requires_grad_()
    optimizer = torch.optim.LBFGS([b], max_iter=20, tolerance_change=1e-6, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = loss((root @ b)[:, None], target) + b.square().sum() / 2
        value.backward()
        return value

    optimizer.step(objective)
    return torch.linalg.solve_triangular(root.T, b.detach()[:, None], upper=True)[:, 0]
