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

from typing import TYPE_CHECKING

from polyscan import lazy

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

__getattr__ = lazy.getattr_of(
    __name__,
    {
        "dicom.read": ("find_series", "read_series"),
        "dicom.suv": ("suv_factor",),
        "discovery.read_study": ("StudyImages", "find_studies", "read_study"),
        "errors": ("PolyscanError",),
        "predict": ("LoadedBundle", "Prediction", "load_bundle"),
        "preprocess.prepare": ("prepare",),
        "registration.register": ("Registration", "register_rigid"),
        "study": ("Study",),
        "study.manifest": ("Manifest", "read_manifest", "write_manifest"),
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
