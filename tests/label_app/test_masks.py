"""A mask in every format that a viewer asks for, and where it lies."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.label_app.masks import MaskFormat, laid_on
from polyscan.study import Preparation, RegistrationRecord, Scan, Study

LABELS = {"necrotic core": 1, "oedema": 2, "enhancing tumour": 4}
AFFINE = torch.tensor([[0.0, -2, 0, 7], [1.0, 0, 0, -4], [0, 0, 3, 11], [0, 0, 0, 1]], dtype=torch.float64)


def made() -> MetaTensor:
    values = np.random.default_rng(0).choice([0, 1, 2, 4], (1, 5, 6, 7)).astype(np.uint8)
    return MetaTensor(torch.from_numpy(values), affine=AFFINE)


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".seg.nrrd"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_format_holds_the_same_labels_in_the_same_place(tmp_path, extension, dtype):
    asked = {"result_extension": extension, "result_dtype": dtype, "result_compress": False}
    path = MaskFormat.asked(asked).write(made(), tmp_path / "sub-001", LABELS)
    assert path.name == f"sub-001{extension}"
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image).transpose()
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, made()[0])
    point = np.array(image.TransformIndexToPhysicalPoint((1, 2, 3))) * [-1, -1, 1]
    np.testing.assert_allclose(point, (AFFINE.numpy() @ [1, 2, 3, 1])[:3], atol=1e-5)
    if extension == ".seg.nrrd":
        assert image.GetMetaData("Segment2_Name") == "enhancing tumour"
        assert image.GetMetaData("Segment2_LabelValue") == "4"


def test_what_is_compressed(tmp_path):
    raw, packed = (
        MaskFormat(".nrrd", compress=c).write(made(), tmp_path / f"{c}", LABELS).read_bytes() for c in (False, True)
    )
    assert b"encoding: raw" in raw
    assert b"encoding: gzip" in packed
    assert raw.endswith(made()[0].numpy().transpose().tobytes())


@pytest.mark.parametrize(
    ("name", "value"), [("result_extension", ".png"), ("result_dtype", "bool"), ("result_compress", "yes")]
)
def test_an_unknown_value_is_refused_by_name(name, value):
    with pytest.raises(PolyscanError, match=f"{name} is '{value}'; expected"):
        MaskFormat.asked({name: value})
    assert MaskFormat.asked({}) == MaskFormat(".nii.gz", "uint8", True)


def test_a_mask_goes_back_by_the_transform_that_its_scan_came_by(tmp_path):
    mask = made()
    write_nifti(tmp_path / "reference.nii.gz", mask)
    moved = AFFINE.clone()
    moved[:3, 3] += torch.tensor([-4.0, 2.0, 3.0])
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 6, 7), np.uint8), moved.numpy()), tmp_path / "PET.nii.gz")
    # Points of the reference to points of the scan, in LPS: what the scan's header was moved by.
    sitk.WriteTransform(sitk.TranslationTransform(3, (4.0, -2.0, 3.0)), str(tmp_path / "to.tfm"))
    prepared = Study("1", scans={"CT": Scan(""), "PET": Scan("")}, preparation=Preparation("petct", "CT"))
    for transform, expected in ((str(tmp_path / "to.tfm"), mask), (None, None)):
        prepared.preparation.registrations["PET"] = RegistrationRecord(transform is not None, "", transform)
        laid, assumed = laid_on(mask, prepared, "PET", str(tmp_path / "PET.nii.gz"))
        assert assumed == ""
        np.testing.assert_allclose(laid.affine, moved)
        assert (expected is not None) == np.array_equal(laid, mask)
    _, assumed = laid_on(mask, prepared, "T1", str(tmp_path / "PET.nii.gz"))
    assert "T1 was not registered to CT" in assumed
