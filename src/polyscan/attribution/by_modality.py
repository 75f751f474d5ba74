"""What the methods share: channels that belong to a modality, and voxels that were never measured."""

from __future__ import annotations

from torch import Tensor

from polyscan.networks import FusionModel


def of_each_modality(values: Tensor, network: FusionModel) -> Tensor:
    """Sum (1, channel, *spatial) over the channels of each modality, such as the three colours of a picture."""
    return values.unflatten(1, (len(network.modalities), -1)).sum(2)


def where_measured(values: Tensor, image: Tensor, network: FusionModel) -> Tensor:
    """Leave (1, modality, *spatial) where the image has a value; exactly 0 elsewhere, as where a modality is absent."""
    return values.masked_fill(of_each_modality(image.isfinite().int(), network) == 0, 0.0)
