"""How well classes were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.metrics import CumulativeIterationMetric
from torch import Tensor

from polyscan.evaluation.statistics import auroc


class TaskAUROC(CumulativeIterationMetric):
    """Area under the ROC curve, one class against the others, averaged over the classes, then over the tasks.

    A class that no study, or every study, has is left out; so is a study whose target is not known. NaN where nothing
    is left, and where an answer is NaN.

    Args:
        tasks: task to the names of its classes, in the order of the logits.
    """

    def __init__(self, tasks: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.tasks = tasks

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **_: Any) -> Any:
        return torch.as_tensor(y_pred), y

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
