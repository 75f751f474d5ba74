"""The answers for a study as DICOM objects that refer to the series that they were found on."""

from __future__ import annotations

from pathlib import Path

from polyscan.export.dicom import write_objects
from polyscan.files.owned import replace_owned
from polyscan.study import Study
from polyscan.study.sources import StudySources


def write_results(study: Study, answered: Study, description: str, folder: Path) -> list[Path]:
    """Write what is sent to an archive: a SEG where the answer is a mask, and a report of measures and classes.

    Args:
        study: as it was found, with its DICOM series.
        answered: prepared, with its prediction.
        description: of the series, such as the name of the bundle.
        folder: to write to, whole or not at all; what was written there before is replaced.

    Returns:
        The files.

    Raises:
        PolyscanError: the reference is no series of one image a slice, or highdicom is not installed.
    """
    sources = StudySources(study.sources)
    written: dict[str, str] = {}
    with replace_owned(folder) as temporary:
        if answered.preparation is not None and answered.prediction is not None:
            written = write_objects(answered, sources, temporary, ("seg", "sr"), description)
    return sorted(folder / name for name in written.values())
