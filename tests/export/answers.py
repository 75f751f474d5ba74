"""Series that lie in every way, and what is exported of an answer on them."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from polyscan.export.dicom import write_dicom
from polyscan.study.manifest import Manifest

REGIONS = {"whole tumour": [1, 2, 4], "tumour core": [1, 4], "enhancing tumour": [4]}
TURNED = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]])
# Rows and columns of an image in LPS+, and the way from slice to slice; feet first is told by the vectors alone.
ORIENTATIONS = {
    "axial": ([1, 0, 0], [0, 1, 0], 1),
    "axial, stored from the head": ([1, 0, 0], [0, 1, 0], -1),
    "feet first, prone": ([-1, 0, 0], [0, -1, 0], 1),
    "decubitus": ([0, 1, 0], [-1, 0, 0], 1),
    "sagittal": ([0, 1, 0], [0, 0, -1], 1),
    "coronal": ([1, 0, 0], [0, 0, -1], -1),
    "oblique": (TURNED[0], TURNED[1], 1),
    "doubly oblique, from the head": (TURNED[2], TURNED[0], -1),
}


def placed(rows, columns, way, shear=0.0):
    """A change of ``make_series`` that lays its slices, 3 mm apart."""
    rows, columns = np.asarray(rows, float), np.asarray(columns, float)
    normal = np.cross(rows, columns) * way + shear * rows

    def change(k, ds):
        ds.ImageOrientationPatient = [float(f"{x:.9f}") for x in (*rows, *columns)]
        ds.ImagePositionPatient = [float(f"{x:.6f}") for x in np.array([-10, -20, 5]) + 3 * k * normal]
        ds.AccessionNumber, ds.StudyDate, ds.StudyTime, ds.StudyID = "", "20200101", "100000", "1"
        ds.PatientBirthDate, ds.PatientSex, ds.SeriesNumber, ds.ReferringPhysicianName = "", "O", 1, ""
        ds.PatientOrientation, ds.PositionReferenceIndicator, ds.Manufacturer = "", "", "x"
        ds.Laterality = ""

    return change


def exported(study, sources, out, objects=("seg", "labelmap", "sr", "registration")):
    found = write_dicom(Manifest(testing=[study], bundle="brain"), sources, out, objects)
    assert not found.failed
    return {name: out / file for name, file in found.files["sub-a"].items()}


def check_standard(files):
    """dciodvfy of dicom3tools names no error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian dicom3tools)")
    for name, file in files.items():
        told = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        errors = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]
        assert not errors, (name, errors)


def sorted_rows(points):
    points = np.asarray(points).round(3)
    return points[np.lexsort(points.T)]
