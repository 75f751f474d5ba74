"""What several fusion layers are made of. Everything here works at any rank of space, vectors included."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.fusion.base import expand, mask_absent


def flatten_space(features: Tensor, start: int) -> Tensor:
    """View the axes from ``start`` on as one, (..., *spatial) as (..., voxel); a vector has one voxel."""
    return features.flatten(start) if features.dim() > start else features.unsqueeze(start)


def pooled(features: Tensor) -> Tensor:
    """Average (batch, modality, channel, *spatial) over space to (batch, modality, channel)."""
    return flatten_space(features, 3).mean(3)


def average(features: Tensor, available: Tensor) -> Tensor:
    """Average (batch, modality, ...), zero where absent, over the modalities that are there."""
    total = features.sum(1)
    return total / expand(available.sum(1).to(features.dtype), total)


def mean_of(features: Tensor, chosen: Tensor) -> Tensor:
    """Average (batch, modality, ...) over the chosen ones (batch, modality)."""
    return average(mask_absent(features, chosen), chosen)


def softmax_over(scores: Tensor, available: Tensor) -> Tensor:
    """Softmax of (batch, modality, ...) over the modalities that are there; zero where absent."""
    return torch.softmax(scores.masked_fill(~expand(available, scores), float("-inf")), dim=1)


def combination(available: Tensor) -> Tensor:
    """Number (batch) of which modalities (batch, modality) are there: bit i is modality i, 0 where none is."""
    return (available * 2 ** torch.arange(available.shape[1], device=available.device)).sum(1)


class Pointwise(nn.Linear):
    """One linear map at every position: (batch, channel, *spatial) to (batch, out, *spatial)."""

    def forward(self, input: Tensor) -> Tensor:
        """Map the channels."""
        mapped = functional.conv1d(flatten_space(input, 2), self.weight.unsqueeze(2), self.bias)
        return mapped.reshape([input.shape[0], self.out_features] + list(input.shape[2:]))


class PerModality(nn.Module):
    """A linear map of its own for each modality at every position.

    Args:
        modalities: how many.
        channels: channels that come in.
        out: channels that go out.
        bias: whether a constant is added; absent modalities then come out as that constant.
    """

    def __init__(self, modalities: int, channels: int, out: int, *, bias: bool = True) -> None:
        super().__init__()
        bound = 1 / math.sqrt(channels)
        self.weight = nn.Parameter(torch.empty(modalities, out, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(modalities, out).uniform_(-bound, bound)) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, modality, channel, *spatial) to (batch, modality, out, *spatial)."""
        mapped = torch.einsum("moc,bmcv->bmov", self.weight, flatten_space(features, 3))
        bias = self.bias
        if bias is not None:
            mapped = mapped + bias.unsqueeze(2)
        return mapped.reshape([features.shape[0], features.shape[1], mapped.shape[2]] + list(features.shape[3:]))


class ChannelMLP(nn.Sequential):
    """Two linear maps with a ReLU between them, on (..., channels).

    Args:
        channels: numbers in.
        out: numbers out.
        hidden: numbers between.
    """

    def __init__(self, channels: int, out: int, hidden: int) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, out))


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., NeurIPS 2017) over the tokens that are there.

    Args:
        channels: numbers of a token.
        heads: parallel attentions; the largest of 1, 2 and 4 that divides the channels where not given.
    """

    def __init__(self, channels: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads or math.gcd(channels, 4)
        if channels % self.heads:
            raise ValueError(f"{channels} channels cannot be divided among {self.heads} heads.")
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, query: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        """Let each query token read the context.

        Args:
            query: (batch, token, channel).
            context: (batch, context token, channel), finite.
            valid: (batch, context token) bool.

        Returns:
            (batch, token, channel); zero in a row where nothing of the context is there.
        """
        q, k, v = self._split(self.query(query)), self._split(self.key(context)), self._split(self.value(context))
        some = valid.any(1)
        mask = (valid | ~some.unsqueeze(1)).unsqueeze(1).unsqueeze(1)
        read = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        read = self.project(read.transpose(1, 2).flatten(2))
        return read * expand(some, read)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, [self.heads, tokens.shape[2] // self.heads]).transpose(1, 2)


class FeedForward(nn.Sequential):
    """The MLP of a transformer, with its norm first.

    Args:
        channels: numbers of a token.
        expansion: width of the MLP over the channels.
    """

    def __init__(self, channels: int, expansion: int) -> None:
        hidden = expansion * channels
        super().__init__(nn.LayerNorm(channels), nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


class TransformerBlock(nn.Module):
    """x + attention(norm x), then x + MLP(norm x) (pre-norm, as Dosovitskiy et al., ICLR 2021).

    Args:
        channels: numbers of a token.
        heads: as in :class:`Attention`.
        expansion: as in :class:`FeedForward`.
        dropout: in training, of what attention and MLP add (Vaswani et al., 2017).
    """

    def __init__(self, channels: int, heads: int | None = None, *, expansion: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.mlp = FeedForward(channels, expansion)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Turn tokens (batch, token, channel), ``valid`` (batch, token) bool, into tokens of the same shape."""
        normal = self.norm(tokens)
        tokens = tokens + self.dropout(self.attention(normal, normal, valid))
        return tokens + self.dropout(self.mlp(tokens))


def tokens_of(features: Tensor, limit: int) -> Tensor:
    """Average each modality over equal blocks so that at most ``limit`` positions remain.

    Args:
        features: (batch, modality, channel, *spatial), up to three axes of space.
        limit: tokens of a modality to keep at most.

    Returns:
        (batch, modality, channel, *coarse), coarse with at most ``limit`` positions; as it came where it has no more.
    """
    if features.dim() == 3:
        return features
    side = int(float(limit) ** (1.0 / (features.dim() - 3)) + 1e-6)
    block = [max(1, (size + side - 1) // side) for size in features.shape[3:]]
    each = features.flatten(0, 1)
    each = each.float() if each.element_size() < 4 else each  # no pooling of half volumes on a CPU
    if features.dim() == 4:
        coarse = functional.avg_pool1d(each, block, ceil_mode=True)
    elif features.dim() == 5:
        coarse = functional.avg_pool2d(each, block, ceil_mode=True)
    else:
        coarse = functional.avg_pool3d(each, block, ceil_mode=True)
    return coarse.to(features.dtype).unflatten(0, features.shape[:2])


def interpolate_to(coarse: Tensor, reference: Tensor) -> Tensor:
    """Interpolate (batch, channel, *coarse) linearly onto the grid of ``reference``, (batch, channel, *spatial)."""
    return resize(coarse, list(reference.shape[2:]))


def resize(coarse: Tensor, size: list[int]) -> Tensor:
    """Interpolate a map (batch, channel, *coarse) linearly to a grid; logits (batch, channel) stay as they are."""
    if coarse.dim() != len(size) + 2 or list(coarse.shape[2:]) == list(size):
        return coarse
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return functional.interpolate(coarse, size=size, mode=mode, align_corners=False)


def convolution(spatial_dims: int, channels: int, out: int, kernel: int) -> nn.Module:
    """A convolution that keeps the grid, over 1, 2 or 3 axes of space; a linear map where there is no space."""
    if spatial_dims == 0:
        return Pointwise(channels, out)
    kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    return kinds[spatial_dims](channels, out, kernel, padding=kernel // 2)


class ModalityEmbedding(nn.Module):
    """Add to each modality's features a learned vector that says which modality it is.

    Args:
        modalities: how many.
        channels: of the features.
    """

    def __init__(self, modalities: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(modalities, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape (batch, modality, channel, *spatial)."""
        return features + expand(self.weight.unsqueeze(0), features)


def positional_encoding(shape: list[int], channels: int, reference: Tensor) -> Tensor:
    """Fixed positions of tokens: sines and cosines of each axis' coordinate (Vaswani et al., 2017).

    Args:
        shape: the grid of the tokens.
        channels: numbers of a token.
        reference: gives dtype and device.

    Returns:
        (token, channel), row-major; axes take turns over the channels.
    """
    if len(shape) == 0:
        return torch.zeros(1, channels, dtype=reference.dtype, device=reference.device)
    along: list[Tensor] = []
    for axis in range(len(shape)):
        wave = sinusoids(torch.arange(shape[axis], device=reference.device), channels // len(shape) + 1)
        size = [wave.shape[0]] + [1] * len(shape)
        size[axis + 1] = shape[axis]
        along.append(wave.reshape(size).expand([wave.shape[0]] + shape))
    encoding = torch.stack(along, dim=1).flatten(0, 1)[:channels]
    return encoding.flatten(1).transpose(0, 1).to(reference.dtype)


def sinusoids(position: Tensor, channels: int) -> Tensor:
    """Sines and cosines of a position in turn, wavelengths from 2 pi to 20000 pi: (channel, *position)."""
    found: list[Tensor] = []
    for c in range(channels):
        angle = position / (10000.0 ** (2.0 * float(c // 2) / channels))
        found.append(torch.sin(angle) if c % 2 == 0 else torch.cos(angle))
    return torch.stack(found)
