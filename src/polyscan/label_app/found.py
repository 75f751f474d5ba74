"""What a name that a client gives means: a study, and the scan of it that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from polyscan.dicom.attributes import text
from polyscan.dicom.headers import read_headers
from polyscan.errors import PolyscanError
from polyscan.files.numbered import numbered
from polyscan.files.packed import archive_of
from polyscan.files.walk import is_folder, walk
from polyscan.formats.endings import is_volume
from polyscan.formats.pictures import is_picture
from polyscan.modality import by_precedence
from polyscan.study import Source, Study, paths_in

NAMED = ("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Modality")
"""What OHIF opens a study by."""


@dataclass(frozen=True)
class ShownScan:
    """A scan of a study.

    Attributes:
        name: its modality, or its SeriesInstanceUID where it is none of those that the study was made of.
        source: where it lies.
    """

    name: str
    source: Source


@dataclass(frozen=True)
class Found:
    """What a name means.

    Attributes:
        key: the study's own name on this server.
        study: its scans.
        scan: the one that the name means, or that stands for the study in a viewer; None where it has none.
    """

    key: str
    study: Study
    scan: ShownScan | None

    @property
    def shown(self) -> ShownScan:
        """The scan.

        Raises:
            PolyscanError: the study has none.
        """
        if self.scan is None:
            raise PolyscanError(f"{self.key} has no scan to show.")
        return self.scan


def standing(study: Study) -> ShownScan | None:
    """The scan that stands for a study in a viewer; of several times the first."""
    name = next(iter(by_precedence(study.scans)), None)
    return None if name is None else ShownScan(name, study.scans[name].source)


def is_dicom(source: Source) -> bool:
    """Whether a scan is a DICOM series."""
    return not isinstance(source, str) or not (is_volume(source) or is_picture(source))


def attributes_of(source: Source) -> Mapping[str, str]:
    """Of a DICOM series, the attributes :data:`NAMED`; nothing of other files."""
    if not is_dicom(source):
        return {}
    first, _ = numbered(min(paths_in(source)))
    file = min(walk(first)[0], default=first) if is_folder(first) else first
    return _attributes(str(file), (archive_of(file) or file).stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _attributes(file: str, _changed: int) -> Mapping[str, str]:
    return next(({name: text(header, name) for name in NAMED} for _, header in read_headers([Path(file)])), {})


def series_in(folder: Path, uid: str) -> Source | None:
    """The files of a series under a folder."""
    headers = read_headers(path for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(path) for path, header in headers if text(header, "SeriesInstanceUID") == uid] or None
