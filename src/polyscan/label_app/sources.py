"""Where the server's studies come from: a folder, or a DICOMweb server."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydicom

from polyscan.discovery.names import letters_of
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.dicom import save_dicom
from polyscan.files.owned import replace_owned
from polyscan.formats.pictures import picture_study
from polyscan.label_app.found import Found, ShownScan, attributes_of, series_in, standing
from polyscan.study import Study, paths_in
from polyscan.study.manifest import Manifest

BESIDE = ("labels", "derivatives")
"""Folders beside the studies' that hold none."""


class FolderStudies:
    """The studies of a folder, read again where it has changed.

    Several sessions of one subject are studies of their own and, joined, one more under the subject's name: what
    networks read that compare before with after. A folder of pictures is a study too.

    Args:
        folder: NIfTI or DICOM, as ``polyscan scan`` reads it, or pictures.

    Attributes:
        work: where the server keeps what it makes.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).resolve()
        self.work = self.folder / ".polyscan"
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._studies: dict[str, Study] = {}
        self._doubtful: dict[str, str] = {}
        self.all()

    def all(self) -> dict[str, Study]:
        """Studies by their key."""
        with self._lock:
            if not self._seen or any(_changed(folder) != when for folder, when in self._seen.items()):
                seen = {folder: _changed(folder) for folder in _folders(self.folder)}
                self._studies, self._doubtful = self._scan()
                self._seen = seen
            return self._studies

    def find(self, name: str) -> Found | None:
        """What a name, a StudyInstanceUID or a SeriesInstanceUID means; None where there is nothing of that name.

        The name of a folder means the study in it: Slicer goes on asking by the name that it gave to its upload.

        Raises:
            PolyscanError: it means the scans of two.
        """
        studies = self.all()
        if name in studies:
            return Found(name, studies[name], standing(studies[name]))
        if name in self._doubtful:
            raise PolyscanError(self._doubtful[name])
        if is_uid(name):
            found = [one for key, study in studies.items() if (one := _by_uid(key, study, name)) is not None]
        elif name != Path(name).name:
            return None
        else:
            inside = f"{self.folder / name}{os.sep}"
            lie_there = {key: study for key, study in studies.items() if _all_under(inside, study)}
            found = [Found(key, study, standing(study)) for key, study in lie_there.items()]
        # A study of several sessions holds the scans of each: the session alone is meant.
        alone = [one for one in found if one.study.times == 1] or found
        if len(alone) > 1:
            keys = " and ".join(one.key for one in alone)
            raise PolyscanError(f"{name} means {len(alone)} studies, {keys}; ask by one of these names.")
        return alone[0] if alone else None

    def _scan(self) -> tuple[dict[str, Study], dict[str, str]]:
        """Studies, and why a name is none of them."""
        places = [place for place in sorted(self.folder.iterdir()) if _is_study(place)]
        pictures = [study for place in places if (study := picture_study(place)) is not None]
        try:
            found = scan(self.folder)
        except PolyscanError:
            if not pictures:
                raise
            found = Manifest()
        single = found.studies
        longitudinal = scan(self.folder, join=True).studies if len({s.subject for s in single}) < len(single) else []
        several = [study for study in longitudinal if study.times > 1]
        doubtful = {study.key: reason for study in single if (reason := _two_patients(study))}
        # A number that tells two names apart would be another's once a folder is added, and labels are kept by name.
        plain = {letters_of(new): letters_of(old) for old, new in found.renamed.items()}

        def unnumbered(study: Study) -> str:
            own = letters_of(study.subject)
            return study.key.replace(own, plain.get(own, own), 1)

        keys_of: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for kind, group in (("pictures", pictures), ("scans", single), ("scans", several)):
            for study in group:
                keys_of[unnumbered(study)].add((kind, study.subject))
        for key, names in keys_of.items():
            if len(names) > 1:
                folders = " and ".join(sorted(subject for _, subject in names))
                doubtful[key] = f"{key} means {len(names)} studies, {folders}; rename the folder of one."
        subjects = {study.subject for study in single if unnumbered(study) in doubtful}
        studies = {study.key: study for study in (*pictures, *several, *single) if study.subject not in subjects}
        return {key: study for key, study in studies.items() if key not in doubtful}, doubtful


def _two_patients(study: Study) -> str:
    """Why a study cannot be told from another: scans of one modality, of one name, lie in two folders."""
    tops: defaultdict[str, set[str]] = defaultdict(set)
    for decision in study.decisions:
        folder, inside, _ = decision.series.partition("/")
        if decision.modality and inside and folder not in BESIDE:
            tops[decision.modality].add(folder)
    found = next((sorted(folders) for folders in tops.values() if len(folders) > 1), None)
    if found is None:
        return ""
    return f"{study.key} means scans in {' and '.join(found)}, which may be two patients'; rename those of one."


def _all_under(folder: str, study: Study) -> bool:
    """Whether all files of a study lie under a folder."""
    sources = list(study.sources.values())
    files = [file for source in sources for file in paths_in(source)]
    return bool(files) and all(file.startswith(folder) for file in files)


def _by_uid(key: str, study: Study, uid: str) -> Found | None:
    for name, one in study.scans.items():
        attributes = attributes_of(one.source)
        if uid == attributes.get("SeriesInstanceUID"):
            return Found(key, study, ShownScan(name, one.source))
        if uid == attributes.get("StudyInstanceUID"):
            return Found(key, study, standing(study))
    return None


class WebStudies:
    """The studies of a DICOMweb server (PS3.18): found by QIDO-RS, fetched by WADO-RS once they are asked for.

    A study is named by its StudyInstanceUID; the SeriesInstanceUID of any of its series means it too, which is what
    OHIF asks with.

    Args:
        url: of the DICOMweb service, such as ``http://127.0.0.1:8042/dicom-web``.
        cache: where fetched studies are kept; a folder in ``~/.cache/polyscan`` where not given.

    Raises:
        PolyscanError: nothing answers at the address.
    """

    def __init__(self, url: str, cache: str | Path | None = None) -> None:
        from dicomweb_client.api import DICOMwebClient

        place = urlsplit(url)
        name = f"{place.hostname}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        self.url = url
        self.folder = Path(cache) if cache else Path.home() / ".cache" / "polyscan" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.work = self.folder / ".polyscan"
        self._client = DICOMwebClient(url)
        self._lock = threading.Lock()
        self._fetched: dict[str, tuple[dict[str, int], Study]] = {}
        self.all()

    def all(self) -> dict[str, Study]:
        """Studies by their UID, as the server lists them; what their scans are is known once they are fetched."""
        found = self._ask("search_for_studies")
        return {uid: Study(uid) for entry in found if (uid := _value(entry, "0020000D"))}

    def find(self, name: str) -> Found | None:
        """What a UID means; the study is fetched if it has not been or has other series now.

        Raises:
            PolyscanError: the server gives something else than it was asked for, or the series is no image.
        """
        uid = self._study_of(name)
        if uid is None:
            return None
        with self._lock:
            series = self._series(uid)
            if uid not in self._fetched or self._fetched[uid][0] != series:
                self._fetched[uid] = (series, self._fetch(uid, series))
            study = self._fetched[uid][1]
        if name == uid:
            return Found(uid, study, standing(study))
        found = _by_uid(uid, study, name)
        if found is not None:
            return found
        source = series_in(self.folder / uid, name)
        if source is None:
            raise PolyscanError(f"{self.url} gives no images of series {name}.")
        return Found(uid, study, ShownScan(name, source))

    def _study_of(self, key: str) -> str | None:
        """The StudyInstanceUID that a UID means: not every server heeds every filter, so what it finds is compared."""
        if not is_uid(key):
            return None
        studies = self._ask("search_for_studies", search_filters={"StudyInstanceUID": key})
        if any(_value(entry, "0020000D") == key for entry in studies):
            return key
        series = self._ask("search_for_series", search_filters={"SeriesInstanceUID": key})
        found = {_value(entry, "0020000D") for entry in series if _value(entry, "0020000E") == key}
        if len(found) > 1:
            raise PolyscanError(f"{key} means series of {len(found)} studies; ask by StudyInstanceUID.")
        return next(iter(found), None)

    def _series(self, uid: str) -> dict[str, int]:
        """The series of a study and how many instances each has."""
        found = self._ask("search_for_series", study_instance_uid=uid, fields=["00201209"])
        images = [entry for entry in found if _value(entry, "00080060") != "SEG"]  # which come of labels that are saved
        return {str(_value(entry, "0020000E")): int(_value(entry, "00201209") or 0) for entry in images}

    def store(self, file: Path) -> None:
        """Store an object on the server (STOW-RS).

        Raises:
            PolyscanError: the server refuses.
        """
        self._ask("store_instances", [pydicom.dcmread(file)])

    def _fetch(self, uid: str, series: dict[str, int]) -> Study:
        """Fetch a study, unless it lies here from an earlier time."""
        folder = self.folder / uid
        known = folder / "series.json"
        if not known.exists() or read_json(known) != series:
            instances = self._ask("retrieve_study", uid)
            if not instances or any(instance.StudyInstanceUID != uid for instance in instances):
                raise PolyscanError(f"{self.url} gives no images of study {uid}, or those of another.")
            with replace_owned(folder, last="series.json") as temporary:
                for number, instance in enumerate(instances):
                    save_dicom(instance, temporary / f"{number:05d}.dcm")
                (temporary / "series.json").write_text(json.dumps(series))
        studies = scan(folder).studies
        if len(studies) != 1:
            raise PolyscanError(f"Study {uid} holds the scans of {len(studies)} patients; expected one.")
        # Letters and digits only, as a study's name is, and no two UIDs alike: without its points 1.23 would be 12.3.
        studies[0].subject, studies[0].session = uid.replace(".", "x"), None
        return studies[0]

    def _ask(self, what: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, what)(*arguments, **options)
        except Exception as error:  # whatever the client makes of a server that is not there or refuses
            raise PolyscanError(f"{self.url} does not answer as a DICOMweb server ({type(error).__name__}).") from error


def is_uid(name: str) -> bool:
    """Whether a name can be a DICOM UID."""
    return re.fullmatch(r"[0-9]+(\.[0-9]+)+", name) is not None and len(name) <= 64


def _is_study(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in BESIDE


def _folders(folder: Path) -> list[str]:
    """A folder and all under it that are not hidden."""
    found = []
    for place, names, _ in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".")]
        found.append(place)
    return found


def _changed(folder: str) -> int:
    """When something was added to or taken from a folder, in ns; 0 where it is gone."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _value(entry: dict[str, Any], tag: str) -> str | None:
    values = entry.get(tag, {}).get("Value") or [None]
    return values[0]
