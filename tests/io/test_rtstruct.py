from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset, FileMetaDataset

from polyscan.errors import PolyscanError
from polyscan.io.dicom import read_series
from polyscan.io.rtstruct import read_rtstruct
from polyscan.phantom.write import save_dicom


def item(**values) -> Dataset:
    data = Dataset()
    for name, value in values.items():
        setattr(data, name, value)
    return data


def write(path, contours, names=("GTV",)):
    data = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3",
        StructureSetROISequence=[item(ROINumber=k, ROIName=name) for k, name in enumerate(names)],
        ROIContourSequence=[
            item(
                ReferencedROINumber=k,
                ContourSequence=[
                    item(ContourGeometricType="CLOSED_PLANAR", ContourData=np.ravel(c).tolist()) for c in contours
                ],
            )
            for k in range(len(names))
        ],
    )
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, "1.2.3"
    save_dicom(data, path)
    return path


def square(low, high, z):
    return [[low, low, z], [high, low, z], [high, high, z], [low, high, z]]


GRID = MetaTensor(torch.zeros(1, 10, 10, 3), affine=torch.diag(torch.tensor([-1.0, -1.0, 2.0, 1.0])))


def test_a_contour_in_a_contour_is_a_hole(tmp_path):
    mask = read_rtstruct(write(tmp_path / "rs.dcm", [square(0.5, 7.5, 2), square(2.5, 4.5, 2)]), GRID)[0].numpy()
    assert mask[:, :, 1].sum() == 49 - 4
    assert mask[[3, 4], 3, 1].sum() == 0
    assert mask[:, :, [0, 2]].sum() == 0


def test_regions_are_named(tmp_path):
    path = write(tmp_path / "rs.dcm", [square(0.5, 7.5, 2)], names=("GTV", "lung"))
    with pytest.raises(PolyscanError, match="GTV, lung"):
        read_rtstruct(path, GRID)
    assert read_rtstruct(path, GRID, "lung").sum() == 49


def test_contours_of_another_scan_are_refused(tmp_path):
    with pytest.raises(PolyscanError, match="does not touch"):
        read_rtstruct(write(tmp_path / "rs.dcm", [square(0.5, 7.5, 200)]), GRID)


@pytest.mark.parametrize("subject", ["STS_002", "STS_025"])
@pytest.mark.parametrize("name", ["CT", "MR_T1", "PET"])
def test_real_contours_equal_their_reference(data, subject, name):
    folder = data / "sarcoma_ct_mr_pet" / "dicom" / subject / name
    image = read_series(folder / "image")
    (file,) = (folder / "mask").iterdir()
    mask = nibabel.Nifti1Image(read_rtstruct(file, image)[0].numpy(), np.asarray(image.affine))
    reference = nibabel.load(data / "sarcoma_ct_mr_pet" / "nifti" / subject / f"{name}_mask.nii.gz")
    a, b = (nibabel.as_closest_canonical(x).get_fdata() > 0 for x in (mask, reference))
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.999
