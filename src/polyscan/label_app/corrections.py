"""Labels that a client saves: whether they are labels of that scan, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import read_nifti
from polyscan.formats.read import read_volume
from polyscan.geometry import same_grid
from polyscan.label_app.masks import revalued


@dataclass(frozen=True)
class Correction:
    """A label that was kept.

    Attributes:
        path: mask, or JSON that gives the class of each task, such as ``{"grade": "4"}``.
        drawn_on: the scan on whose grid the mask lies.
        labels: what the mask's numbers mean, name to number.
    """

    path: Path
    drawn_on: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_mask(self) -> bool:
        """Whether it is a mask."""
        return self.path.suffix != ".json"

    def numbered(self, labels: Mapping[str, int]) -> MetaTensor:
        """The mask (1, x, y, z) uint8 in a model's numbers."""
        return revalued(read_nifti(self.path), {value: labels[name] for name, value in self.labels.items()})


def read_correction(path: Path, grid: MetaTensor) -> MetaTensor:
    """Read a mask that was drawn on a scan.

    Args:
        path: NIfTI, NRRD, or ``.bin``: OHIF's bare bytes of the voxels, x fastest, one a voxel.
        grid: the scan (1, x, y, z).

    Returns:
        (1, x, y, z) int16 on the scan's grid.

    Raises:
        PolyscanError: it cannot be read, has another grid, or holds what is no label.
    """
    mask = _read(path, grid)
    if not same_grid(mask, grid):
        raise PolyscanError(
            f"The label has {list(mask.shape[1:])} voxels, the scan {list(grid.shape[1:])}, or lies elsewhere; draw it "
            "on the scan that it is saved for."
        )
    values = mask[0].cpu().numpy()
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or values.min() < 0 or values.max() > 255:
        raise PolyscanError("The label holds values that are no whole numbers from 0 to 255; export it as a label map.")
    return MetaTensor(torch.from_numpy(values.astype(np.int16)[None]), affine=grid.affine)


def _read(path: Path, grid: MetaTensor) -> MetaTensor:
    if is_volume(path):
        return read_volume(path)
    if path.suffix == ".bin":
        values = np.frombuffer(path.read_bytes(), np.uint8)
        shape = tuple(grid.shape[1:])
        if values.size != np.prod(shape):
            raise PolyscanError(f"The label has {values.size} voxels, the scan {list(shape)}; draw it on that scan.")
        return MetaTensor(torch.from_numpy(values.reshape(shape, order="F").copy()[None]), affine=grid.affine)
    raise PolyscanError(f"The label ends in {path.suffix!r}; expected .nii.gz, .nii, .nrrd, .bin or .json.")


def renumbered(
    mask: MetaTensor, label_info: Any, models: Mapping[str, Mapping[str, int]]
) -> tuple[MetaTensor, dict[str, int]]:
    """Give labels the numbers that the models know them by: a client counts its segments in its own way.

    Args:
        mask: (1, x, y, z) whole numbers.
        label_info: what the client says of them, ``[{"name": "oedema", "idx": 2}, ...]``; one without ``idx`` has the
            number of its place, from 1. Nothing where the numbers are those that the server answers with.
        models: model to its labels, name to number.

    Returns:
        The mask in the numbers of the first model that knows all labels, and those of its labels that it may hold.

    Raises:
        PolyscanError: no model knows all the labels, or the mask holds a number that has no name.
    """
    present = {int(value) for value in np.unique(mask.numpy())} - {0}
    names = _names(label_info)
    for labels in models.values():
        meant = names or {value: name for name, value in labels.items()}
        if present <= meant.keys() and {meant[value] for value in present} <= labels.keys():
            out = revalued(mask, {value: labels[meant[value]] for value in present})
            return out, {name: labels[name] for name in meant.values() if name in labels}
    held = ", ".join(repr(names.get(value, value)) for value in sorted(present))
    known = "; ".join(
        f"{model}: {', '.join(f'{v} {k}' for k, v in labels.items())}" for model, labels in models.items()
    )
    raise PolyscanError(f"The label holds {held}, which no model knows; name them in label_info as one does ({known}).")


def _names(label_info: Any) -> dict[int, str]:
    if not label_info:
        return {}
    try:
        named = [(int(entry.get("idx", place)), str(entry["name"])) for place, entry in enumerate(label_info, 1)]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise PolyscanError('label_info is no list such as [{"name": "oedema", "idx": 2}]; correct it.') from None
    if len({value for value, _ in named}) < len(named):
        raise PolyscanError("label_info gives one number to two names; give each its own.")
    return dict(named)


def check_classes(classes: Any, known: Collection[str]) -> None:
    """Hold corrected classes, such as ``{"grade": "4"}``, against those that models know, such as ``grade 4``.

    Raises:
        PolyscanError: they are no object of task and class, or there is no such class.
    """
    if not isinstance(classes, dict) or not classes:
        raise PolyscanError('The classes are no JSON object such as {"grade": "4"}; correct them.')
    wrong = [f"{task} {value}" for task, value in classes.items() if f"{task} {value}" not in known]
    if wrong:
        raise PolyscanError(f"No model knows {', '.join(wrong)}; they know {', '.join(known)}.")
