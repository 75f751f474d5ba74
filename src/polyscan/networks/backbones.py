"""MONAI's classification and transformer networks as encoders: stages between which fusion can take place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import resnet
from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.efficientnet import EfficientNetBNFeatures
from monai.networks.nets.swin_unetr import SwinTransformer
from monai.networks.nets.vit import ViT
from torch import Tensor, nn

from polyscan.networks.encoders import Encoder
from polyscan.networks.pretrained import load_pretrained


class Backbone(Encoder):
    """An encoder cut from a network of MONAI.

    Args:
        network: whose names a file of weights uses.
        stages, channels: see :class:`Encoder`.
        weights: a file of weights for the network; random where not given.
    """

    def __init__(
        self, network: nn.Module, stages: Sequence[nn.Module], channels: Sequence[int], weights: str | Path | None
    ) -> None:
        super().__init__(stages, channels)
        if weights is not None:
            load_pretrained(network, weights, self)


class ResNetEncoder(Backbone):
    """MONAI's ResNet (He et al., CVPR 2016), also with the weights of MedicalNet: stem and four levels.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        depth: 10, 18, 34, 50, 101, 152 or 200.
        stem_stride: of the first convolution; with 1 the first level keeps the grid of the image.
        weights: a file of weights for ``monai.networks.nets.ResNet``; random where not given.
        options: further arguments of ``monai.networks.nets.ResNet``, such as ``widen_factor``.
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
        net = make(
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_stride=stem_stride,
            feed_forward=False,
            **options,
        )
        stages = [
            nn.Sequential(net.conv1, net.bn1, net.act),
            nn.Sequential(net.maxpool, net.layer1),
            net.layer2,
            net.layer3,
            net.layer4,
        ]
        widths = [layer[-1].conv3 if depth >= 50 else layer[-1].conv2 for layer in (net.layer1, *stages[2:])]
        super().__init__(net, stages, [net.conv1.out_channels, *(conv.out_channels for conv in widths)], weights)


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
        weights: a file of weights of a SwinTransformer or a whole SwinUNETR; random where not given.
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
        super().__init__(net, stages, [feature_size * 2**k for k in range(5)], weights)


class ViTEncoder(Backbone):
    """MONAI's vision transformer (Dosovitskiy et al., ICLR 2021): patches, then levels that all have their grid.

    Args:
        in_channels: channels of the image.
        spatial_dims: 2 or 3.
        img_size: size of every image; the positions are made for it.
        patch_size: the grid of all levels is the image's divided by it.
        hidden_size, mlp_dim, num_heads: as in ``monai.networks.nets.ViT``.
        layers: transformer blocks of each level after the first.
        weights: a file of weights for ``monai.networks.nets.ViT``; random where not given.
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
        super().__init__(net, stages, [hidden_size] * len(stages), weights)


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
