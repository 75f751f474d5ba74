"""Where the server's studies come from: a folder, or a DICOMweb server."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from polyscan.errors import PolyscanError
from polyscan.io.files import whole_folder
from polyscan.io.pictures import picture_study
from polyscan.io.scan import scan
from polyscan.study import Study


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
        self._listed: tuple[str, ...] = ()
        self._studies: dict[str, Study] = {}
        self.all()

    def all(self) -> dict[str, Study]:
        """Studies by their key."""
        listed = tuple(sorted(f"{p.name} {p.stat().st_mtime_ns}" for p in self.folder.iterdir() if _is_study(p)))
        with self._lock:
            if listed != self._listed:
                self._studies = self._scan()
                self._listed = listed
        return self._studies

    def get(self, key: str) -> Study | None:
        """One study; None where there is none of that name."""
        return self.all().get(key)

    def _scan(self) -> dict[str, Study]:
        places = [place for place in sorted(self.folder.iterdir()) if _is_study(place)]
        pictures = [study for place in places if (study := picture_study(place)) is not None]
        try:
            single = scan(self.folder).studies
        except PolyscanError:
            if not pictures:
                raise
            single = []
        joined = scan(self.folder, join=True).studies if len({s.subject for s in single}) < len(single) else []
        several = [study for study in joined if any("@2" in name for name in study.images)]
        return {study.key: study for study in (*pictures, *several, *single)}


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
        self._fetched: dict[str, Study] = {}
        self.all()

    def all(self) -> dict[str, Study]:
        """Studies by their UID, as the server lists them; what their scans are is known once they are fetched."""
        found = self._ask("search_for_studies")
        return {uid: Study(uid) for entry in found if (uid := _value(entry, "0020000D"))}

    def get(self, key: str) -> Study | None:
        """A study, fetched if it has not been; None where the server has none of that UID."""
        if key not in self._fetched:
            uid = self._study_of(key)
            if uid is None:
                return None
            with self._lock:
                if uid not in self._fetched:
                    self._fetched[uid] = self._fetch(uid)
            self._fetched[key] = self._fetched[uid]
        return self._fetched[key]

    def _study_of(self, key: str) -> str | None:
        if not key.replace(".", "").isdigit():
            return None
        if self._ask("search_for_studies", search_filters={"StudyInstanceUID": key}):
            return key
        series = self._ask("search_for_series", search_filters={"SeriesInstanceUID": key})
        return _value(series[0], "0020000D") if series else None

    def _fetch(self, uid: str) -> Study:
        """Fetch a study, unless it lies here from an earlier time."""
        folder = self.folder / uid
        if not folder.exists():
            instances = self._ask("retrieve_study", uid)
            if not instances:
                raise PolyscanError(f"{self.url} gives no images of study {uid}.")
            with whole_folder(folder) as temporary:
                for number, instance in enumerate(instances):
                    instance.save_as(temporary / f"{number:05d}.dcm", write_like_original=False)
        study = scan(folder).studies[0]
        study.subject, study.session = uid, None
        return study

    def _ask(self, what: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, what)(*arguments, **options)
        except Exception as error:  # whatever the client makes of a server that is not there or refuses
            raise PolyscanError(f"{self.url} does not answer as a DICOMweb server ({type(error).__name__}).") from error


def _is_study(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in ("labels", "derivatives")


def _value(entry: dict[str, Any], tag: str) -> str | None:
    values = entry.get(tag, {}).get("Value") or [None]
    return values[0]
