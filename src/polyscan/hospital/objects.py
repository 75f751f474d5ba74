"""The answers for a study as DICOM objects that refer to the series that they were found on."""

from __future__ import annotations

from pathlib import Path

from polyscan.bundle.run import label_classes
from polyscan.dicom.write_segmentation import write_segmentation
from polyscan.files.atomic import atomic_write_folder
from polyscan.formats.nifti import read_nifti
from polyscan.preprocess.native import empty_image, to_native
from polyscan.study import Study


def write_objects(study: Study, answered: Study, bundle: Path, folder: Path) -> list[Path]:
    """Write what is sent to an archive: a DICOM SEG on the reference series where the answer is a mask.

    Args:
        study: as it was found, with its DICOM series.
        answered: prepared, with its prediction.
        bundle: that predicted it.
        folder: to write to, whole or not at all; what it holds is replaced.

    Returns:
        The files.

    Raises:
        PolyscanError: the reference is no series of one image a slice, or the bundle does not name its labels.
    """
    preparation, prediction = answered.preparation, answered.prediction
    with atomic_write_folder(folder) as temporary:
        if preparation is not None and prediction is not None and prediction.is_mask:
            own = empty_image(preparation.grids[preparation.reference])
            mask = to_native(read_nifti(prediction.path), own)
            source = study.scans[preparation.reference].source
            segments = {name: [number] for name, number in label_classes(bundle).items()}
            write_segmentation(temporary / "segmentation.dcm", mask, source, segments, description=bundle.name)
    return sorted(folder.iterdir())
