"""How well the order of survival was told."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from polyscan.evaluation.statistics import concordance_index


class ConcordanceIndex(CumulativeIterationMetric):
    """Harrell's c of log risks (batch, 1) and (batch, 2) time and event, over all studies seen since ``reset``.

    See :func:`concordance_index`; studies whose survival is not known are left out.
    """

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Any:
        return torch.as_tensor(y_pred), y

    def aggregate(self) -> float:
        """The index; NaN where no pair has a known order, and where a risk is NaN."""
        risk, target = self.get_buffer()  # type: ignore[misc]
        known = torch.isfinite(target).all(1)
        return concordance_index(*(x[known].cpu().numpy() for x in (risk[:, 0], target[:, 0], target[:, 1])))
