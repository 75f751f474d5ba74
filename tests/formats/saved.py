"""An array as a NIfTI file."""

from __future__ import annotations

import nibabel
import numpy as np


def save(path, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path
