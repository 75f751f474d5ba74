"""Co-attention, then attentional fusion (in the style of CAFNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import ChannelMLP, Pointwise, convolution, flatten_space, softmax_over


class CoAttention(FusionLayer):
    """M'_m = M_m + M_m * c(P_m) * s(P_m), F = sum over available m of w_m M'_m with w = softmax over modalities.

    Co-attention fusion (He et al., CAFNet, Pattern Recognition 133, 2023; no code is published, the gates' details are
    ours): P_m is the mean of m's partners, c = sigma(MLP(mean P) + MLP(max P)) a channel gate and
    s = sigma(conv_7([mean_c P; max_c P])) a spatial one. w comes from the sum u of all M' by a local and a global
    bottleneck, as in attentional feature fusion (Dai et al., WACV 2021) without its batch norms:
    for two modalities its F is twice ours. Alone, a modality comes out as it is. Depends on the order of the
    modalities. Has a spatial kernel.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        reduction: by how much the bottlenecks are narrower than the channels.
        kernel: size of the convolution.
    """

    def __init__(
        self, modalities: int, channels: int, spatial_dims: int = 3, *, reduction: int = 4, kernel: int = 7
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        hidden = max(1, channels // reduction)
        self.channel_gate = ChannelMLP(channels, channels, hidden)
        self.spatial_gate = convolution(spatial_dims, 2, 1, kernel)
        self.near = nn.Sequential(Pointwise(channels, hidden), nn.ReLU(), Pointwise(hidden, modalities * channels))
        self.whole = ChannelMLP(channels, modalities * channels, hidden)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        valid = expand(available, features).to(features.dtype)
        others = valid.sum(1, keepdim=True) - valid
        partner = (features.sum(1, keepdim=True) - features) / others.clamp(min=1)
        voxels = flatten_space(partner, 3)
        channel = torch.sigmoid(self.channel_gate(voxels.mean(3)) + self.channel_gate(voxels.amax(3)))
        view = torch.stack([partner.mean(2), partner.amax(2)], dim=2).flatten(0, 1)
        spatial = torch.sigmoid(self.spatial_gate(view)).unflatten(0, features.shape[:2])
        attended = features + features * expand(channel, features) * spatial * (others > 0).to(features.dtype)
        both = attended.sum(1)
        near = self.near(both).reshape(features.shape)
        whole = self.whole(flatten_space(both, 2).mean(2)).reshape(features.shape[:3])
        return (softmax_over(near + expand(whole, near), available) * attended).sum(1)
