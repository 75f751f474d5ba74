"""What every objective is: one number from a batch that a network has encoded."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.errors import PolyscanError
from polyscan.fusion.base import FusionLayer, mask_absent
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel


class Objective(nn.Module):
    """One number from a batch that a network has encoded; no label is read.

    Args:
        network: that is trained; it is not kept.
        weight: by which the number is trained beside the supervised loss.

    Raises:
        PolyscanError: the objective can learn nothing from this network.
    """

    def __init__(self, network: FusionModel, *, weight: float = 1.0) -> None:
        super().__init__()
        self.check(network)
        self.weight = weight

    def check(self, network: FusionModel) -> None:
        """Refuse a network of one modality, where there is nothing to learn one from another by."""
        if len(network.modalities) < 2:
            raise PolyscanError(
                f"{type(self).__name__} learns modalities from each other; the network has {network.modalities[0]} "
                "alone: leave --objective away."
            )

    def forward(self, encoded: CachedFeatures) -> Tensor:
        """The number, which a network that has learnt makes small."""
        raise NotImplementedError


class FeatureObjective(Objective):
    """An objective of the deepest features of each modality, before they meet.

    Args:
        network, weight: see :class:`Objective`.

    Attributes:
        modalities: how many.
        channels: of the features.

    Raises:
        PolyscanError: the network has no such features, as where it fuses at the input or at the output.
    """

    def __init__(self, network: FusionModel, *, weight: float = 1.0) -> None:
        super().__init__(network, weight=weight)
        layers = outermost_layers(network)
        if network.joins_input or not network.fused_channels or not layers:
            raise self.meets_early()
        self.modalities = len(network.modalities)
        self.channels = layers[-1].channels

    def features(self, encoded: CachedFeatures) -> Tensor:
        """The deepest features (batch, modality, channel, *spatial), zero where absent.

        Raises:
            PolyscanError: they have another number of channels than what is joined, as modalities met between.
        """
        found = mask_absent(encoded.features[-1], encoded.available)
        if found.shape[2] != self.channels:
            raise self.meets_early()
        return found

    def meets_early(self) -> PolyscanError:
        """What is said of a network whose deepest features are not those of one modality each."""
        return PolyscanError(
            f"{type(self).__name__} reads deep features of each modality before it meets the others; this network has "
            "none: leave --objective away, or let its bundle fuse at levels (fuse_at), where it has that choice."
        )


def outermost_layers(network: FusionModel) -> list[FusionLayer]:
    """The layers that join features, finest level first, each with whatever strategy is around it."""
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, FusionLayer) and module.joins == "features"
    }
    return [layer for name, layer in layers.items() if not any(name.startswith(f"{other}.") for other in layers)]
