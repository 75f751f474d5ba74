"""What encoders made of a study: kept on disk, so that a late scan is encoded alone, and told, to be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.features import feature_file, feature_files
from polyscan.networks import CachedFeatures, FusionModel
from polyscan.networks.fusion_model import FusionWrapper


class KeptFeatures(FusionWrapper):
    """A network that keeps what its encoders made of each modality of a study, and runs those alone that have to.

    What is kept is found again by the weights and by the very values that the encoder read, so that with others, as
    when a late scan changes the grid of all, the encoder runs anew. The answer is that from everything at once.

    Args:
        network: in evaluation mode.
        folder: will hold a folder a study; nothing is kept where it is empty.

    Attributes:
        describes: whether it notes of each study what :attr:`described` tells.

    Raises:
        PolyscanError: features are to be kept of a network that joins modalities before it encodes them.

    Example:
        >>> kept, without_pet = KeptFeatures(network.eval(), "out/features"), image.clone()
        >>> without_pet[:, 1] = torch.nan
        >>> with kept.study("sub-01"):
        ...     first = kept(without_pet)
        >>> with kept.study("sub-01"):
        ...     later = kept(image)
        >>> kept.reused
        ['CT']
    """

    def __init__(self, network: FusionModel, folder: str | Path = "") -> None:
        super().__init__(network)
        self.folder = Path(folder) if folder else None
        if self.folder and network.joins_input:
            raise PolyscanError(
                "The network joins modalities before it encodes them, so that there are no features of each to keep; "
                "leave --keep-features away, or use a network that fuses at levels or at the output."
            )
        self.describes = False
        self._windows: list[tuple[Tensor, Tensor]] = []
        self._place: Path | None = None
        self._weights = ""
        self._read: set[Path] = set()
        self._seen: set[int] = set()
        self._encoded: set[int] = set()

    @property
    def weights(self) -> str:
        """Changes where the network or its weights do."""
        if not self._weights:
            digest = hashlib.sha256(repr(self.network).encode())
            for name, value in self.network.state_dict().items():
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            self._weights = digest.hexdigest()[:16]
        return self._weights

    @property
    def reused(self) -> list[str]:
        """The modalities of the study that were read and of which nothing was encoded."""
        return [self.modalities[m] for m in sorted(self._seen - self._encoded)]

    @property
    def described(self) -> tuple[Tensor, Tensor]:
        """What each scan of the study looks like, (modality, feature), and (modality,) bool: which of them were read.

        The mean of :meth:`polyscan.networks.CachedFeatures.described` over the windows that hold some of the scan.
        """
        each, acquired = (torch.cat(part) for part in zip(*self._windows, strict=True))
        held = acquired.sum(0).clamp(min=1)
        return (each * acquired[:, :, None]).sum(0) / held[:, None], acquired.any(0)

    @contextmanager
    def study(self, key: str) -> Iterator[None]:
        """Read and keep features of a study inside the block; at its end what was not read again is removed."""
        self._windows = []
        self._place = self.folder / key if self.folder else None
        self._weights, self._read, self._seen, self._encoded = "", set(), set(), set()
        try:
            yield
            for file in feature_files(self._place) if self._place else []:
                if file not in self._read:
                    file.unlink()
        finally:
            self._place = None

    def forward(self, image: Any, *inputs: Tensor) -> Tensor:
        """As the network answers."""
        if self._place is None and not self.describes:
            return self.network(image, *inputs)
        features, available = self.encode(image)
        if self.describes:
            described = CachedFeatures(self, features, available, []).described().float()
            self._windows.append((described.cpu(), self._acquired(image).cpu()))
        return self.head(self.fuse(features, available, *inputs), available, self.image_size(image))

    def encode(self, image: Any) -> tuple[list[Tensor], Tensor]:
        if self._place is None:
            return self.network.encode(image)
        rows = [self._encode(self._place, row) for row in image.as_subclass(Tensor).split(1)]
        levels = [torch.cat(level) for level in zip(*(features for features, _ in rows), strict=True)]
        return levels, torch.cat([available for _, available in rows])

    def fuse(self, features: list[Tensor], available: Tensor, *inputs: Tensor) -> list[Tensor]:
        """See :class:`FusionModel`."""
        return self.network.fuse(features, available, *inputs)

    def image_size(self, image: Any) -> list[int]:
        return self.network.image_size(image)

    def sampler(self, features: list[Tensor], available: Tensor, size: list[int], *inputs: Tensor) -> Any:
        return self.network.sampler(features, available, size, *inputs)

    def _encode(self, place: Path, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of one image (1, modality * channel, *spatial), and (1, modality) bool."""
        each = image.unflatten(1, (len(self.modalities), -1))
        acquired = self._acquired(image)
        files = {m: self._file(place, m, each[0, m]) for m in acquired[0].nonzero().flatten().tolist()}
        kept = {
            m: torch.load(file, map_location=image.device, weights_only=True)
            for m, file in files.items()
            if file.is_file()
        }
        new = files.keys() - kept.keys()
        if new or not files:
            left = each.clone()
            left[:, list(kept)] = torch.nan
            encoded, available = self.network.encode(left.flatten(1, 2))
            features = [level.clone() for level in encoded]
        else:
            features = [level.new_zeros(1, each.shape[1], *level.shape) for level in next(iter(kept.values()))]
            available = acquired
        for m, levels in kept.items():
            for level, value in zip(features, levels, strict=True):
                level[0, m] = value
        for m in new:
            files[m].parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(files[m]) as temporary:
                torch.save([level[0, m].clone() for level in features], temporary)
        self._read |= set(files.values())
        self._seen |= files.keys()
        self._encoded |= new
        return features, acquired if files else available

    def _acquired(self, image: Any) -> Tensor:
        """(batch, modality) bool: which have a finite value in (batch, modality * channel, *spatial)."""
        each = image.as_subclass(Tensor).unflatten(1, (len(self.modalities), -1))
        return torch.isfinite(each).flatten(2).any(2)

    def _file(self, place: Path, modality: int, values: Tensor) -> Path:
        digest = hashlib.sha256(f"{self.weights} {self.modalities[modality]} {tuple(values.shape)}".encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return feature_file(place, digest.hexdigest())
