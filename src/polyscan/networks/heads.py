"""Heads: from the fused features of every level to the logits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from monai.networks.layers import Conv, Dropout
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.fusion.blocks import interpolate_to


class Head(nn.Module):
    """Everything up to the dropout (``pre_logits``), dropout, and a last small map: many samples cost one pass.

    Args:
        out_channels: channels of the logits.
        dropout: probability before the last map.
        outputs: names of the channels of the logits; empty where they have none.
    """

    def __init__(self, out_channels: int, dropout: float = 0.0, outputs: Sequence[str] = ()) -> None:
        super().__init__()
        if out_channels < 1:
            raise ValueError(f"out_channels is {out_channels}; expected at least 1.")
        if outputs and len(outputs) != out_channels:
            raise ValueError(f"{len(outputs)} outputs are named ({', '.join(outputs)}); there are {out_channels}.")
        self.out_channels = out_channels
        self.outputs = list(outputs)
        self.dropout: _DropoutNd = nn.Dropout(dropout)
        self.last: nn.Module = nn.Identity()

    def forward(self, features: list[Tensor]) -> Tensor:
        """Turn features, finest level first, into logits."""
        return self.logits(self.pre_logits(features))

    def dropout_layers(self) -> list[_DropoutNd]:
        """The dropout layers that can drop."""
        return [layer for layer in self.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]

    def pre_logits(self, features: list[Tensor]) -> Tensor:
        """Everything up to the dropout."""
        raise NotImplementedError

    def logits(self, pre_logits: Tensor) -> Tensor:
        """Everything from the dropout on."""
        return self.last(self.dropout(pre_logits))


class SegmentationHead(Head):
    """A U-Net decoder (Ronneberger et al., MICCAI 2015) with skips from the levels that were fused.

    Going up is linear interpolation to the grid of the level above, so that any image size and any stride of the
    encoder fits, then MONAI's pair of convolutions. The logits have the grid of the finest level.

    Args:
        channels: of each level, finest first; 0 for a level that gives no skip.
        spatial_dims: 2 or 3.
        out_channels: channels of the logits.
        regions: names of the channels, instead of their number.
        width: channels that the decoder has at each level, finest first; the deepest level is taken as it comes. Where
            not given, those of the level's skip, or half of those below where it gives none.
        act, norm: as in ``monai.networks.nets.BasicUNet``.
        dropout: probability of each channel before the last convolution.
        deep_supervision: coarser levels of the decoder that have logits of their own (``deep``, finest first); training
            reads them, an answer does not.
        prior: probability of every region that an untrained network answers with, so that a short training need not
            begin by learning that most of an image is background (Lin et al., Focal loss for dense object detection,
            ICCV 2017, on initialisation); none in particular where not given.

    Raises:
        ValueError: ``width`` has another number of levels than there is, or fewer than are to be supervised; ``prior``
            does not lie between 0 and 1.
    """

    def __init__(
        self,
        channels: Sequence[int],
        spatial_dims: int = 3,
        *,
        out_channels: int = 1,
        regions: Sequence[str] = (),
        width: Sequence[int] | None = None,
        act: str | tuple = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm: str | tuple = ("instance", {"affine": True}),
        dropout: float = 0.0,
        deep_supervision: int = 0,
        prior: float | None = None,
    ) -> None:
        out_channels = len(regions) or out_channels
        super().__init__(out_channels, dropout, list(regions))
        width = decoder_widths(channels) if width is None else width
        if len(width) != len(channels) - 1:
            raise ValueError(
                f"width names {len(width)} levels; {len(channels)} levels of features need {len(channels) - 1}."
            )
        below = [*width[1:], channels[-1]]
        self.up = nn.ModuleList(
            TwoConv(spatial_dims, b + skip, w, act, norm, True)
            for b, skip, w in zip(below[::-1], channels[-2::-1], width[::-1], strict=True)
        )
        self.dropout = Dropout["dropout", spatial_dims](dropout)
        self.last = Conv["conv", spatial_dims](width[0], out_channels, kernel_size=1)
        if not 0 <= deep_supervision < len(width):
            raise ValueError(f"deep_supervision is {deep_supervision}; expected 0 to {len(width) - 1} coarser levels.")
        self.deep = nn.ModuleList(
            Conv["conv", spatial_dims](w, out_channels, kernel_size=1) for w in width[1 : 1 + deep_supervision]
        )
        if prior is not None:
            if not 0 < prior < 1:
                raise ValueError(f"prior is {prior}; expected 0 < prior < 1.")
            for last in (self.last, *self.deep):
                nn.init.constant_(last.bias, math.log(prior / (1 - prior)))

    def pre_logits(self, features: list[Tensor]) -> Tensor:
        """Decode features, finest level first, to (batch, width, *spatial)."""
        x = features[-1]
        for k, up in enumerate(self.up):
            skip = features[len(features) - 2 - k]
            x = up(torch.cat([skip, interpolate_to(x, skip)], dim=1))
        return x


def decoder_widths(channels: Sequence[int]) -> list[int]:
    """Channels of a decoder at each level but the deepest: those of its skip, or half of those below where it has none.

    Example:
        >>> decoder_widths([0, 8, 0, 64])
        [4, 8, 32]
    """
    widths = [channels[-1]]
    for skip in reversed(channels[:-1]):
        widths.insert(0, skip or max(widths[0] // 2, 1))
    return widths[:-1]


class PooledHead(Head):
    """A head that reads the average, or the maximum, of the deepest level over space, through a hidden layer.

    An average suits what a whole organ shows; what a small lesion shows is lost in it, and the maximum keeps it (Oquab
    et al., CVPR 2015). Without the hidden layer the logits are linear in what was fused, and behind a fusion
    at the deepest level that is linear too each modality adds a number of its own: that one modality changes what
    another one means could not be learned.

    Args:
        channels: of each level, finest first; only the last is read.
        spatial_dims: 2 or 3; any works.
        out_channels: channels of the logits.
        dropout: probability before the last map.
        pool: ``"average"`` or ``"maximum"``.
        hidden: width of the hidden layer; that of the deepest level where not given, 0 for none.
        outputs: see :class:`Head`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        spatial_dims: int = 3,
        *,
        out_channels: int = 2,
        dropout: float = 0.0,
        pool: str = "average",
        hidden: int | None = None,
        outputs: Sequence[str] = (),
    ) -> None:
        super().__init__(out_channels, dropout, outputs)
        self.pool = Pooling(pool)
        width = channels[-1] if hidden is None else hidden
        self.hidden = nn.Sequential(nn.Linear(channels[-1], width), nn.ReLU()) if width else nn.Identity()
        self.width = width or channels[-1]
        self.last = nn.Linear(self.width, out_channels)

    def pre_logits(self, features: list[Tensor]) -> Tensor:
        """Pool the deepest level: (batch, channel)."""
        return self.pool(features[-1])

    def logits(self, pre_logits: Tensor) -> Tensor:
        """The hidden layer, dropout, and the last map."""
        return self.last(self.dropout(self.hidden(pre_logits)))


class Pooling(nn.Module):
    """The average or the maximum over space."""

    def __init__(self, how: str) -> None:
        super().__init__()
        if how not in ("average", "maximum"):
            raise ValueError(f"pool is {how}; use average or maximum.")
        self.maximum = how == "maximum"

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, channel, *spatial) into (batch, channel)."""
        flat = x.flatten(2)
        return flat.amax(-1) if self.maximum else flat.mean(-1)


class ClassificationHead(PooledHead):
    """Logits (batch, class): softmax for classes that exclude each other, a sigmoid each for multi-label."""


class RegressionHead(PooledHead):
    """Means, then the logarithms of their variances: (batch, 2 * targets), for ``polyscan.learning.gaussian_loss``.

    Nix and Weigend, ICNN 1994. :class:`polyscan.fusion.PrecisionWeighted` fuses such answers.

    Args:
        channels, spatial_dims, options: see :class:`PooledHead`.
        targets: how many numbers are predicted.
    """

    def __init__(self, channels: Sequence[int], spatial_dims: int = 3, *, targets: int = 1, **options: Any) -> None:
        super().__init__(channels, spatial_dims, out_channels=2 * targets, **options)


class OrdinalHead(PooledHead):
    """Logits (batch, class - 1) of "above class k": one slope w and a threshold each (CORAL).

    Cao et al., Pattern Recognition Letters 140, 2020: thresholds share the slope, so that with
    ``polyscan.learning.ordinal_loss`` the probabilities fall from class to class.

    Args:
        channels, spatial_dims, options: see :class:`PooledHead`.
        classes: ordered classes, such as stages.
    """

    def __init__(self, channels: Sequence[int], spatial_dims: int = 3, *, classes: int = 3, **options: Any) -> None:
        super().__init__(channels, spatial_dims, out_channels=classes - 1, **options)
        self.last = Thresholds(self.width, classes - 1)


class Thresholds(nn.Module):
    """One linear score with several biases."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.score = nn.Linear(channels, 1, bias=False)
        self.bias = nn.Parameter(torch.linspace(1, -1, count))

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, channel) into (batch, count)."""
        return self.score(x) + self.bias


class CoxHead(PooledHead):
    """The log risk (batch, 1) of Cox's proportional hazards, for ``polyscan.learning.cox_loss``.

    Args:
        channels, spatial_dims, options: see :class:`PooledHead`.
    """

    def __init__(self, channels: Sequence[int], spatial_dims: int = 3, **options: Any) -> None:
        super().__init__(channels, spatial_dims, out_channels=1, **options)


class DiscreteSurvivalHead(PooledHead):
    """Logits (batch, interval) of the hazard in each interval of time.

    Gensheimer and Narasimhan, A scalable discrete-time survival model for neural networks, PeerJ 2019; for
    ``polyscan.learning.discrete_survival_loss``.

    Args:
        channels, spatial_dims, options: see :class:`PooledHead`.
        intervals: into how many the follow-up is cut.
    """

    def __init__(self, channels: Sequence[int], spatial_dims: int = 3, *, intervals: int = 10, **options: Any) -> None:
        super().__init__(channels, spatial_dims, out_channels=intervals, **options)


class MultitaskHead(Head):
    """Several pooled heads on the same features; their logits stand behind each other.

    Args:
        channels, spatial_dims: as each head takes them.
        tasks: name to what makes its head (``head(channels, spatial_dims)``).
        pool: see :class:`PooledHead`; the heads read what is pooled here.

    Example:
        >>> head = partial(MultitaskHead, tasks={"grade": partial(OrdinalHead, classes=3), "IDH": ClassificationHead})
    """

    def __init__(
        self,
        channels: Sequence[int],
        spatial_dims: int = 3,
        *,
        tasks: Mapping[str, Callable[[Sequence[int], int], PooledHead]],
        pool: str = "average",
    ) -> None:
        heads = {name: make(channels, spatial_dims) for name, make in tasks.items()}
        outputs = [f"{name}: {output}" for name, head in heads.items() for output in head.outputs]
        super().__init__(sum(head.out_channels for head in heads.values()), outputs=outputs)
        self.pool = Pooling(pool)
        self.heads = nn.ModuleDict(heads)
        self.slices = slices_of({name: head.out_channels for name, head in heads.items()})

    def pre_logits(self, features: list[Tensor]) -> Tensor:
        """Pool the deepest level: (batch, channel)."""
        return self.pool(features[-1])

    def logits(self, pre_logits: Tensor) -> Tensor:
        """Every head's logits, in the order of the tasks: (batch, sum of their channels)."""
        each: list[Tensor] = []
        for head in self.heads.values():
            each.append(head.logits(pre_logits))  # type: ignore[operator]
        return torch.cat(each, dim=1)

    def split(self, logits: Tensor) -> dict[str, Tensor]:
        """Name to each task's part of the logits."""
        return {name: logits[:, start:end] for name, (start, end) in self.slices.items()}


class MulticlassHead(MultitaskHead):
    """Several tasks, each a choice among classes: the logits of the first task's classes, then those of the next.

    Args:
        channels, spatial_dims, pool, options: see :class:`PooledHead`.
        tasks: name to its classes.
    """

    def __init__(
        self,
        channels: Sequence[int],
        spatial_dims: int = 3,
        *,
        tasks: Mapping[str, Sequence[str]],
        pool: str = "average",
        **options: Any,
    ) -> None:
        heads = {
            name: partial(ClassificationHead, out_channels=len(classes), outputs=[str(c) for c in classes], **options)
            for name, classes in tasks.items()
        }
        super().__init__(channels, spatial_dims, tasks=heads, pool=pool)


def slices_of(channels: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Where each task's channels begin and end when they stand behind each other."""
    ends = itertools.accumulate(channels.values(), initial=0)
    return dict(zip(channels, itertools.pairwise(ends), strict=True))
