"""Studies as a network is shown them, decoded once and mapped into memory from then on."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import CacheDataset, PersistentDataset
from monai.utils.enums import TraceKeys
from torch import Tensor

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.learning.checkpoint import write_whole
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of

STUDIES = "studies"
_NUMBERS = np.typecodes["AllInteger"] + np.typecodes["AllFloat"] + "?U"
_OF_RECORDS: list[Any] = [
    *(TraceKeys, np.ndarray, np.dtype, np.empty(0).__reduce__()[0]),
    *{type(np.dtype(kind)) for kind in _NUMBERS},
]
"""What MONAI's records of transforms hold beside tensors and plain values."""


def cached_dataset(
    data: Sequence[dict[str, Any]], transform: Callable[..., Any], folder: str | Path = ""
) -> CacheDataset | MappedDataset:
    """A data set whose deterministic transforms are done once: ``monai.data.CacheDataset``, which holds all in memory.

    Args:
        data: items, as :func:`polyscan.bundle.training_items` gives them.
        transform: what is done to each; what comes before the first random transform is kept.
        folder: where that is kept instead, as :class:`MappedDataset` does.
    """
    return MappedDataset(data, transform, folder) if folder else CacheDataset(data, transform, progress=False)


class MappedDataset(PersistentDataset):
    """Keep what the deterministic transforms make of each item in a file of its own that is mapped into memory.

    An epoch then decodes nothing, and reads only what of a study a random window takes. No process holds a study: the
    system keeps in memory what fits there, once for all processes and trainings that read the folder.

    A file is named by the item, its scans' sizes and times, the transforms, and the versions of polyscan and MONAI, so
    that whatever changes is computed anew. What is not needed any more is not removed.

    Args:
        data: as for :func:`cached_dataset`; what lies in ``image`` and ``label`` are files.
        transform: likewise.
        folder: to write to.

    Raises:
        PolyscanError: transforms cannot be told apart, as those that hold a lambda.
    """

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable[..., Any], folder: str | Path) -> None:
        kept = Path(folder) / STUDIES
        super().__init__(data, transform, kept, hash_transform=_digest)
        names = (_digest([sorted(item.items()), _state(item), self.transform_hash]).decode() for item in data)
        self.files = [kept / f"{name}.pt" for name in names]

    def _transform(self, index: int) -> Any:
        return self._post_transform(self._mapped(index))

    def _mapped(self, index: int) -> Any:
        """What is kept of an item; writing to a tensor of it changes a copy, page by page, that nobody else sees."""
        file = self.files[index]
        if not file.is_file():
            write_whole(self._pre_transform(dict(self.data[index])), file)
        with torch.serialization.safe_globals(_OF_RECORDS):
            return torch.load(file, mmap=True, weights_only=True)


def claim_cache(folder: str | Path, manifest: Manifest) -> Path:
    """Take a folder to keep studies of a manifest in.

    Raises:
        PolyscanError: it is in the scans' way, or holds something else.
    """
    owned = OutputFolder.claim(folder, "train --cache", sources_of(manifest.studies), manifest.scanned)
    owned.will_hold([STUDIES])
    return owned.path


def _state(item: dict[str, Any]) -> str:
    """Changes where a scan or a mask of an item does."""
    mask = item.get("label")
    return fingerprint([*item["image"].values(), *([mask] if isinstance(mask, str) else [])])


class _Pickler(pickle.Pickler):
    """Tensors by their values: else PyTorch adds something to each that differs from process to process."""

    def reducer_override(self, each: Any) -> Any:
        return (torch.tensor, (each.tolist(), each.dtype)) if isinstance(each, Tensor) else NotImplemented


def _digest(what: Any) -> bytes:
    held = io.BytesIO()
    try:
        _Pickler(held).dump([what, __version__, monai.__version__])
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise PolyscanError(
            f"Transforms of the training cannot be told from others ({type(error).__name__}), as those that hold a "
            "lambda; write them as classes, or leave --cache away."
        ) from error
    return hashlib.sha256(held.getvalue()).hexdigest().encode()
