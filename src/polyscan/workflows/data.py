"""From a prepared manifest to what MONAI's data sets take, and from there to one tensor a study."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from polyscan.errors import PolyscanError
from polyscan.io.geometry import same_grid
from polyscan.io.manifest import read_manifest
from polyscan.io.nifti import read_nifti
from polyscan.study import Study


def training_items(manifest: str | Path) -> list[dict[str, Any]]:
    """The labelled studies to train on: the section ``training``, less what :func:`validation_items` takes of it.

    Raises:
        PolyscanError: fewer than two studies have a label.
    """
    return _split(manifest)[0]


def validation_items(manifest: str | Path) -> list[dict[str, Any]]:
    """The labelled studies to watch training with: the section ``validation``, or each tenth of ``training``."""
    return _split(manifest)[1]


def inference_items(manifest: str | Path) -> list[dict[str, Any]]:
    """The studies to answer for: the section ``testing``; all studies where that section is empty."""
    found = read_manifest(manifest)
    return [_item(study) for study in found.testing or found.studies]


def testing_items(manifest: str | Path) -> list[dict[str, Any]]:
    """The labelled studies to evaluate on: those of :func:`inference_items` that have a mask.

    Raises:
        PolyscanError: none has.
    """
    items = [item for item in inference_items(manifest) if "label" in item]
    if not items:
        raise PolyscanError(f"{manifest} has no study with a label mask to evaluate on; give it some.")
    return items


def _split(manifest: str | Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    found = read_manifest(manifest)
    training = [_item(s) for s in sorted(found.training, key=lambda s: s.key) if "mask" in s.label]
    validation = [_item(s) for s in found.validation if "mask" in s.label]
    if not validation:
        training, validation = [t for i, t in enumerate(training) if i % 10], training[::10]
    if not training or not validation:
        raise PolyscanError(
            f"{manifest} has {len(training) + len(validation)} studies with a label mask to train on; "
            "give at least two in the section 'training'."
        )
    return training, validation


def _item(study: Study) -> dict[str, Any]:
    item: dict[str, Any] = {"study": study.key, "image": dict(study.images)}
    if "mask" in study.label:
        item["label"] = study.label["mask"]
    return item


class LoadStudyd(MapTransform):
    """Read the prepared scans of a study into one tensor (modality, x, y, z); a modality that is absent is NaN.

    The tensor's ``filename_or_obj`` is the study's name, so that what is saved later is named after the study. A
    mask under ``label``, where there is one, is read as (1, x, y, z) beside it.

    Args:
        keys: entries that map modality to file.
        modalities: order of the channels.
        absent: modalities to treat as though they had not been acquired.
        allow_missing_keys: as in MONAI.

    Raises:
        PolyscanError: a study has none of the modalities, or its files do not lie on one grid.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str],
        *,
        absent: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        unknown = set(absent) - set(modalities)
        if unknown:
            raise PolyscanError(
                f"Modality {', '.join(sorted(unknown))} cannot be left out: this bundle reads {', '.join(modalities)}."
            )
        self.modalities = list(modalities)
        self.read = [m for m in modalities if m not in absent]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the images, and the label where there is one, read."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self._stack(out[key], str(out["study"]))
            if "label" in out:
                out["label"] = read_nifti(out["label"])
                _check_grid(out["label"], out[key], str(out["study"]), "label")
        return out

    def _stack(self, files: Mapping[str, str], study: str) -> MetaTensor:
        images = {m: read_nifti(files[m]) for m in self.read if m in files}
        if not images:
            raise PolyscanError(
                f"{study} has {', '.join(files) or 'no scan'}; expected at least one of {', '.join(self.read)}."
            )
        first = next(iter(images.values()))
        for name, image in images.items():
            _check_grid(image, first, study, name)
        nothing = torch.full_like(first.as_tensor(), float("nan"))
        stacked = torch.cat([images[m].as_tensor() if m in images else nothing for m in self.modalities])
        return MetaTensor(stacked, affine=first.affine, meta={"filename_or_obj": study})


def _check_grid(image: MetaTensor, grid: MetaTensor, study: str, name: str) -> None:
    if not same_grid(image, grid):
        raise PolyscanError(
            f"{study}: {name} has another grid ({list(image.shape[1:])} voxels) than the other scans "
            f"({list(grid.shape[1:])}); run polyscan prepare on this study again."
        )


class ScaleModalitiesd(MapTransform):
    """Map a window of physical values to [-1, 1], modality by modality; values outside it are clipped.

    Args:
        keys: images (modality, *spatial).
        modalities: order of the channels.
        windows: modality to its (lowest, highest) value, in HU, SUV or whatever unit it has; others stay as they are.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str],
        windows: Mapping[str, Sequence[float]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.windows = {m: windows[name] for m, name in enumerate(modalities) if name in windows}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy with the images scaled; NaN stays."""
        out = dict(data)
        for key in self.key_iterator(out):
            image = out[key].clone()
            for m, (low, high) in self.windows.items():
                image[m] = ((image[m] - low) / (high - low) * 2 - 1).clamp(-1, 1)
            out[key] = image
        return out
