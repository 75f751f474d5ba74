"""An encoder that was trained before: fine-tuned, frozen, or adapted by few weights beside its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from monai.networks.layers import Conv
from torch import Tensor, nn

from polyscan.networks.encoders import Encoder

Training = Literal["full", "frozen", "low-rank"]


class PretrainedEncoder(Encoder):
    """An encoder with weights of a file, and how much of it learns.

    ``"full"``: everything does (:func:`polyscan.learning.parameter_groups` gives it a learning rate of its own).
    ``"frozen"``: nothing does, and batch norms keep their statistics. ``"low-rank"``: it is frozen, and
    :class:`LowRank` layers learn beside its convolutions and linear layers; grouped convolutions stay as they are.

    Args:
        in_channels, spatial_dims: see the encoder.
        encoder: ``encoder(in_channels, spatial_dims, weights=...) -> Encoder``.
        weights: the file; not needed where a trained network is built again, whose own weights hold the encoder's.
        training: see above.
        rank: of low-rank layers.

    Raises:
        ValueError: ``training`` is none of these.
        PolyscanError: the file does not fit the encoder.
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        encoder: Callable[..., Encoder],
        weights: str | Path | None = None,
        training: Training = "full",
        rank: int = 8,
    ) -> None:
        if training not in ("full", "frozen", "low-rank"):
            raise ValueError(f"training is {training!r}; expected full, frozen or low-rank.")
        made = encoder(in_channels, spatial_dims, weights=weights)
        frozen = training != "full"
        super().__init__([PretrainedStage(stage, frozen=frozen) for stage in made.stages], made.channels)
        if training == "low-rank":
            add_low_rank(self, rank)


class PretrainedStage(nn.Module):
    """A stage of an encoder that was trained before; a frozen one is never in training mode.

    Args:
        stage: itself.
        frozen: whether it learns nothing.
    """

    def __init__(self, stage: nn.Module, *, frozen: bool) -> None:
        super().__init__()
        self.stage = stage.requires_grad_(not frozen)
        self.frozen = frozen
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        """As the stage."""
        out: Tensor = self.stage(x)
        return out

    def train(self, mode: bool = True) -> PretrainedStage:
        """Leave a frozen stage as it is."""
        return super().train(mode and not self.frozen)


class LowRank(nn.Module):
    """A linear layer or a convolution, W x + B A x (Hu et al., LoRA, ICLR 2022, equation 3, with alpha = r).

    A of a convolution has its kernel and stride and gives r channels, B is a convolution of one voxel, so that B A is a
    kernel of the shape of W. B is zero at first: the answer is the layer's own.

    Args:
        layer: with the weights W.
        rank: r.
    """

    def __init__(self, layer: Any, rank: int) -> None:
        super().__init__()
        self.layer = layer
        if isinstance(layer, nn.Linear):
            self.down: Any = nn.Linear(layer.in_features, rank, bias=False)
            self.up: Any = nn.Linear(rank, layer.out_features, bias=False)
        else:
            make = Conv["conv", layer.weight.dim() - 2]
            same = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")}
            self.down = make(layer.in_channels, rank, bias=False, padding_mode=layer.padding_mode, **same)
            self.up = make(rank, layer.out_channels, kernel_size=1, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        out: Tensor = self.layer(x) + self.up(self.down(x))
        return out


def add_low_rank(module: nn.Module, rank: int) -> None:
    """Put :class:`LowRank` layers in the place of all linear layers and convolutions without groups inside a module."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, kinds) and getattr(layer, "groups", 1) == 1:
                setattr(parent, name, LowRank(layer, rank))
