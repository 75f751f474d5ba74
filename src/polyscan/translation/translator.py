"""A trained translator: from a scan of one kind to what one of another kind would look like, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.learning.checkpoint import save_whole
from polyscan.translation.generator import ResNetGenerator

NAME = "translator.pt"
_KIND = "polyscan translator"


@dataclass(frozen=True)
class Intensities:
    """Between which values of a kind of scan a network sees differences.

    Attributes:
        low, high: what become -1 and 1; values beyond are cut off.
    """

    low: float
    high: float

    def scaled(self, values: Tensor) -> Tensor:
        """From -1 to 1; what was not measured (NaN) is -1."""
        between = (values.nan_to_num(nan=self.low).clamp(self.low, self.high) - self.low) / (self.high - self.low)
        return between * 2 - 1

    def unscaled(self, values: Tensor) -> Tensor:
        """From what :meth:`scaled` gives back to the unit of the scan."""
        return (values + 1) / 2 * (self.high - self.low) + self.low


@dataclass(frozen=True)
class Translation:
    """What is translated into what, and back, by networks of which size.

    Attributes:
        modalities: the two.
        protocol: by which the scans were prepared that it was learnt from.
        window: voxels that the network sees at a time; two numbers: of axial slices, one by one.
        channels, blocks: see :class:`ResNetGenerator`.
    """

    modalities: tuple[str, str]
    protocol: str
    window: tuple[int, ...]
    channels: int
    blocks: int


class Translator:
    """The generators of both ways with the intensities that they were trained with.

    Args:
        translation: what it translates.
        intensities: of either modality.
        generators: by what they read: of the first modality, and of the second.
        made_from: changes where anything does that it was trained on or by.
    """

    def __init__(
        self,
        translation: Translation,
        intensities: tuple[Intensities, Intensities],
        generators: tuple[ResNetGenerator, ResNetGenerator],
        made_from: str,
    ) -> None:
        self.translation, self.intensities = translation, intensities
        self.generators, self.made_from = generators, made_from

    @torch.inference_mode()
    def translate(self, image: MetaTensor, source: str) -> MetaTensor:
        """Translate a prepared scan, window by window.

        Args:
            image: (1, x, y, z), in its unit.
            source: the modality that it is, one of the two.

        Returns:
            (1, x, y, z) of the other modality on the same grid, in its unit; NaN where the image is.
        """
        way = self.translation.modalities.index(source)
        generator, read, written = self.generators[way], self.intensities[way], self.intensities[1 - way]
        weight = next(generator.parameters())
        generator.eval()
        scaled = read.scaled(image.as_tensor()).to(weight.device)
        window = self.translation.window
        inferer = SlidingWindowInferer(
            window, sw_batch_size=8, overlap=0.5, mode="gaussian", padding_mode="constant", cval=-1
        )
        if len(window) == 2:
            slices = scaled.permute(3, 0, 1, 2)
            found = torch.cat([_one(inferer(each, generator)) for each in slices.split(8)]).permute(1, 2, 3, 0)
        else:
            found = _one(inferer(scaled[None], generator))[0]
        values = written.unscaled(found.cpu())
        values[image.as_tensor().isnan()] = float("nan")
        return MetaTensor(values, affine=image.affine)

    def save(self, path: Path) -> None:
        """Write a file that ``torch.load(weights_only=True)`` reads."""
        content = {
            "kind": _KIND,
            "made_from": self.made_from,
            "translation": asdict(self.translation),
            "intensities": [[each.low, each.high] for each in self.intensities],
            "generators": [each.state_dict() for each in self.generators],
        }
        save_whole(content, path)

    @classmethod
    def load(cls, path: str | Path) -> Translator:
        """Read what :meth:`save` wrote.

        Raises:
            PolyscanError: the file cannot be read, or holds something else.
        """
        try:
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise PolyscanError(f"{path} cannot be read as a translator ({type(error).__name__}).") from error
        if not isinstance(found, dict) or found.get("kind") != _KIND:
            raise PolyscanError(f"{path} holds no translator; name a {NAME} that polyscan translate wrote.")
        described = found["translation"]
        pairs = {name: tuple(described[name]) for name in ("modalities", "window")}
        translation = Translation(**{**described, **pairs})
        first, second = (
            ResNetGenerator(len(translation.window), translation.channels, translation.blocks) for _ in range(2)
        )
        for generator, state in zip((first, second), found["generators"], strict=True):
            generator.load_state_dict(state)
        low, high = (Intensities(*each) for each in found["intensities"])
        return cls(translation, (low, high), (first, second), found["made_from"])


def _one(found: Any) -> Tensor:
    assert isinstance(found, Tensor)
    return found
