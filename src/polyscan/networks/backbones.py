"""MONAI's classification and transformer networks as encoders: stages between which fusion can take place."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.networks.layers import Conv, Pool
from monai.networks.nets import resnet
from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.efficientnet import EfficientNetBNFeatures
from monai.networks.nets.segresnet_ds import SegResBlock
from monai.networks.nets.swin_unetr import SwinTransformer
from monai.networks.nets.vit import ViT
from torch import Tensor, nn
from torch.nn import functional

from polyscan.networks.encoders import Encoder
from polyscan.networks.pretrained import load_pretrained


class Backbone(Encoder):
    """An encoder cut from a network of MONAI.

    Args:
        network: whose names a file of weights uses.
        stages, channels: see :class:`Encoder`.
        weights: a file of weights for the network; random where not given.
        aliases: see :func:`load_pretrained`.
    """

    def __init__(
        self,
        network: nn.Module,
        stages: Sequence[nn.Module],
        channels: Sequence[int],
        weights: str | Path | None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(stages, channels)
        if weights is not None:
            load_pretrained(network, weights, self, aliases)


class ResNetEncoder(Backbone):
    """MONAI's ResNet (He et al., CVPR 2016): stem and four levels.

    In 3D the shortcuts are those of MedicalNet's weights (arXiv 1904.00625): zeros in new channels in depths 18 and 34,
    convolutions in others. In 2D they are torchvision's: convolutions.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        depth: 10, 18, 34, 50, 101, 152 or 200.
        stem_stride: of the first convolution; with 1 the first level keeps the grid of the image.
        weights: a file of weights for ``monai.networks.nets.ResNet``; random where not given.
        options: further arguments of ``monai.networks.nets.ResNet``, such as ``widen_factor``, ``shortcut_type`` or
            ``bias_downsample``.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        depth: int = 18,
        stem_stride: int = 2,
        weights: str | Path | None = None,
        **options: Any,
    ) -> None:
        make = getattr(resnet, f"resnet{depth}", None)
        if make is None:
            raise ValueError(f"depth is {depth}; expected 10, 18, 34, 50, 101, 152 or 200.")
        shortcuts = {"shortcut_type": "A" if spatial_dims == 3 and depth in (18, 34) else "B", "bias_downsample": False}
        net = make(
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_stride=stem_stride,
            feed_forward=False,
            **{**shortcuts, **options},
        )
        for block in net.modules():
            if isinstance(getattr(block, "downsample", None), partial):
                block.downsample = ZeroPadShortcut(**block.downsample.keywords)
        stages = [
            nn.Sequential(net.conv1, net.bn1, net.act),
            nn.Sequential(net.maxpool, net.layer1),
            net.layer2,
            net.layer3,
            net.layer4,
        ]
        widths = [layer[-1].conv3 if depth >= 50 else layer[-1].conv2 for layer in (net.layer1, *stages[2:])]
        super().__init__(net, stages, [net.conv1.out_channels, *(conv.out_channels for conv in widths)], weights)


class ZeroPadShortcut(nn.Module):
    """Shortcut A of He et al.: every ``stride``-th voxel, and zeros in the channels that it lacks.

    MONAI's own cannot be scripted, and lets no gradient through.

    Args:
        planes: channels of the output.
        stride, spatial_dims: of the block.
    """

    def __init__(self, planes: int, stride: int, spatial_dims: int) -> None:
        super().__init__()
        self.planes = planes
        self.around = [0, 0] * spatial_dims
        self.pool = Pool["avg", spatial_dims](1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, channel, *spatial) into (batch, planes, *coarser)."""
        return functional.pad(self.pool(x), self.around + [0, self.planes - x.shape[1]])


class SegResEncoder(Backbone):
    """The encoder of MONAI's SegResNetDS: residual blocks and strided convolutions (Myronenko, BrainLes 2018).

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        init_filters: channels of the first level; each further one doubles them.
        blocks_down: residual blocks of each level.
        max_filters: channels that no level exceeds, 320 in 3D nnU-Net (Isensee et al., Nature Methods 18, 2021).
        norm: as in ``monai.networks.nets.SegResNetDS``.
        weights: a file of weights of its encoder or of all of it, such as CT-FM's (arXiv 2501.09001: 32 filters, blocks
            1, 2, 2, 4, 4, at most 512, batch norm); random where not given.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        init_filters: int = 16,
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        max_filters: int = 320,
        norm: str | tuple = ("instance", {"affine": True}),
        weights: str | Path | None = None,
    ) -> None:
        channels = [min(init_filters * 2**level, max_filters) for level in range(len(blocks_down))]
        make = Conv["conv", spatial_dims]
        convolutions = [
            make(before, here, kernel_size=3, padding=1, stride=2 if level else 1, bias=False)
            for level, (before, here) in enumerate(itertools.pairwise([in_channels, *channels]))
        ]
        blocks = [
            nn.Sequential(*(SegResBlock(spatial_dims, here, norm) for _ in range(count)))
            for here, count in zip(channels, blocks_down, strict=True)
        ]
        net = nn.Module()
        net.conv_init = convolutions[0]
        net.layers = nn.ModuleList(
            nn.ModuleDict({"blocks": own, "downsample": below})
            for own, below in zip(blocks, [*convolutions[1:], nn.Identity()], strict=True)
        )
        stages = [nn.Sequential(*pair) for pair in zip(convolutions, blocks, strict=True)]
        super().__init__(net, stages, channels, weights)


class DenseNetEncoder(Backbone):
    """MONAI's DenseNet (Huang et al., CVPR 2017): stem at half the grid and one level a dense block.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        init_features, growth_rate, block_config: as in ``monai.networks.nets.DenseNet``; by default DenseNet-121.
        weights: a file of weights for ``monai.networks.nets.DenseNet``; random where not given.
        options: further arguments of ``monai.networks.nets.DenseNet``, such as ``norm``.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        init_features: int = 64,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        weights: str | Path | None = None,
        **options: Any,
    ) -> None:
        net = DenseNet(
            spatial_dims,
            in_channels,
            1,
            init_features=init_features,
            growth_rate=growth_rate,
            block_config=block_config,
            **options,
        )
        parts = dict(net.features.named_children())
        stages: list[nn.Module] = [nn.Sequential(parts["conv0"], parts["norm0"], parts["relu0"])]
        channels, width = [init_features], init_features
        for i, layers in enumerate(block_config):
            before = parts["pool0"] if i == 0 else parts[f"transition{i}"]
            closing = [parts["norm5"]] if i == len(block_config) - 1 else []
            stages.append(nn.Sequential(before, parts[f"denseblock{i + 1}"], *closing))
            width = (width if i == 0 else width // 2) + layers * growth_rate
            channels.append(width)
        super().__init__(net, stages, channels, weights)


class EfficientNetEncoder(Backbone):
    """MONAI's EfficientNet (Tan and Le, ICML 2019): five levels, the first at half the grid.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        name: ``"efficientnet-b0"`` to ``"efficientnet-b7"``.
        weights: a file of weights for ``monai.networks.nets.EfficientNetBNFeatures``; random where not given.
        norm: as in ``monai.networks.nets.EfficientNetBNFeatures``.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        name: str = "efficientnet-b0",
        weights: str | Path | None = None,
        norm: str | tuple = ("batch", {"eps": 1e-3, "momentum": 0.01}),
    ) -> None:
        net = EfficientNetBNFeatures(
            name, pretrained=False, spatial_dims=spatial_dims, in_channels=in_channels, norm=norm
        )
        net._conv_stem_padding = nn.Identity() if net._conv_stem_padding is None else net._conv_stem_padding
        blocks = list(net._blocks)
        ends = net.extract_stacks
        stem = [net._conv_stem_padding, net._conv_stem, net._bn0, nn.SiLU()]
        stages = [nn.Sequential(*stem, *blocks[: ends[0]])]
        stages += [nn.Sequential(*blocks[a:b]) for a, b in itertools.pairwise(ends)]
        super().__init__(net, stages, [net._blocks_args[end - 1].output_filters for end in ends], weights)


class SwinEncoder(Backbone):
    """The Swin transformer of MONAI's SwinUNETR (Hatamizadeh et al., BrainLes 2021): patches, then four levels.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        feature_size: channels of the first level; each further one doubles them.
        patch_size: of the first level; its grid is the image's divided by it.
        window_size: of the attention, in patches.
        depths, num_heads: of each level, as in ``monai.networks.nets.SwinUNETR``.
        weights: a file of weights of a SwinTransformer or a whole SwinUNETR, such as those that MONAI offers from
            self-supervision (arXiv 2111.14791: feature size 48); random where not given.
        options: further arguments of ``monai.networks.nets.swin_unetr.SwinTransformer``.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        feature_size: int = 24,
        patch_size: int = 2,
        window_size: int = 7,
        depths: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        weights: str | Path | None = None,
        **options: Any,
    ) -> None:
        net = SwinTransformer(
            in_chans=in_channels,
            embed_dim=feature_size,
            window_size=[window_size] * spatial_dims,
            patch_size=[patch_size] * spatial_dims,
            depths=depths,
            num_heads=num_heads,
            spatial_dims=spatial_dims,
            **options,
        )
        levels = [net.layers1[0], net.layers2[0], net.layers3[0], net.layers4[0]]
        stages = [nn.Sequential(net.patch_embed, net.pos_drop), *levels]
        aliases = {"mlp.fc": "mlp.linear"}  # the names of files from self-supervision
        super().__init__(net, stages, [feature_size * 2**k for k in range(5)], weights, aliases)


class ViTEncoder(Backbone):
    """MONAI's vision transformer (Dosovitskiy et al., ICLR 2021): patches, then levels that all have their grid.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        img_size: size of every image; the positions are made for it.
        patch_size: the grid of all levels is the image's divided by it.
        hidden_size, mlp_dim, num_heads: as in ``monai.networks.nets.ViT``.
        layers: transformer blocks of each level after the first.
        weights: a file of weights for ``monai.networks.nets.ViT``, or of BM-MAE (arXiv 2505.00568: images of 128,
            patches of 16, ``mlp_dim=1536``, ``qkv_bias``, ``pos_embed_type="sincos"``); random where not given.
        tokenizer: whose embedding of patches is read from a file that has one for each modality: in BM-MAE's ``t1``,
            ``t1ce``, ``t2`` or ``flair``.
        options: further arguments of ``monai.networks.nets.ViT``.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        img_size: Sequence[int],
        patch_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        layers: Sequence[int] = (3, 3, 3, 3),
        weights: str | Path | None = None,
        tokenizer: str | None = None,
        **options: Any,
    ) -> None:
        net = ViT(
            in_channels,
            tuple(img_size),
            patch_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_layers=sum(layers),
            num_heads=num_heads,
            spatial_dims=spatial_dims,
            **options,
        )
        grid = [size // patch_size for size in img_size]
        ends = list(itertools.accumulate(layers))
        groups = [nn.Sequential(*net.blocks[a:b]) for a, b in itertools.pairwise([0, *ends])]
        groups[-1].append(net.norm)
        stages = [PatchesOnGrid(net.patch_embedding, list(img_size), grid), *(TokensOnGrid(g) for g in groups)]
        aliases = {f"tokenizers.{tokenizer}.": ""} if tokenizer else None
        super().__init__(net, stages, [hidden_size] * len(stages), weights, aliases)


class PatchesOnGrid(nn.Module):
    """A patch embedding whose tokens lie on their grid."""

    def __init__(self, embedding: nn.Module, size: list[int], grid: list[int]) -> None:
        super().__init__()
        self.embedding = embedding
        self.size = size
        self.grid = grid

    def forward(self, image: Tensor) -> Tensor:
        """Turn (batch, channel, *spatial) into (batch, hidden, *grid)."""
        if list(image.shape[2:]) != self.size:
            raise ValueError(f"image has size {list(image.shape[2:])}; this transformer was made for {self.size}.")
        tokens: Tensor = self.embedding(image)
        return tokens.transpose(1, 2).unflatten(2, self.grid)


class TokensOnGrid(nn.Module):
    """Transformer blocks on tokens that lie on a grid."""

    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (batch, hidden, *grid)."""
        tokens: Tensor = self.blocks(torch.flatten(x, 2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(x.shape)
