"""What a network is watched by while it is trained: metrics of MONAI over the answers for all studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from polyscan.evaluation.statistics import auroc, concordance_index


class _OfAllStudies(CumulativeIterationMetric):
    """Keep what was answered and what is true until ``aggregate`` scores all of it."""

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Any:
        return torch.as_tensor(y_pred), y


class TaskAUROC(_OfAllStudies):
    """Area under the ROC curve, one class against the others, averaged over the classes, then over the tasks.

    A class that no study, or every study, has is left out; so is a study whose target is not known. NaN where nothing
    is left, and where an answer is NaN.

    Args:
        tasks: task to the names of its classes, in the order of the logits.
    """

    def __init__(self, tasks: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.tasks = tasks

    def aggregate(self) -> float:
        """The area over all studies seen since ``reset``."""
        pred, target = self.get_buffer()  # type: ignore[misc]
        areas = []
        for column, part in enumerate(torch.split(pred, [len(c) for c in self.tasks.values()], dim=1)):
            known = torch.isfinite(target[:, column])
            each = [
                auroc(part[known, k].cpu().numpy(), (target[known, column] == k).cpu().numpy())
                for k in range(part.shape[1])
                if 0 < int((target[known, column] == k).sum()) < int(known.sum())
            ]
            areas += [sum(each) / len(each)] if each else []
        return float(sum(areas) / len(areas)) if areas else float("nan")


class ConcordanceIndex(_OfAllStudies):
    """Harrell's c of log risks (batch, 1) and (batch, 2) time and event, over all studies seen since ``reset``.

    See :func:`concordance_index`; studies whose survival is not known are left out.
    """

    def aggregate(self) -> float:
        """The index; NaN where no pair has a known order, and where a risk is NaN."""
        risk, target = self.get_buffer()  # type: ignore[misc]
        known = torch.isfinite(target).all(1)
        return concordance_index(*(x[known].cpu().numpy() for x in (risk[:, 0], target[:, 0], target[:, 1])))
