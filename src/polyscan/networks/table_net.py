"""TableNet: a network of scans whose features a table of clinical variables acts on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyscan.fusion.table import TableFusion, TableTokens, VectorToken
from polyscan.networks.fusion_model import FusionModel, FusionWrapper


class TableNet(FusionWrapper):
    """Read scans and, beside them, clinical variables, genomics or text.

    The table acts on the deepest level of the fused features, before the head. Without any recorded variable the
    answer is the one of the scans alone.

    Args:
        network: fuses features.
        tokens: what turns the table into tokens.
        fusion: ``fusion(channels, variables, width) -> TableFusion``; None where the table is to teach and not to be
            read, as a report that only studies of the past have, see :class:`polyscan.objectives.TableContrast`.

    Raises:
        ValueError: the network fuses at the output: there are no features for the table to act on.

    Example:
        >>> net = FusionNet(["T1", "T2"], UNetEncoder, [3], AttentionWeighted, ClassificationHead)
        >>> net = TableNet(net, TableTokens(numeric=1, categories=[2]), DAFT)
        >>> net(torch.randn(1, 2, 32, 32, 32), torch.tensor([[0.3, 1.0]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        network: FusionModel,
        tokens: TableTokens | VectorToken,
        fusion: Callable[[int, int, int], TableFusion] | None,
    ) -> None:
        super().__init__(network)
        if not self.fused_channels:
            raise ValueError("the network fuses at the output; a table acts on features: use the input or levels.")
        self.tokens = tokens
        self.fusion = None if fusion is None else fusion(self.fused_channels[-1], tokens.variables, tokens.width)

    def forward(self, image: Tensor, table: Tensor | None = None) -> Tensor:
        """Answer from the modalities and the variables that are there.

        Args:
            image: as for the network.
            table: (batch, variable) or, for a :class:`VectorToken`, (batch, size); NaN is not recorded. Where not
                given, nothing was recorded.

        Returns:
            Logits, as the head gives them.
        """
        features, available = self.encode(image)
        return self.head(self.fuse(features, available, table), available, self.image_size(image))

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor, table: Tensor | None = None) -> list[Tensor]:
        """See :class:`FusionModel`; ``table`` as for ``forward``."""
        fused = self.network.fuse(features, available)
        if table is not None and self.fusion is not None:
            tokens, recorded = self.tokens(table)
            fused[-1] = self.fusion(fused[-1], tokens, recorded)
        return fused
