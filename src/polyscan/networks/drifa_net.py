"""DRIFA-Net: residual branches with dual attention and one head for each task."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from monai.networks.layers import Conv, Norm, Pool
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.fusion.base import MakeFusion, mask_absent
from polyscan.fusion.drifa import MultiBranchFusionAttention, MultimodalInformationFusionAttention
from polyscan.fusion.lean_drifa import LeanMultiBranchAttention, LeanMultimodalAttention
from polyscan.networks.encoders import encode_each, may_branch
from polyscan.networks.fusion_model import FusionModel, make_layer, split_missing
from polyscan.networks.heads import slices_of


class RobustResidualAttention(nn.Module):
    """RRA, a residual block with attention on its channels.

    As published: conv, MFA, norm, ReLU, conv, MFA, norm, plus the shortcut, ReLU. A norm behind a gate takes out what
    the gate did alike to all samples; the lean block has one gate, behind its last norm.

    Args:
        channels, out: channels that come in and go out.
        stride: of the first convolution.
        spatial_dims: 2 or 3.
        faithful: as published.
    """

    def __init__(self, channels: int, out: int, stride: int, spatial_dims: int, faithful: bool) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _conv(spatial_dims, channels, out, 3, stride),
            *([MultiBranchFusionAttention(out)] if faithful else []),
            _norm(spatial_dims, out),
            nn.ReLU(),
            _conv(spatial_dims, out, out, 3, 1),
            *([MultiBranchFusionAttention(out)] if faithful else []),
            _norm(spatial_dims, out),
            *([] if faithful else [LeanMultiBranchAttention(out)]),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels == out
            else nn.Sequential(_conv(spatial_dims, channels, out, 1, stride), _norm(spatial_dims, out))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, channels, *spatial) into (batch, out, *spatial / stride)."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class DRIFANet(FusionModel):
    """Multimodal fusion learning with dual attention, several tasks at once.

    Dhar et al., WACV 2025 (arXiv 2412.01248), after the published code, since the paper's text was not to be had: one
    branch of ResNet-18's shape for each modality, MFA in and after its blocks, MIFA between the branches after each
    block, then every task's linear head on all branches together. With two modalities of three channels and tasks of
    4 and 7 classes it has the published 53,883,843 numbers, those of its batch norms included.

    With ``faithful=False`` the gates are lean (:mod:`polyscan.fusion.lean_drifa`), one in a block, and MIFA acts where
    the grid changes; an absent modality then and in the faithful mode takes no part. It reads
    (batch, modalities * in_channels, *spatial); the logits (batch, sum of the classes) are those of the tasks behind
    each other, and ``split`` tells them apart.

    Args:
        modalities: names, in the order of the image's channels.
        tasks: name to its classes, or to their number.
        in_channels: channels of each modality.
        spatial_dims: 2 or 3.
        widths: channels of the four pairs of blocks.
        dropout: probability after the first six blocks and before the heads; in training mode only.
        faithful: as published.
        fusion: ``fusion(modalities, channels, spatial_dims) -> FusionLayer`` that joins the branches before the heads;
            as published, where not given: the heads read all branches side by side.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        tasks: Mapping[str, int | Sequence[str]],
        *,
        in_channels: int = 3,
        spatial_dims: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512),
        dropout: float = 0.25,
        faithful: bool = True,
        fusion: MakeFusion | None = None,
    ) -> None:
        count = len(modalities)
        if count == 0 or len(set(modalities)) != count or not tasks:
            raise ValueError(f"expected different modalities and a task at least; found {modalities} and {tasks}.")
        sizes = {name: classes if isinstance(classes, int) else len(classes) for name, classes in tasks.items()}
        named = {name: range(classes) if isinstance(classes, int) else classes for name, classes in tasks.items()}
        width = widths[-1] * (count if fusion is None else 1)
        super().__init__(modalities, [f"{name}: {c}" for name, classes in named.items() for c in classes], [width])
        self.in_channels = in_channels
        blocks = [(a, b, 1 if k == 0 else 2) for k, (a, b) in enumerate(itertools.pairwise([widths[0], *widths]))]
        plan = [block for a, b, stride in blocks for block in ((a, b, stride), (b, b, 1))]
        self.stems = Branches(_stem(in_channels, widths[0], spatial_dims, faithful) for _ in self.modalities)
        self.steps = nn.ModuleList()
        for k, (a, b, stride) in enumerate(plan):
            branches = []
            for _ in self.modalities:
                parts: list[nn.Module] = [RobustResidualAttention(a, b, stride, spatial_dims, faithful)]
                parts += [nn.Dropout(dropout)] if k < 6 else []
                parts += [MultiBranchFusionAttention(b)] if faithful and k < 7 else []
                branches.append(nn.Sequential(*parts))
            self.steps.append(Branches(branches))
        between = MultimodalInformationFusionAttention if faithful else LeanMultimodalAttention
        self.between = nn.ModuleList(
            between(count, b) if faithful or k % 2 else Apart() for k, (_, b, _) in enumerate(plan)
        )
        self.dropout = nn.Dropout(dropout)
        self.join = SideBySide() if fusion is None else make_layer(fusion, 0, (count, widths[-1], spatial_dims))
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in sizes.items()})
        self.slices = slices_of(sizes)

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionModel`; what stands before the branches first meet."""
        if image.shape[1] != len(self.modalities) * self.in_channels:
            raise ValueError(
                f"image has {image.shape[1]} channels; expected {self.in_channels} for each of "
                f"{', '.join(self.modalities)}."
            )
        each, available = split_missing(image.unflatten(1, (len(self.modalities), self.in_channels)))
        return [self.stems(each, available)], available

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:  # type: ignore[override]
        """See :class:`FusionModel`: the branches, which meet between their blocks, joined before the heads."""
        x = features[0]
        for branches, between in zip(self.steps, self.between, strict=True):
            x = branches(x, available)
            x = between(mask_absent(x, available), available)
        return [self.join(x, available)]

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        return fused[0]

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        pooled = self.dropout(pre_logits).flatten(2).mean(2)
        return torch.cat([head(pooled) for head in self.heads.values()], dim=1)

    def dropout_layers(self) -> list[_DropoutNd]:
        """See :class:`FusionModel`; there are some between the blocks as well."""
        return [layer for layer in self.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]

    def sampler(
        self, features: list[Tensor], available: Tensor, size: list[int], *inputs: Tensor
    ) -> Callable[[], Tensor]:
        return lambda: self.head(self.fuse(features, available), available, size)

    def split(self, logits: Tensor) -> dict[str, Tensor]:
        """Name to each task's part of the logits."""
        return {name: logits[:, start:end] for name, (start, end) in self.slices.items()}


class Branches(nn.ModuleList):
    """A module of its own for each modality."""

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Turn (batch, modality, channel, *spatial) into what each modality's module makes of it, stacked alike.

        What is not ``available`` is not read, see :func:`polyscan.networks.encoders.encode_each`.
        """
        if not torch.jit.is_scripting() and (self.training or may_branch()):
            each = [OneLevel(branch).train(self.training) for branch in self]
            (levels,) = encode_each(each, list(features.unbind(1)), available)
            return levels
        made: list[Tensor] = []
        for m, branch in enumerate(self):
            made.append(branch(features[:, m]))
        return torch.stack(made, dim=1)


class OneLevel(nn.Module):
    """A module as an encoder of one level."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> list[Tensor]:
        """What the module makes of it, in a list."""
        return [self.module(x)]


class Apart(nn.Module):
    """What stands where branches do not meet."""

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Leave the features as they are."""
        return features


class SideBySide(nn.Module):
    """Branches behind each other."""

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Turn (batch, modality, channel, *spatial) into (batch, modality * channel, *spatial)."""
        return features.flatten(1, 2)


def _stem(channels: int, out: int, spatial_dims: int, faithful: bool) -> nn.Sequential:
    gate: list[nn.Module] = [MultiBranchFusionAttention(out)] if faithful else []
    pool = Pool["max", spatial_dims](3, 2, padding=1)
    return nn.Sequential(_conv(spatial_dims, channels, out, 7, 2), *gate, _norm(spatial_dims, out), nn.ReLU(), pool)


def _conv(spatial_dims: int, channels: int, out: int, kernel: int, stride: int) -> nn.Module:
    made: nn.Module = Conv["conv", spatial_dims](channels, out, kernel, stride=stride, padding=kernel // 2)
    return made


def _norm(spatial_dims: int, channels: int) -> nn.Module:
    made: nn.Module = Norm["batch", spatial_dims](channels, eps=1e-3, momentum=0.01)
    return made
