"""What every fusion layer is: absent modalities are set aside here, once, so that a layer holds only its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class LossInputs(NamedTuple):
    """What a loss of a layer may read of one pass: see :meth:`FusionLayer.auxiliary_loss`."""

    features: Tensor
    available: Tensor
    fused: Tensor
    target: Tensor | None
    pyramid: Sequence[Tensor]


class FusionLayer(nn.Module):
    """Join the features of several modalities into one.

    A layer writes ``fuse``, which finds zeros wherever a modality is absent. Whatever stood there before, NaN and
    infinity included, changes neither the output nor a gradient. A layer whose paper trains it with a loss of its own
    writes ``loss_terms`` as well, and names the paper's weights in ``AUXILIARY_WEIGHTS``.

    Args:
        modalities: how many modalities there are, absent ones included; at least 1.
        channels: channels of each modality's features and of the output.
        spatial_dims: spatial axes of the features; layers without spatial kernels work at any rank.
        auxiliary_weights: term of ``auxiliary_loss`` to its weight in training, in place of the paper's.

    Attributes:
        auxiliary_weights: the weight of every term; what is trained is the supervised loss plus the weighted sum.

    Raises:
        ValueError: a number is below 1, or a weight is named that is none of the layer's terms.
        TypeError: a subclass writes only one of ``loss_terms`` and ``AUXILIARY_WEIGHTS``.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {}
    joins: ClassVar[str] = "features"
    """What a layer of this kind joins, for a network that has only one kind of thing to join at a place."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if bool(cls.AUXILIARY_WEIGHTS) != (cls.loss_terms is not FusionLayer.loss_terms):
            raise TypeError(f"{cls.__name__} must write both loss_terms and AUXILIARY_WEIGHTS, or neither.")

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if modalities < 1 or channels < 1:
            raise ValueError(f"modalities and channels must be at least 1, found {modalities} and {channels}.")
        given = auxiliary_weights or {}
        if unknown := sorted(set(given) - set(self.AUXILIARY_WEIGHTS)):
            raise ValueError(
                f"{type(self).__name__} has no auxiliary loss {', '.join(unknown)}; "
                f"its terms are {', '.join(self.AUXILIARY_WEIGHTS) or 'none'}."
            )
        self.auxiliary_weights = {**self.AUXILIARY_WEIGHTS, **given}
        self.modalities = modalities
        self.channels = channels
        self.spatial_dims = spatial_dims

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Join modalities.

        Args:
            features: (batch, modality, channel, *spatial); any rank of spatial, none included.
            available: (batch, modality) bool.

        Returns:
            (batch, channel, *spatial), unchanged by whatever stands in absent modalities; zero in a row that has none.

        Raises:
            ValueError: a shape is not the one that the layer was made for, ``available`` is not of bool, or ``fuse``
                returned another shape.
        """
        self.check(features, available)
        some = available.any(1, keepdim=True)
        # A row without any is fused as zeros, so that no average of nothing reaches a gradient.
        fused = self.fuse(mask_absent(features, available), available | ~some)
        expected = list(features.shape[:1]) + list(features.shape[2:])
        if list(fused.shape) != expected:
            raise ValueError(
                f"fuse returned the shape {list(fused.shape)}; expected (batch, channel, *spatial): {expected}."
            )
        return fused.masked_fill(~expand(some, fused), 0.0)

    def check(self, features: Tensor, available: Tensor) -> None:
        """Raise ValueError of what is no tensor, is not of the shapes the layer was made for, or not of bool."""
        if not isinstance(features, Tensor) or not isinstance(available, Tensor):
            raise ValueError(
                "features and available must be tensors, (batch, modality, channel, *spatial) and (batch, modality); "
                "torch.stack(features, dim=1) makes one of a list."
            )
        if features.dim() < 3 or features.shape[1] != self.modalities or features.shape[2] != self.channels:
            raise ValueError(
                f"features have shape {list(features.shape)}; expected (batch, {self.modalities} modalities, "
                f"{self.channels} channels, *spatial)."
            )
        if available.shape != features.shape[:2]:
            raise ValueError(f"available has shape {list(available.shape)}; expected {list(features.shape[:2])}.")
        if available.dtype != torch.bool:
            raise ValueError("available is not of bool; give True where a modality is there.")

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """Join modalities; ``features`` are zero where ``available`` is False, which it is not for all of a row."""
        raise NotImplementedError(f"{type(self).__name__} is a fusion layer and must write fuse(features, available).")

    def auxiliary_loss(
        self,
        features: Tensor,
        available: Tensor,
        fused: Tensor,
        target: Tensor | None = None,
        pyramid: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """The terms that the layer's paper trains beside the supervised loss; none by default.

        A function of its arguments and the weights alone: training calls it, and ``forward`` keeps nothing for it. As
        ``forward`` asks ``fuse``, it asks ``loss_terms``.

        Args:
            features: (batch, modality, channel, *spatial) at the level of this layer; what stands in absent modalities
                changes no term.
            available: (batch, modality) bool.
            fused: what ``forward`` returned for them, (batch, channel, *spatial).
            target: what is to be predicted, on the grid of this level: (batch, region, *spatial) of 0 or 1, or
                (batch, class) one-hot; NaN where unknown, None where nothing of the kind is known.
            pyramid: features of the other levels of the network, finest first.

        Returns:
            Name of the term to one number, before its weight; the names are those of ``AUXILIARY_WEIGHTS``.
        """
        if not self.AUXILIARY_WEIGHTS:
            return {}
        return self.loss_terms(LossInputs(mask_absent(features, available), available, fused, target, pyramid))

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """What ``auxiliary_loss`` returns; the features are zero where a modality is absent."""
        raise NotImplementedError


MakeFusion = Callable[[int, int, int], FusionLayer]
"""``fusion(modalities, channels, spatial_dims)`` makes a layer."""


def expand(values: Tensor, features: Tensor) -> Tensor:
    """View values of the first axes of features, such as (batch, modality), so that they broadcast over all of them."""
    return values.reshape(list(values.shape) + [1] * (features.dim() - values.dim()))


def mask_absent(features: Tensor, available: Tensor) -> Tensor:
    """Features (batch, modality, ...) with zeros wherever ``available`` (batch, modality) is False."""
    return features.masked_fill(~expand(available, features), 0.0)


def concatenate(features: Tensor, available: Tensor) -> Tensor:
    """Concatenate the modalities along channels, and their availability behind them.

    Args:
        features: (batch, modality, channel, *spatial), zero where absent.
        available: (batch, modality) bool.

    Returns:
        (batch, modality * channel + modality, *spatial); the last channels are 1 where a modality is there, else 0.
    """
    flags = expand(available, features).squeeze(2).to(features.dtype)
    return torch.cat([features.flatten(1, 2), flags.expand([-1, -1] + list(features.shape[3:]))], dim=1)
