"""TableNet: a FusionNet whose features a table of clinical variables acts on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import torch
from torch import Tensor, nn

from polyscan.fusion.table import TableFusion, TableTokens, VectorToken
from polyscan.networks.fusion_net import FeatureFusion, FusionNet, on_grid


class TableNet(nn.Module):
    """Read scans and, beside them, clinical variables, genomics or text.

    The table acts on the deepest level of the fused features, before the head. Without any recorded variable the
    answer is the one of the scans alone.

    Args:
        network: fuses at the input or at levels.
        tokens: what turns the table into tokens.
        fusion: ``fusion(channels, variables, width) -> TableFusion``.

    Example:
        >>> net = FusionNet(["T1", "T2"], UNetEncoder, [3], AttentionWeighted, ClassificationHead)
        >>> net = TableNet(net, TableTokens(numeric=1, categories=[2]), DAFT)
        >>> net(torch.randn(1, 2, 32, 32, 32), torch.tensor([[0.3, 1.0]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        network: FusionNet,
        tokens: TableTokens | VectorToken,
        fusion: Callable[[int, int, int], TableFusion],
    ) -> None:
        super().__init__()
        body = network.body
        if not isinstance(body, FeatureFusion):
            raise ValueError("the network fuses at the output; a table acts on features: use the input or levels.")
        self.network = network
        self.body = body
        self.tokens = tokens
        self.fusion = fusion(body.channels[-1], tokens.variables, tokens.width)

    def forward(self, image: Tensor, table: Optional[Tensor] = None) -> Tensor:  # noqa: UP045 - TorchScript
        """Answer from the modalities and the variables that are there.

        Args:
            image: as for :class:`FusionNet`.
            table: (batch, variable) or, for a :class:`VectorToken`, (batch, size); NaN is not recorded. Where not
                given, nothing was recorded.

        Returns:
            Logits, as the head gives them.
        """
        features, available = self.encode(image)
        return on_grid(self.decide(features, available, table), image)

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionNet`."""
        return self.network.encode(image)

    @torch.jit.export
    def decide(self, features: list[Tensor], available: Tensor, table: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """Answer from what ``encode`` gave, of the modalities that ``available`` (batch, modality) names."""
        levels = self.body.join(features, available)
        if table is not None:
            tokens, recorded = self.tokens(table)
            levels[-1] = self.fusion(levels[-1], tokens, recorded)
        return self.body.head(levels)
