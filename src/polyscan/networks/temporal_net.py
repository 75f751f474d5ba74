"""TemporalNet: a FusionNet over time points that is told the days between them."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.fusion.temporal import TemporalFusion
from polyscan.networks.fusion_net import FusionNet, LevelFusion, on_grid


class TemporalNet(nn.Module):
    """Read one patient's scans of several times, whichever of them are there.

    Args:
        network: whose modalities are time points, fused at levels by a layer of :mod:`polyscan.fusion.temporal`; let it
            share its encoder, so that times are read alike.

    Raises:
        ValueError: the network does not fuse at levels, or not by a temporal layer.

    Example:
        >>> net = FusionNet(["before", "after"], UNetEncoder, [3], TemporalAttention, ClassificationHead, shared=True)
        >>> TemporalNet(net)(torch.randn(1, 2, 32, 32, 32), torch.tensor([[0.0, 84.0]])).shape
        torch.Size([1, 2])
    """

    def __init__(self, network: FusionNet) -> None:
        super().__init__()
        body = network.body
        if not isinstance(body, LevelFusion) or not any(isinstance(f, TemporalFusion) for f in body.fusions):
            raise ValueError(
                "the network does not fuse time points; use levels and a layer of polyscan.fusion.temporal."
            )
        self.network = network
        self.body = body

    def forward(self, image: Tensor, days: Tensor) -> Tensor:
        """Answer from the time points that are there.

        Args:
            image: (batch, time point, *spatial), NaN where absent.
            days: (batch, time point) when each was; what stands at absent time points is not read.

        Returns:
            Logits, as the head gives them.
        """
        features, available = self.network.encode(image)
        fused = [
            fusion(level, available, days) if isinstance(fusion, TemporalFusion) else fusion(level, available)
            for fusion, level in zip(self.body.fusions, features, strict=True)
        ]
        return on_grid(self.body.head(self.body.deepen(fused)), image)
