"""Take masks back to the grids of the scans as they were acquired, by the inverse of each scan's registration."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.geometry import empty_image
from polyscan.preprocess.resample import resample
from polyscan.progress import Progress, silent
from polyscan.study import ScanKey, Study
from polyscan.study.made import prediction_of, preparation_of
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, sources_of
from polyscan.study.write_each import Written, write_each

INDEX = "native.json"


def to_native(mask: MetaTensor, grid: MetaTensor, transform: str | Path | None = None) -> MetaTensor:
    """Bring a mask from the reference to the grid of a scan that was registered to it.

    Each voxel of the scan takes the label of the voxel of the mask that its centre lies in.

    Args:
        mask: (1, x, y, z) labels in the space of the reference.
        grid: the scan (1, x, y, z) as it was acquired.
        transform: the file that ``prepare`` wrote for the scan, whose transform goes from points of the reference to
            points of the scan; None where it was not registered.

    Returns:
        (1, x, y, z) labels on the scan's own grid; 0 outside of the mask.
    """
    inverse = sitk.ReadTransform(str(transform)).GetInverse() if transform else None
    return resample(mask, grid, inverse, label=True)


def write_native(manifest: Manifest, out: str | Path, *, progress: Progress = silent) -> Written:
    """Write the masks that ``infer`` predicted on the own grid of each scan that was prepared.

    No scan is read: ``prepare`` noted the grids.

    Args:
        manifest: what ``infer`` wrote.
        out: folder that is new, empty, or was made so; a mask is ``<study>_space-<scan>_dseg.nii.gz``, and
            ``native.json`` lists them.
        progress: told (done, total, study) after each.

    Returns:
        Study to scan to the name of the mask's file.

    Raises:
        PolyscanError: no study has a predicted mask, or ``out`` cannot be used.
    """
    studies = [s for s in manifest.studies if s.preparation and s.prediction and s.prediction.is_mask]
    if not studies:
        raise PolyscanError("No study has a predicted mask; name the manifest that polyscan infer wrote.")
    owned = OutputFolder.claim(out, "native", sources_of(studies))
    owned.will_hold([INDEX, *(name for study in studies for name in _names(study).values())])
    return write_each(owned, studies, _write_masks, done="taken to their own grids", index=INDEX, progress=progress)


def _write_masks(study: Study, folder: Path) -> dict[str, str]:
    preparation, mask, names = preparation_of(study), read_nifti(prediction_of(study).path), _names(study)
    for name, grid in preparation.grids.items():
        labels = to_native(mask, empty_image(grid.shape, grid.affine), preparation.transforms.get(name))
        write_nifti(folder / names[name], MetaTensor(labels.as_tensor().to(torch.uint8), affine=labels.affine))
    return names


def _names(study: Study) -> dict[str, str]:
    """Scan to what its mask's file is called."""
    grids = study.preparation.grids if study.preparation else {}
    return {name: f"{study.key}_space-{ScanKey.parse(name).label}_dseg.nii.gz" for name in grids}
