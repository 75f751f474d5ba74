from polyscan.dicom.read import find_series as find_series, read_series as read_series
from polyscan.dicom.suv import suv_factor as suv_factor
from polyscan.discovery.read_study import (
    StudyImages as StudyImages,
    find_studies as find_studies,
    read_study as read_study,
)
from polyscan.errors import PolyscanError as PolyscanError
from polyscan.predict import LoadedBundle as LoadedBundle, Prediction as Prediction, load_bundle as load_bundle
from polyscan.preprocess.prepare import prepare as prepare
from polyscan.registration.register import Registration as Registration, register_rigid as register_rigid
from polyscan.study import Study as Study
from polyscan.study.manifest import (
    Manifest as Manifest,
    read_manifest as read_manifest,
    write_manifest as write_manifest,
)

__version__: str
