"""Region-aware fusion: different regions listen to different modalities (RFNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import Pointwise, average, flatten_space


class RegionAware(FusionLayer):
    """F = sum_k sum_i w_ki p_k M_i with p = softmax over K regions and w_ki from what every modality holds in region k.

    Region-aware fusion network (Ding et al., RFNet, ICCV 2021, section 3.2): p is a first guess of the regions at
    every position, here a linear map of the mean of the modalities; g_ki = sum_v p_k M_i / sum_v p_k their contents;
    w_k = softmax over the modalities there of W2 lrelu(W1 [g_k1; ...; g_kn; available]). ``region_maps`` gives the
    logits of p, so that they can be taught the labels as in the paper. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        regions: K.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, regions: int = 4) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.guess = Pointwise(channels, regions)
        self.weigh = nn.Sequential(
            nn.Linear(modalities * channels + modalities, channels), nn.LeakyReLU(0.2), nn.Linear(channels, modalities)
        )

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        log_share = flatten_space(torch.log_softmax(self.region_maps(features, available), dim=1), 2)
        voxels = flatten_space(features, 3)
        share = log_share.exp()
        # p / sum p over space as a softmax of log p: no 0 / 0 where a region is nowhere.
        within = torch.softmax(log_share, dim=2).to(voxels.dtype)
        contents = torch.einsum("bkv,bmcv->bkmc", within, voxels).flatten(2)
        flags = available.to(features.dtype).unsqueeze(1).expand(-1, share.shape[1], -1)
        scores = self.weigh(torch.cat([contents, flags], dim=2))
        weights = torch.softmax(scores.masked_fill(~available.unsqueeze(1), float("-inf")), dim=2)
        at = torch.einsum("bkm,bkv->bmv", weights.to(share.dtype), share).unsqueeze(2)
        return (at * voxels).sum(1).reshape(features.shape[:1] + features.shape[2:])

    @torch.jit.export
    def region_maps(self, features: Tensor, available: Tensor) -> Tensor:
        """Logits of the regions, (batch, region, *spatial); ``features`` are zero where absent."""
        return self.guess(average(features, available))
