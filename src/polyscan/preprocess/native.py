"""Take masks back to the grids of the scans as they were acquired, by the inverse of each scan's registration."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.files.atomic import write_json
from polyscan.files.owned import replace_owned
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.geometry import empty_image
from polyscan.preprocess.resample import resample
from polyscan.progress import Progress, silent
from polyscan.study import ScanKey, Study
from polyscan.study.made import prediction_of, preparation_of
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, sources_of

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


def write_native(manifest: Manifest, out: str | Path, *, progress: Progress = silent) -> dict[str, dict[str, str]]:
    """Write the masks that ``infer`` predicted on the own grid of each scan that was prepared.

    No scan is read: ``prepare`` noted the grids.

    Args:
        manifest: what ``infer`` wrote.
        out: folder that is new, empty, or was made so; a mask is ``<study>_space-<scan>_dseg.nii.gz``, and
            ``native.json`` lists them.
        progress: told (done, total, study) after each.

    Returns:
        Study to scan to the mask's path.

    Raises:
        PolyscanError: no study has a predicted mask, or ``out`` cannot be used.
    """
    studies = [s for s in manifest.studies if s.preparation and s.prediction and s.prediction.is_mask]
    if not studies:
        raise PolyscanError("No study has a predicted mask; name the manifest that polyscan infer wrote.")
    owned = OutputFolder.claim(out, "native", sources_of(studies))
    names = {study.key: _names(study) for study in studies}
    owned.will_hold([INDEX, *(name for each in names.values() for name in each.values())])
    with owned.alone():
        for count, study in enumerate(studies, start=1):
            preparation, mask = preparation_of(study), read_nifti(prediction_of(study).path)
            with replace_owned(owned.path, group=study.key) as folder:
                for name, grid in preparation.grids.items():
                    labels = to_native(mask, empty_image(grid.shape, grid.affine), preparation.transforms.get(name))
                    kept = MetaTensor(labels.as_tensor().to(torch.uint8), affine=labels.affine)
                    write_nifti(folder / names[study.key][name], kept)
            progress(count, len(studies), study.key)
        with replace_owned(owned.path, group=INDEX) as folder:
            write_json(folder / INDEX, {"masks": names})
        owned.remove_others([INDEX, *(name for each in names.values() for name in each.values())])
    return {key: {name: str(owned.path / file) for name, file in each.items()} for key, each in names.items()}


def _names(study: Study) -> dict[str, str]:
    """Scan to what its mask's file is called."""
    grids = study.preparation.grids if study.preparation else {}
    return {name: f"{study.key}_space-{ScanKey.parse(name).label}_dseg.nii.gz" for name in grids}
