"""Pairs of real heads as acquired, with the transform between them that was published or worked out beside them.

A glioma patient's contrasts, one head in three positions, and of patients with multiple sclerosis the contrasts of each
visit and FLAIR of the two visits. The references are themselves good to 1 to 2 mm.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import SimpleITK as sitk

from polyscan.registration.poses import Poses


class Registered(NamedTuple):
    """Two scans of a patient and the transform from points of the fixed to points of the moving one."""

    patient: str
    name: str
    fixed: Path
    moving: Path
    truth: Poses


def registered_heads(data: Path) -> list[Registered]:
    """The pairs of a folder of sample data."""
    return [*_glioma(data / "glioma_mri_native"), *_positions(data / "dicom_cases" / "mr_positions"), *_visits(data)]


def _glioma(folder: Path) -> list[Registered]:
    native = folder / "native"
    return [
        Registered(
            "glioma",
            f"t1c_to_{n}",
            native / "t1c.nii.gz",
            native / f"{n}.nii.gz",
            _read(folder / f"t1c_to_{n}_MI_reference.tfm"),
        )
        for n in ("t1", "t2", "flair")
    ]


def _positions(folder: Path) -> list[Registered]:
    nifti = folder / "nifti"
    return [
        Registered(
            "positions",
            f"HFS_to_{n}",
            nifti / "HFS_t1_fl2d_sag.nii.gz",
            nifti / f"{n}_t1_fl2d_sag.nii.gz",
            _read(folder / f"HFS_to_{n}_MI_reference.tfm"),
        )
        for n in ("HFP", "HFDL")
    ]


def _visits(data: Path) -> list[Registered]:
    found = []
    for folder in sorted((data / "ms_longitudinal").glob("patient*/")):
        flair = {visit: folder / f"{visit}_FLAIR.nii.gz" for visit in ("study1", "study2")}
        for visit, fixed in flair.items():
            for n in ("T1W", "T2W"):
                truth = _read(folder / f"{visit}_{n}_intrastudy_to_FLAIR.txt")
                name = f"{folder.name} {visit} FLAIR_to_{n}"
                found.append(Registered(folder.name, name, fixed, folder / f"{visit}_{n}.nii.gz", truth))
        first, second = (_read(folder / f"{visit}_FLAIR_to_common_space.txt") for visit in flair)
        name, truth = f"{folder.name} FLAIR study1_to_study2", second.compose(first.inverse())
        found.append(Registered(folder.name, name, *flair.values(), truth))
    return found


def _read(file: Path) -> Poses:
    return Poses.of_itk(sitk.ReadTransform(str(file)))
