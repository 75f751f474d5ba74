"""FusionModel: the one contract of every network. Encode each modality, fuse the chosen ones, read the answer.

What TorchScript forces on the code stands in this package and in ``polyscan.fusion``, because MONAI's ``ckpt_export``
needs it, and is this: lists that are filled by a loop, one signature a method (no ``*inputs``), ``list(...) + [...]``
for shapes, and ``torch.jit.export`` on what a scripted network is to answer beside ``forward``. The ways out of Python
are ``torch.export`` and ONNX, which ask for none of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.errors import PolyscanError
from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import resize as resize

FORMAT_VERSION = 1
"""Of the description that weights carry; raised when weights of before can no longer be read."""


class FusionModel(nn.Module):
    """Read several modalities together, whichever of them are there.

    ``forward`` is encode, fuse, head and nothing else, so that what asks a network many times (subsets of modalities,
    samples of dropout, attribution) runs only the steps that change. A network that takes more than images, such as a
    table, takes it in ``forward`` and in ``fuse``, behind the others.

    Weights know what they were trained for: ``state_dict`` carries the modalities in order, the outputs' names and
    ``settings``, and ``load_state_dict`` refuses weights made for others, and weights that are not finite.

    Args:
        modalities: names in the order of ``available``.
        outputs: names of the channels of the logits; empty where they have none.
        fused_channels: channels of each level that ``fuse`` returns, finest first, 0 for a level that is not fused;
            empty where what is fused are logits.

    Attributes:
        settings: what a bundle built the network with, JSON by name; empty where no bundle did.
        joins_input: whether modalities are joined before the encoder, so that ``encode`` makes no features of each.
    """

    fuse: Callable[..., list[Tensor]]
    """``fuse(features, available, ...)`` joins the modalities that ``available`` (batch, modality) names: the fused
    features (batch, channel, *spatial) of every level, finest first. What ``features`` hold of others plays no part."""

    def __init__(self, modalities: Sequence[str], outputs: Sequence[str], fused_channels: Sequence[int]) -> None:
        super().__init__()
        self.modalities = list(modalities)
        if isinstance(modalities, str) or not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"modalities must be a list of different names, at least one; found {modalities!r}.")
        self.outputs = list(outputs)
        self.fused_channels = list(fused_channels)
        self.settings: dict[str, Any] = {}
        self.joins_input = False
        self.register_load_state_dict_pre_hook(check_weights)

    def forward(self, image: Tensor) -> Tensor:
        """Answer from the modalities that are there.

        Args:
            image: (batch, modality, *spatial). NaN where a modality was not acquired or outside its field of view;
                a modality without one finite value is absent. Where nothing at all was measured, zeros are read.

        Returns:
            Logits, as the head gives them; a map has the grid of the image.
        """
        features, available = self.encode(image)
        return self.head(self.fuse(features, available), available, self.image_size(image))

    def encode(self, image: Any) -> tuple[list[Tensor], Tensor]:
        """Run what sees one modality at a time.

        Returns:
            Features (batch, modality, channel, *spatial) of each level, and (batch, modality) bool: what is there.
        """
        raise NotImplementedError

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        """Everything of the head up to its dropout, from what ``fuse`` returned."""
        raise NotImplementedError

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        """Everything of the head from its dropout on; a map has the grid of the finest level."""
        raise NotImplementedError

    def head(self, fused: list[Tensor], available: Tensor, size: list[int]) -> Tensor:
        """Logits from what ``fuse`` returned; a map is interpolated to ``size``, the image's."""
        return resize(self.logits(self.pre_logits(fused), available), size)

    def image_size(self, image: Tensor) -> list[int]:
        """The grid of a map of logits."""
        return list(image.shape[2:])

    def dropout_layers(self) -> list[_DropoutNd]:
        """The dropout layers that ``sampler`` runs."""
        raise NotImplementedError

    def sampler(
        self, features: list[Tensor], available: Tensor, size: list[int], *inputs: Tensor
    ) -> Callable[[], Tensor]:
        """A function that gives logits from what ``encode`` returned, and runs only what holds ``dropout_layers``."""
        pre_logits = self.pre_logits(self.fuse(features, available, *inputs))
        return lambda: resize(self.logits(pre_logits, available), size)

    def get_extra_state(self) -> Tensor:
        """The description that weights carry, JSON as bytes: MONAI's loaders expect a tensor an entry."""
        description = {
            "format_version": FORMAT_VERSION,
            "modalities": self.modalities,
            "outputs": self.outputs,
            "settings": self.settings,
        }
        return torch.tensor(list(json.dumps(description).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Nothing: :func:`check_weights` has read the description before anything was loaded."""


class FusionWrapper(FusionModel):
    """A network around another one, whose head it uses.

    Args:
        network: the other one.
        modalities: see :class:`FusionModel`; those of the other one where not given.
    """

    def __init__(self, network: FusionModel, modalities: Sequence[str] | None = None) -> None:
        super().__init__(modalities or network.modalities, network.outputs, network.fused_channels)
        self.network = network
        self.joins_input = network.joins_input

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        return self.network.encode(image)

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:  # type: ignore[override]
        """See :class:`FusionModel`."""
        return self.network.fuse(features, available)

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        return self.network.pre_logits(fused)

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        return self.network.logits(pre_logits, available)

    def dropout_layers(self) -> list[_DropoutNd]:
        return self.network.dropout_layers()


class NoFusion(nn.Module):
    """What stands at a level that is not fused: a skip of no channels that still tells the level's grid."""

    def forward(self, features: Tensor, available: Tensor, days: Tensor | None = None) -> Tensor:
        """Turn (batch, modality, channel, *spatial) into (batch, 0, *spatial)."""
        return features[:, 0, :0]


def check_makers(spatial_dims: int, **parts: Any) -> None:
    """Refuse parts of a network that cannot be made.

    Raises:
        ValueError: one of ``parts``, by its name what makes it, or a mapping to what makes each, is something else; or
            ``spatial_dims`` is not 1, 2 or 3.
    """
    if spatial_dims not in (1, 2, 3):
        raise ValueError(f"spatial_dims is {spatial_dims}; expected 1, 2 or 3.")
    for name, part in parts.items():
        for made in part.values() if isinstance(part, Mapping) else [part]:
            if isinstance(made, nn.Module) or not callable(made):
                ready = isinstance(made, nn.Module)
                found = f"a {type(made).__name__} that is made already" if ready else repr(made)
                raise ValueError(f"{name} is {found}; give what makes it, such as its class.")


def make_layer(
    fusion: Callable[..., FusionLayer] | Mapping[Any, Callable[..., FusionLayer]],
    level: int,
    sizes: tuple[int, int, int],
    joins: Sequence[str] = ("features",),
) -> FusionLayer:
    """Make the fusion layer of a level.

    Args:
        fusion: what makes it, the same for all levels, or level to what makes its layer; in JSON a level is a string.
        level: 0 for the finest.
        sizes: modalities, channels, spatial_dims.
        joins: what the layer may join, see :class:`FusionLayer`.

    Raises:
        PolyscanError: the level is not named, or the layer joins something else.
    """
    if isinstance(fusion, Mapping):
        by_level = {int(key): make for key, make in fusion.items()}
        if level not in by_level:
            raise PolyscanError(f"fusion names a layer for the levels {sorted(by_level)}; level {level} is fused too.")
        layer = by_level[level](*sizes)
    else:
        layer = fusion(*sizes)
    found = getattr(layer, "joins", "something else")
    if found not in joins:
        needed = " or ".join(joins)
        raise PolyscanError(
            f"{type(layer).__name__} joins {found}; a layer that joins {needed} is needed here, see docs/fusion."
        )
    return layer


def check_levels(fusion: Any, levels: Sequence[int]) -> None:
    """Refuse layers for levels that are not fused.

    Raises:
        PolyscanError: ``fusion`` names a level that is none of ``levels``.
    """
    more = sorted({int(key) for key in fusion} - set(levels)) if isinstance(fusion, Mapping) else []
    if more:
        raise PolyscanError(f"fusion names a layer for the levels {more}; fused are the levels {sorted(levels)}.")


def split_missing(image: Tensor) -> tuple[Tensor, Tensor]:
    """Turn NaN, which says what is absent, into zeros and an availability.

    Args:
        image: (batch, modality, ...), not finite where nothing was measured.

    Returns:
        The image with zeros there, and (batch, modality) bool: which modalities have one finite value. A row without
        any has all of them, so that zeros are read.
    """
    finite = torch.isfinite(image)
    available = finite.flatten(2).any(2)
    return image.masked_fill(~finite, 0.0), available | ~available.any(1, keepdim=True)


def check_weights(model: Any, state_dict: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Refuse weights that were made for something else than a network, before any is loaded.

    Args:
        model: the network.
        state_dict: the weights, with their description.
        prefix: of the network's names in it.

    Raises:
        PolyscanError: the weights have no description or one of a newer polyscan, were made for other modalities, the
            same ones in another order, or other outputs, or hold values that are not finite.
    """
    described = describe(state_dict, prefix)
    if described["format_version"] > FORMAT_VERSION:
        raise PolyscanError(
            f"These weights have format version {described['format_version']}; this polyscan reads {FORMAT_VERSION}: "
            "install a newer one."
        )
    for what, own in (("modalities", model.modalities), ("outputs", model.outputs)):
        stored = described[what]
        if stored and own and stored != own:
            raise PolyscanError(
                f"These weights were made for the {what} {', '.join(stored)}, in this order; the network has "
                f"{', '.join(own)}: give the weights that belong to it, or the {what} of the weights."
            )
    for name, value in state_dict.items():
        if name.startswith(prefix) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise PolyscanError(f"These weights hold values that are not finite, in {name}; train them again.")


def describe(state_dict: Mapping[str, Tensor], prefix: str = "") -> dict[str, Any]:
    """What weights say of themselves: ``format_version``, ``modalities``, ``outputs`` and ``settings``.

    Raises:
        PolyscanError: they say nothing that can be read.
    """
    try:
        description = json.loads(bytes(state_dict[f"{prefix}_extra_state"].tolist()))
        return {
            "format_version": int(description["format_version"]),
            "modalities": [str(name) for name in description["modalities"]],
            "outputs": [str(name) for name in description["outputs"]],
            "settings": dict(description.get("settings", {})),
        }
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise PolyscanError(
            "These weights do not say which modalities and outputs they were made for, as those of polyscan 0.2 do; "
            "train them again."
        ) from error
