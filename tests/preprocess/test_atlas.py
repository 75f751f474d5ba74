"""The atlas' brain on heads: one made of the atlas itself, and a patient's."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from scipy import ndimage

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import from_sitk, to_sitk
from polyscan.preprocess.atlas import _atlas, atlas_brain_mask
from polyscan.preprocess.brain import brain_mask
from polyscan.preprocess.resample import resample
from polyscan.registration import register_rigid

pytest.importorskip("nilearn", reason="nilearn is not installed")


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_turned_and_larger_brain_in_a_skull_is_found():
    template, brain = _atlas()
    move = sitk.Similarity3DTransform(1 / 1.08, [1, 0, 0], 0.25, [5, -12, 20])
    head, truth = (sitk.Resample(image, template, move, kind) for image, kind in ((template, 2), (brain, 1)))
    values, inside = sitk.GetArrayFromImage(head), sitk.GetArrayFromImage(truth) > 0
    away = ndimage.distance_transform_edt(~inside) * 2
    values[(away > 6) & (away < 12)] = values[inside].mean() * 1.5  # scalp, brighter than the brain; the skull is dark
    values = values.max() - values  # another contrast than the atlas'
    values[away >= 12] = 0
    made = sitk.GetImageFromArray(values)
    made.CopyInformation(head)
    assert dice(brain_mask(from_sitk(made), "atlas"), inside.transpose(2, 1, 0)) > 0.93


def test_a_patients_brain(data):
    """Beside the same patient's scan whose skull others took away."""
    folder = data / "glioma_mri_native"
    native, stripped = read_nifti(folder / "native" / "t1c.nii.gz"), read_nifti(folder / "preproc_bet" / "t1c.nii.gz")
    found = atlas_brain_mask(native)
    mask = MetaTensor((stripped != 0).float(), affine=stripped.affine)
    to_stripped = register_rigid(to_sitk(native), to_sitk(stripped)).transform
    truth = resample(mask, native, to_stripped, label=True)[0].numpy() > 0.5
    assert dice(found, truth) > 0.9


def test_what_is_no_head_is_refused():
    values = torch.rand(1, 40, 40, 12, generator=torch.Generator().manual_seed(0))
    noise = MetaTensor(values, affine=np.diag([4, 4, 12, 1]))
    with pytest.raises(PolyscanError, match="found no brain"):
        atlas_brain_mask(noise)
