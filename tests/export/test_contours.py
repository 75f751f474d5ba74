"""Masks as contours of an RTSTRUCT, by our reader, by plastimatch and by GDCM."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from answers import ORIENTATIONS, REGIONS, check_standard, exported, placed, sorted_rows
from monai.data import MetaTensor

from polyscan.dicom.read import read_series
from polyscan.dicom.rtstruct import read_rtstruct
from polyscan.dicom.source_images import source_images
from polyscan.dicom.write_rtstruct import write_rtstruct
from polyscan.geometry import affine_of

pytest.importorskip("highdicom")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_contours_are_read_back_voxel_for_voxel(answered, tmp_path, orientation):
    """By our own reader, whatever the mask: single voxels, diagonal neighbours, holes, islands in holes."""
    study, sources, grid, mask = answered(orientation)
    file = exported(study, sources, tmp_path / "dicom", ["rtstruct"])["rtstruct"]
    for name, values in REGIONS.items():
        np.testing.assert_array_equal(read_rtstruct(file, grid, name), np.isin(mask, values))


def test_contours_keep_the_standard_and_refer_to_their_slices(answered, tmp_path):
    study, sources, _, _ = answered("doubly oblique, from the head")
    study.prediction.regions = {**REGIONS, "not there": [7]}
    files = exported(study, sources, tmp_path / "dicom", ["rtstruct"])
    data = pydicom.dcmread(files["rtstruct"])
    images = {
        image.SOPInstanceUID: image
        for image in map(pydicom.dcmread, Path(sources.studies["sub-a"].scans["CT"]).iterdir())
    }
    assert [roi.ROIName for roi in data.StructureSetROISequence] == [*REGIONS, "not there"]
    assert "ContourSequence" not in data.ROIContourSequence[3]
    for roi in data.ROIContourSequence[:3]:
        for contour in roi.ContourSequence:
            image = images[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            normal = np.cross(image.ImageOrientationPatient[:3], image.ImageOrientationPatient[3:])
            points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
            assert len(points) == contour.NumberOfContourPoints
            np.testing.assert_allclose((points - image.ImagePositionPatient) @ normal, 0, atol=1e-3)
    check_standard(files)


@pytest.fixture(params=["axial", "doubly oblique, from the head"])
def lesion(request, make_series, tmp_path):
    """A series, its RTSTRUCT of two lesions, one with a hole and an island in it, and where their voxels lie."""
    size, place = 48, placed(*ORIENTATIONS[request.param])

    def change(k, ds):
        place(k, ds)
        ds.Rows = ds.Columns = size
        ds.PixelData = bytes(2 * size * size)

    folder = make_series("CT", slices=9, change=change)
    grid = read_series(folder)
    x, y, z = np.meshgrid(*map(np.arange, grid.shape[1:]), indexing="ij")
    far = np.hypot(np.hypot(x - 18, y - 20), 2 * (z - 4))
    mask = ((far < 12) & ~((far > 3) & (far < 6))) | (np.hypot(np.hypot(x - 38, y - 38), 2 * (z - 4)) < 5)
    images = source_images(str(folder))
    volume = MetaTensor(torch.from_numpy(mask[None].astype(np.uint8)), affine=grid.affine)
    uids = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    write_rtstruct(tmp_path / "rt.dcm", volume, images, {"tumour": [1]}, uids, description="x")
    return folder, tmp_path / "rt.dcm", points_of(mask, np.asarray(grid.affine))


def points_of(mask, affine):
    return sorted_rows(np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3])


def test_plastimatch_reads_the_contours(lesion, tmp_path):
    """A reader of its own, in C++; it joins the contours of a slice, so that only keyholes keep holes."""
    if shutil.which("plastimatch") is None:
        pytest.skip("plastimatch is not installed (Debian plastimatch)")
    folder, file, expected = lesion
    call = ["plastimatch", "convert", "--input", str(file), "--referenced-ct", str(folder)]
    call += ["--output-prefix", str(tmp_path / "read"), "--prefix-format", "nrrd"]
    subprocess.run(call, capture_output=True, check=True)
    image = sitk.ReadImage(str(tmp_path / "read" / "tumour.nrrd"))
    found = points_of(sitk.GetArrayFromImage(image).transpose() > 0, affine_of(image))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_pixels_whose_centres_lie_within_by_gdcm(lesion):
    """Places by GDCM, and the pixels from which a ray crosses the contours of a slice an odd number of times."""
    folder, file, expected = lesion
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    read = np.zeros(image.GetSize(), dtype=bool)
    x, y = np.meshgrid(*map(np.arange, read.shape[:2]), indexing="ij")
    for contour in pydicom.dcmread(file).ROIContourSequence[0].ContourSequence:
        points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
        voxels = np.array([image.TransformPhysicalPointToContinuousIndex(point) for point in points.tolist()])
        for (ax, ay, z), (bx, by, _) in zip(voxels, np.roll(voxels, -1, axis=0), strict=True):
            if ay != by:
                crossed = ((ay > y) != (by > y)) & (x < ax + (y - ay) / (by - ay) * (bx - ax))
                read[:, :, round(z)] ^= crossed
    np.testing.assert_allclose(points_of(read, affine_of(image)), expected, atol=2e-3)
