"""Encoders as a list of stages, so that fusion can take place between any two of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from monai.networks.layers import Conv
from monai.networks.nets.basic_unet import Down, TwoConv
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Encoder(nn.Module):
    """Stages that each take what the one before gave; level k is the output of stage k.

    A subclass is made as ``encoder(in_channels, spatial_dims)`` and gives its stages. A network runs them itself, since
    what stands above a place of fusion runs for each modality and what stands below it once.

    Args:
        stages: the first takes the image, each further one what the one before gave, on the same or a coarser grid.
        channels: output channels of each stage.

    Attributes:
        checkpoint: whether training keeps only what stands between stages and computes the rest again going backward.

    Raises:
        ValueError: there is not a number of channels for each stage.
        TypeError: a subclass writes a forward of its own.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.forward is not Encoder.forward:
            raise TypeError(f"{cls.__name__} writes forward, which networks would pass over; write it as stages.")

    def __init__(self, stages: Sequence[nn.Module], channels: Sequence[int]) -> None:
        super().__init__()
        if len(stages) != len(channels):
            raise ValueError(f"{len(stages)} stages and {len(channels)} numbers of channels; each stage needs one.")
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.checkpoint = False

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, channel, *spatial) into the features of every level, finest first."""
        features: list[Tensor] = []
        for stage in self.stages:
            if self.checkpoint and self.training and not torch.jit.is_scripting():
                image = checkpoint(stage, image, use_reentrant=False)
            else:
                image = stage(image)
            features.append(image)
        return features


class EncoderEach(nn.ModuleList):
    """An encoder of its own for each modality, which all give levels of the same channels and grids.

    One study at a time on a CPU they run as one call over stacked weights: a lone small volume makes torch take its
    slow convolution. See ``benchmarks/reuse.py``; larger batches, volumes and training run one after the other.

    Args:
        encoders: in the order of the modalities.
        alike: whether they differ in their weights alone.
    """

    def __init__(self, encoders: Iterable[nn.Module], alike: bool = True) -> None:
        super().__init__(encoders)
        self.alike = alike

    def forward(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into (batch, modality, channel, *spatial) of every level.

        What is not ``available``, (batch, modality) bool, is not encoded, see :func:`encode_each`.
        """
        if not torch.jit.is_scripting() and (self.training or may_branch()):
            images = list(image.as_subclass(Tensor).split(1, dim=1))
            return encode_each(list(self), images, available, self.alike)
        levels: list[list[Tensor]] = []
        for m, encoder in enumerate(self):
            levels.append(encoder(image[:, m : m + 1]))
        return [torch.stack([of_one[k] for of_one in levels], dim=1) for k in range(len(levels[0]))]


def may_branch() -> bool:
    """Whether what is computed may depend on values: not while torch compiles, exports or traces."""
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing())


def encode_each(
    encoders: Sequence[nn.Module], images: Sequence[Tensor], available: Tensor, alike: bool = True
) -> list[Tensor]:
    """Run each modality's encoder on the rows that have the modality.

    Args:
        encoders: of each modality: (batch, channel, *spatial) to levels.
        images: of each modality (batch, channel, *spatial).
        available: (batch, modality) bool. In an answer all of a row that has none are read.
        alike: whether the encoders differ in their weights alone.

    Returns:
        Levels (batch, modality, channel, *spatial), zero where a modality is not available.
    """
    if encoders[0].training:
        each = [encode_available(*own) for own in zip(encoders, images, available.unbind(1), strict=True)]
        return [torch.stack(level, dim=1) for level in zip(*each, strict=True)]
    read = available | ~available.any(1, keepdim=True)
    present = read.any(0).nonzero().flatten().tolist()
    if alike and pays_together(images[0]):
        levels = together([encoders[m] for m in present], torch.cat([images[m] for m in present], dim=1))
    else:
        each = [encode_available(encoders[m], images[m], read[:, m]) for m in present]
        levels = [torch.stack(level, dim=1) for level in zip(*each, strict=True)]
    if len(present) == len(encoders):
        return levels
    index = torch.tensor(present, device=available.device)
    whole = [level.new_zeros(len(level), len(encoders), *level.shape[2:]) for level in levels]
    return [zeros.index_copy(1, index, level) for zeros, level in zip(whole, levels, strict=True)]


def encode_available(encoder: nn.Module, image: Tensor, available: Tensor) -> list[Tensor]:
    """Encode the rows that were measured, so that batch norm learns nothing from what stands in absent ones.

    Args:
        encoder: (batch, channel, *spatial) to levels.
        image: (batch, channel, *spatial).
        available: (batch) bool: which rows were measured.

    Returns:
        Levels of all rows, zero in absent ones. Where all are absent the encoder runs with its statistics as they are,
        so that its weights take part in every step, as several processes that learn together need.
    """
    # Rows of a MetaTensor cannot be sliced where their metadata differ.
    image, available = image.as_subclass(Tensor), available.as_subclass(Tensor)
    if bool(available.all()):
        found: list[Tensor] = encoder(image)
        return found
    if not bool(available.any()):
        with frozen_statistics(encoder):
            return [level * 0 for level in encoder(image)]
    rows = available.nonzero().squeeze(1)
    # A lone row twice: at one voxel it would have no variance to normalise by, and the statistics are the same.
    levels = encoder(image[rows if len(rows) > 1 or not encoder.training else rows.repeat(2)])
    return [level.new_zeros(len(image), *level.shape[1:]).index_copy(0, rows, level[: len(rows)]) for level in levels]


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms use their running statistics, and learn none, inside the block."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


def pays_together(image: Tensor) -> bool:
    """Whether encoders are faster as one call on images of this shape (1, 1, *spatial); they need no gradient then."""
    lone = image.shape[0] == 1 and image.dim() == 5 and image[0, 0].numel() <= 64**3
    return lone and image.device.type == "cpu" and not torch.is_grad_enabled()


def together(encoders: list[nn.Module], image: Tensor) -> list[Tensor]:
    """Run encoders of one shape as one call: (batch, modality, *spatial) to the features of every level, stacked."""
    parameters, buffers = stack_module_state(encoders)

    def one(own: dict[str, Tensor], state: dict[str, Tensor], channel: Tensor) -> list[Tensor]:
        levels: list[Tensor] = functional_call(encoders[0], (own, state), (channel,))
        return levels

    plain = image.as_subclass(Tensor)  # type: ignore[arg-type]
    levels = vmap(one)(parameters, buffers, plain.transpose(0, 1).unsqueeze(2))
    return [level.transpose(0, 1) for level in levels]


class EncoderShared(nn.Module):
    """One encoder for all modalities, which run as one batch."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into (batch, modality, channel, *spatial) of every level.

        What is not ``available``, (batch, modality) bool, is not encoded; in an answer all of a row that has none are.
        """
        rows = image.flatten(0, 1).unsqueeze(1)
        if not torch.jit.is_scripting() and (self.training or may_branch()):
            read = available if self.training else available | ~available.any(1, keepdim=True)
            levels = encode_available(self.encoder, rows, read.flatten())
        else:
            levels = self.encoder(rows)
        return [level.unflatten(0, image.shape[:2]) for level in levels]


class UNetEncoder(Encoder):
    """The contracting path of MONAI's BasicUNet (Falk et al., Nature Methods 2019).

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        channels: of each level, finest first.
        stem_stride: edge of the blocks of voxels that a first convolution turns into one each; with 2 the finest level
            has half the grid of the image, at a quarter of the cost in 2D and an eighth in 3D. Its logits are
            interpolated to the image.
        act, norm, dropout: as in ``monai.networks.nets.BasicUNet``.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        channels: Sequence[int] = (16, 32, 64, 128),
        stem_stride: int = 1,
        act: str | tuple = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm: str | tuple = ("instance", {"affine": True}),
        dropout: float = 0.0,
    ) -> None:
        first: nn.Module = TwoConv(spatial_dims, in_channels, channels[0], act, norm, True, dropout)
        if stem_stride > 1:
            stem = Conv["conv", spatial_dims](in_channels, channels[0], kernel_size=stem_stride, stride=stem_stride)
            first = nn.Sequential(stem, TwoConv(spatial_dims, channels[0], channels[0], act, norm, True, dropout))
        down = [Down(spatial_dims, a, b, act, norm, True, dropout) for a, b in itertools.pairwise(channels)]
        super().__init__([first, *down], channels)
