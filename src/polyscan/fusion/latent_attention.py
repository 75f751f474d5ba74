"""A few learned latents read one modality after the other, however many tokens each has (Perceiver, HEALNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import (
    Attention,
    FeedForward,
    TransformerBlock,
    average,
    flatten_space,
    positional_encoding,
    tokens_of,
)


class LatentAttention(FusionLayer):
    """F = E + A(q = E, k = v = S), E = mean of the M_i there, S the latents that have read them: S += A_i(q = S, M_i).

    HEALNet (Hemker et al., NeurIPS 2024) on the latent array of the Perceiver (Jaegle et al., ICML 2021): L learned
    vectors read the tokens of each modality in turn by a cross-attention of its own, then attend among themselves; a
    modality that is absent is skipped. In the paper the mean of the latents is what a classifier reads; here every
    position asks them, as in Perceiver IO (Jaegle et al., ICLR 2022), so that maps come out as well as vectors. A
    token is a position of M_i averaged over blocks so that at most T remain, with its place added as sines and cosines.
    For V voxels and n modalities of C channels the time is n L (T + L) C + V L C: linear in V and in n.
    Depends on the order of the modalities.

    ``read`` is the part that asks for no grid: it takes the tokens of a map, a vector and a sequence, however many each
    of them has.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        latents: how many (L).
        tokens: positions of each modality that are read at most (T).
        depth: how often the latents read all modalities (in the published code 3 times).
        heads: as in :class:`polyscan.fusion.blocks.Attention`.

    Example:
        >>> layer = LatentAttention(2, 8)
        >>> scan, visits = torch.randn(4, 512, 8), torch.randn(4, 3, 8)
        >>> came = torch.tensor([[True, True, True], [True, True, False], [True, False, False], [False] * 3])
        >>> layer.read([scan, visits], [torch.ones(4, 512, dtype=torch.bool), came]).shape
        torch.Size([4, 32, 8])
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        latents: int = 32,
        tokens: int = 512,
        depth: int = 1,
        heads: int | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.tokens = tokens
        self.latents = nn.Parameter(torch.randn(latents, channels))
        self.passes = nn.ModuleList(LatentPass(modalities, channels, heads) for _ in range(depth))
        self.norm_query = nn.LayerNorm(channels)
        self.norm_latents = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        coarse = tokens_of(features, self.tokens)
        own = flatten_space(coarse, 3).transpose(2, 3)
        own = own + positional_encoding(list(coarse.shape[3:]), self.channels, own)
        valid = available.unsqueeze(2)
        latents = self.norm_latents(self.read(list(own.unbind(1)), list(valid.unbind(1))))
        mean = average(features, available)
        voxels = flatten_space(mean, 2).transpose(1, 2)
        asking = self.norm_query(voxels + positional_encoding(list(mean.shape[2:]), self.channels, voxels))
        told = self.attention(asking, latents, torch.ones_like(latents[:, :, 0], dtype=torch.bool))
        return mean + told.transpose(1, 2).reshape(mean.shape)

    @torch.jit.export
    def read(self, tokens: list[Tensor], valid: list[Tensor]) -> Tensor:
        """What the latents hold of all modalities, (batch, latent, channel).

        Args:
            tokens: of each modality, (batch, token, channel), finite; as many as it has.
            valid: of each modality, (batch, token) bool: which of them are there, or (batch, 1) whether all are. Where
                none is, the modality is skipped.
        """
        latents = self.latents.unsqueeze(0).expand(tokens[0].shape[0], -1, -1)
        for each in self.passes:
            latents = each(latents, tokens, valid)
        return latents


class LatentPass(nn.Module):
    """Latents read each modality in turn, and attend among themselves behind each.

    Args:
        modalities: how many.
        channels: numbers of a latent and of a token.
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(self, modalities: int, channels: int, heads: int | None) -> None:
        super().__init__()
        self.reads = nn.ModuleList(CrossBlock(channels, heads) for _ in range(modalities))
        self.mix = TransformerBlock(channels, heads)

    def forward(self, latents: Tensor, tokens: list[Tensor], valid: list[Tensor]) -> Tensor:
        """Update latents (batch, latent, channel); see :meth:`LatentAttention.read`."""
        every = torch.ones_like(latents[:, :, 0], dtype=torch.bool)
        for m, read in enumerate(self.reads):
            updated = self.mix(read(latents, tokens[m], valid[m]), every)
            latents = torch.where(expand(valid[m].any(1), updated), updated, latents)
        return latents


class CrossBlock(nn.Module):
    """x + attention(norm x, norm context), then x + MLP(norm x).

    Args:
        channels: numbers of a token.
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(self, channels: int, heads: int | None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.norm_context = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.mlp = FeedForward(channels, 2)

    def forward(self, query: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        """Let query (batch, token, channel) read; see :class:`polyscan.fusion.blocks.Attention`."""
        read = query + self.attention(self.norm(query), self.norm_context(context), valid)
        return read + self.mlp(read)
