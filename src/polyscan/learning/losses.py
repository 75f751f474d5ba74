"""Losses of the heads, all as ``loss(logits, target)`` on rows whose target is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def classification_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of logits (batch, class) and class indices (batch, 1)."""
    return functional.cross_entropy(logits, target[:, 0].long())


def multilabel_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of logits (batch, label, ...) and 0 or 1 of the same shape."""
    return functional.binary_cross_entropy_with_logits(logits, target)


def ordinal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """CORAL (Cao et al., Pattern Recognition Letters 140, 2020) of ranks 0, 1, 2 ... (batch, 1).

    The mean over ``OrdinalHead``'s questions "above rank k" (batch, class - 1) of their binary cross-entropy.
    """
    above = (target > torch.arange(logits.shape[1], device=logits.device)).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, above)


def gaussian_loss(logits: Tensor, target: Tensor) -> Tensor:
    """0.5 (log v + (y - mu)^2 / v), the negative log-likelihood of a Gaussian without its constant.

    Nix and Weigend, ICNN 1994.

    Args:
        logits: (batch, 2 * targets): means, then log variances, as ``RegressionHead`` gives them.
        target: (batch, targets).
    """
    mean, log_variance = logits.chunk(2, dim=1)
    return 0.5 * (log_variance + (target - mean).square() * torch.exp(-log_variance)).mean()


def cox_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Minus Cox's log partial likelihood with Breslow's ties, averaged over events (Cox, JRSS B 34, 1972).

    Args:
        logits: (batch, 1) log risks. Patients are compared within the batch: take large ones.
        target: (batch, 2): time, and 1 where the event was seen, 0 where censored.

    Returns:
        One number; zero in a batch without an event.
    """
    time, event = target[:, 0], target[:, 1] > 0
    at_risk = time[None, :] >= time[:, None]
    risk = logits[:, 0].float()
    log_total = torch.logsumexp(risk[None, :].masked_fill(~at_risk, float("-inf")), dim=1)
    terms = (log_total - risk)[event]
    return terms.mean() if len(terms) else risk.sum() * 0


def discrete_survival_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the log-likelihood of hazards in intervals (Gensheimer and Narasimhan, PeerJ 2019), a patient.

    Args:
        logits: (batch, interval) logits of the hazards.
        target: (batch, 2): index of the interval of the event or of censoring, and 1 where the event was seen. Who is
            censored in an interval has survived those before it.
    """
    interval, event = target[:, :1], target[:, 1:] > 0
    index = torch.arange(logits.shape[1], device=logits.device)
    survived = functional.softplus(logits) * (index < interval)
    died = functional.softplus(-logits) * ((index == interval) & event)
    return (survived + died).sum(1).mean()


def survival_curve(logits: Tensor) -> Tensor:
    """The probability (batch, interval) to have survived each interval, from logits of the hazards."""
    return torch.cumprod(torch.sigmoid(-logits), dim=1)


class RegionLoss(nn.Module):
    """1 - soft Dice + binary cross-entropy, each the mean over regions, which may overlap as tumour and core do.

    The loss of nnU-Net's region-based training (Isensee et al., nnU-Net for brain tumor segmentation, BrainLes
    2020). MONAI's ``DiceCELoss`` takes a softmax over several channels, as if a voxel were in one region only;
    for one region both are the same.

    Args:
        dice: weight of the first term.
        cross_entropy: weight of the second.
        batch: whether overlap is counted over the whole batch; otherwise study by study, and the mean is taken.

    Example:
        >>> logits, regions = torch.randn(2, 3, 8, 8, 8), torch.rand(2, 3, 8, 8, 8) > 0.5
        >>> RegionLoss()(logits, regions).isfinite()
        tensor(True)
    """

    def __init__(self, dice: float = 1.0, cross_entropy: float = 1.0, *, batch: bool = True) -> None:
        super().__init__()
        self.dice, self.cross_entropy, self.batch = dice, cross_entropy, batch

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """One number from logits and regions, 0 or 1, both (batch, region, *spatial)."""
        logits = logits.float()
        truth = target.to(logits.dtype)
        inside = logits.sigmoid()
        over = [*([0] if self.batch else []), *range(2, logits.dim())]
        overlap, size = (inside * truth).sum(over), (inside + truth).sum(over)
        dice = (2 * overlap + 1e-5) / (size + 1e-5)
        return self.dice * (1 - dice).mean() + self.cross_entropy * multilabel_loss(logits, truth)


class MultitaskLoss(nn.Module):
    """sum_t exp(-s_t) L_t + s_t / 2 over tasks, s_t learned; each task on the rows whose target is known.

    Kendall et al., Multi-task learning using uncertainty, CVPR 2018, equation 10: tasks that can be told less well
    weigh less. Give the loss's parameters to the optimizer beside the network's.

    Args:
        tasks: name to (channels of its logits, columns of its target, loss), in the order of ``MultitaskHead``.
        learned: whether s_t are learned; all 0 otherwise.

    Example:
        >>> loss = MultitaskLoss({"grade": (2, 1, ordinal_loss), "IDH": (2, 1, classification_loss)})
        >>> loss(torch.randn(3, 4), torch.tensor([[2, 0], [1, float("nan")], [0, 1]])).isfinite()
        tensor(True)
    """

    def __init__(self, tasks: Mapping[str, tuple[int, int, Loss]], *, learned: bool = True) -> None:
        super().__init__()
        self.losses = [loss for _, _, loss in tasks.values()]
        self.slices, self.targets = (
            list(itertools.pairwise(itertools.accumulate((task[k] for task in tasks.values()), initial=0)))
            for k in (0, 1)
        )
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)), requires_grad=learned)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """One number from (batch, channels of all logits) and (batch, columns of all targets), NaN where unknown.

        Raises:
            ValueError: the numbers of channels or columns are not those of the tasks.
        """
        expected = (self.slices[-1][1], self.targets[-1][1])
        if (logits.shape[1], target.shape[1]) != expected:
            raise ValueError(
                f"logits and target have {logits.shape[1]} and {target.shape[1]} columns; expected {expected}."
            )
        total = logits.sum() * 0
        for loss, (a, b), (c, d), s in zip(self.losses, self.slices, self.targets, self.log_variance, strict=True):
            known = torch.isfinite(target[:, c:d]).all(1)
            if bool(known.any()):
                total = total + torch.exp(-s) * loss(logits[known, a:b], target[known, c:d]) + s / 2
        return total


class MulticlassLoss(MultitaskLoss):
    """The sum over tasks of the cross-entropy of their classes, each on the rows whose class is known.

    Args:
        tasks: name to its classes, in the order of the logits.
        class_weights: task to a weight for each of its classes, such as the inverse of how often it is; 1 if not given.
        focal: exponent of (1 - probability of the true class), by which sure answers count less; 0 for cross-entropy
            (Lin et al., Focal loss for dense object detection, ICCV 2017, without alpha).

    Raises:
        ValueError: weights are given for a task that there is not, or not one a class.

    Example:
        >>> loss = MulticlassLoss({"grade": ["2", "3", "4"], "IDH": ["wildtype", "mutated"]}, {"IDH": [1, 3]}, focal=2)
        >>> loss(torch.randn(2, 5), torch.tensor([[2, 0], [float("nan"), 1]])).isfinite()
        tensor(True)
    """

    def __init__(
        self,
        tasks: Mapping[str, Sequence[str]],
        class_weights: Mapping[str, Sequence[float]] | None = None,
        focal: float = 0.0,
    ) -> None:
        given = dict(class_weights or {})
        wrong = [name for name in given if name not in tasks or len(given[name]) != len(tasks[name])]
        if wrong:
            raise ValueError(f"class_weights name {', '.join(wrong)}; expected tasks, with one weight a class.")
        super().__init__(
            {
                name: (len(classes), 1, partial(focal_loss, weights=given.get(name), focal=focal))
                for name, classes in tasks.items()
            },
            learned=False,
        )


def focal_loss(logits: Tensor, target: Tensor, weights: Sequence[float] | None = None, focal: float = 0.0) -> Tensor:
    """The mean of w (1 - p)^focal (-log p) of the true class, over the sum of w, as ``torch``'s cross-entropy takes it.

    Args:
        logits: (batch, class).
        target: (batch, 1) class indices.
        weights: w of each class.
        focal: see :class:`MulticlassLoss`.
    """
    truth = target[:, 0].long()
    log_p = functional.log_softmax(logits, 1).gather(1, truth[:, None])[:, 0]
    each = log_p.new_ones(logits.shape[1]) if weights is None else log_p.new_tensor(weights)
    w = each[truth]
    return -(w * (1 - log_p.exp()).clamp(min=0) ** focal * log_p).sum() / w.sum()
