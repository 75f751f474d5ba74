"""polyscan reads the scans of one patient together: MRI, CT and PET, whichever of them are there.

The names below are the stable interface. Each is imported when it is first used, so that ``import polyscan`` is quick.

Example:
    >>> import polyscan
    >>> (study,) = polyscan.find_studies("ward/")
    >>> sorted(study.scans)
    ['FLAIR', 'T1c']
    >>> bundle = polyscan.load_bundle("brain_mri_tumour_segmentation")
    >>> prediction = bundle.predict(study)  # T1 and T2 were not acquired
    >>> prediction.reference, prediction.mask.shape
    ('T1c', torch.Size([1, 66, 76, 68]))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscan.dicom.read import find_series, read_series
    from polyscan.dicom.suv import suv_factor
    from polyscan.discovery.read_study import StudyImages, find_studies, read_study
    from polyscan.errors import PolyscanError
    from polyscan.predict import LoadedBundle, Prediction, load_bundle
    from polyscan.preprocess.prepare import prepare
    from polyscan.registration.register import Registration, register_rigid
    from polyscan.study import Study
    from polyscan.study.manifest import Manifest, read_manifest, write_manifest

__version__ = "0.2.0"

_HOMES = {
    "LoadedBundle": "polyscan.predict",
    "Manifest": "polyscan.study.manifest",
    "PolyscanError": "polyscan.errors",
    "Prediction": "polyscan.predict",
    "Registration": "polyscan.registration.register",
    "Study": "polyscan.study",
    "StudyImages": "polyscan.discovery.read_study",
    "find_series": "polyscan.dicom.read",
    "find_studies": "polyscan.discovery.read_study",
    "load_bundle": "polyscan.predict",
    "prepare": "polyscan.preprocess.prepare",
    "read_manifest": "polyscan.study.manifest",
    "read_series": "polyscan.dicom.read",
    "read_study": "polyscan.discovery.read_study",
    "register_rigid": "polyscan.registration.register",
    "suv_factor": "polyscan.dicom.suv",
    "write_manifest": "polyscan.study.manifest",
}

__all__ = [
    "LoadedBundle",
    "Manifest",
    "PolyscanError",
    "Prediction",
    "Registration",
    "Study",
    "StudyImages",
    "__version__",
    "find_series",
    "find_studies",
    "load_bundle",
    "prepare",
    "read_manifest",
    "read_series",
    "read_study",
    "register_rigid",
    "suv_factor",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polyscan' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
