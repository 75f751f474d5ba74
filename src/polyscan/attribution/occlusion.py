"""Occlusion for each modality by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.utils import eval_mode
from monai.visualize import OcclusionSensitivity
from torch import Tensor, nn

from polyscan.attribution.by_modality import where_measured
from polyscan.attribution.target import Target
from polyscan.networks import FusionModel


def occlusion(
    network: FusionModel,
    image: Tensor,
    target: Target,
    inputs: Sequence[Tensor] = (),
    *,
    size: Sequence[int] | None = None,
    overlap: float = 0.5,
    batch_size: int = 8,
) -> Tensor:
    """By how much the target falls when a box of one modality is hidden, the others staying as they are.

    Zeiler and Fergus, ECCV 2014, section 4.1, by MONAI's ``OcclusionSensitivity``. Hidden is what the network reads
    where nothing was measured: 0.

    Args:
        network: any.
        image: one study, (1, modality, *spatial), NaN where nothing was measured.
        target: what is explained.
        inputs: what the network takes behind the image.
        size: of the box in voxels; a quarter of the image along each axis where not given.
        overlap: of neighbouring boxes; a voxel has the mean of those that hide it.
        batch_size: boxes at a time.

    Returns:
        (1, modality, *spatial): above 0 what speaks for the target; 0 where nothing was measured.
    """
    box = [max(extent // 4, 1) for extent in image.shape[2:]] if size is None else list(size)
    channels = image.shape[1] // len(network.modalities)
    maps = torch.zeros(1, len(network.modalities), *image.shape[2:], device=image.device)
    with eval_mode(network):
        whole = target(network(image, *inputs))
        for m in range(len(network.modalities)):
            own = image[:, m * channels : (m + 1) * channels]
            if bool(own.isfinite().any()):
                module = _OneModality(network, image, target, inputs, m * channels).eval()
                hidden, _ = OcclusionSensitivity(
                    module, box, batch_size, overlap=overlap, mode=0.0, activate=False, verbose=False
                )(own)
                maps[:, m] = whole - torch.as_tensor(hidden)[:, 0]
    return where_measured(maps, image, network)


class _OneModality(nn.Module):
    """The target as a function of one modality's channels (batch, channel, *spatial)."""

    def __init__(
        self, network: FusionModel, image: Tensor, target: Target, inputs: Sequence[Tensor], first: int
    ) -> None:
        super().__init__()
        self.network, self.image, self.target, self.inputs, self.first = network, image, target, inputs, first

    def forward(self, own: Tensor) -> Tensor:
        """The target (batch, 1)."""
        image = self.image.repeat(len(own), *[1] * (own.dim() - 1))
        image[:, self.first : self.first + own.shape[1]] = own
        inputs = [each.expand(len(own), *each.shape[1:]) for each in self.inputs]
        return self.target(self.network(image, *inputs))[:, None]
