"""How far each study is that came: one record a study, written last and whole."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from polyscan.batch.status import Status, is_locked
from polyscan.files.atomic import read_json, write_json
from polyscan.files.schema import decoded, encoded
from polyscan.hospital.spool import images_in
from polyscan.study import Study
from polyscan.study.entry import Entry
from polyscan.study.outputs import fingerprint


@dataclass
class Delivery(Entry):
    """How far a study has come; it is done when ``images`` are those in the spool and ``sent`` names every archive.

    Attributes:
        images: changes where an image comes or changes.
        tries: how often it was begun.
        failed: why there is no answer; empty where there is one.
        objects: the files to send; None before the answer.
        sent: archives that took them.
        refused: archive to why it did not take them when it was last asked.
    """

    images: str = ""
    tries: int = 0
    failed: str = ""
    objects: list[str] | None = None
    sent: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether nothing is left to do but to send."""
        return self.objects is not None or bool(self.failed)

    def sent_to(self, archives: Collection[str]) -> bool:
        """Whether all of these have the result."""
        return self.objects is not None and set(self.sent) >= set(archives)


@dataclass
class ListenStatus(Status):
    """Where a listener stands.

    Attributes:
        unsent: study to archive to why it did not take the result yet.
    """

    unsent: dict[str, dict[str, str]] = field(default_factory=dict)


class Deliveries:
    """The records of a listener's folder.

    Args:
        out: the folder.
    """

    def __init__(self, out: Path) -> None:
        self.out = out

    def file(self, uid: str) -> Path:
        """Where the record of a study lies, whether it is there or not."""
        return self.out / "deliveries" / f"{uid}.json"

    def read(self, uid: str) -> Delivery:
        """How far a study is; a new one where there is no record."""
        file = self.file(uid)
        return decoded(Delivery, read_json(file), str(file)) if file.is_file() else Delivery()

    def of_images(self, images: Path) -> Delivery:
        """How far a study is; a new one where its images are others than those that were answered for."""
        delivery, now = self.read(images.name), fingerprint(map(str, images_in(images)))
        return delivery if delivery.images == now else Delivery(images=now)

    def write(self, uid: str, delivery: Delivery) -> None:
        """Write the record of a study."""
        write_json(self.file(uid), encoded(delivery))


def study_of(uid: str) -> Study:
    """A study without scans that is named by its UID, so that no two UIDs have one name: names have no dots.

    Example:
        >>> study_of("1.2.34").key, study_of("1.23.4").key
        ('sub-1x2x34', 'sub-1x23x4')
    """
    return Study(uid.replace(".", "x"))


def listen_status(out: str | Path) -> ListenStatus:
    """Where the listener of a folder stands, by what lies in it.

    Args:
        out: the folder that ``polyscan listen`` writes.

    Raises:
        PolyscanError: a record cannot be read.
    """
    status, deliveries = ListenStatus(), Deliveries(Path(out))
    came = {folder.name: folder.stat().st_mtime for folder in (deliveries.out / "spool").glob("[0-9]*")}
    told = {file.stem: file.stat().st_mtime for file in (deliveries.out / "deliveries").glob("[0-9]*.json")}
    for uid in sorted(came | told):
        is_late = came.get(uid, 0.0) > told.get(uid, 0.0)  # an image came after the answer
        delivery, key = Delivery() if is_late else deliveries.read(uid), study_of(uid).key
        if delivery.failed:
            status.failed[key] = delivery.failed
        elif delivery.answered:
            status.done.append(key)
        else:
            (status.running if is_locked(deliveries.out, key) else status.waiting).append(key)
        if delivery.refused:
            status.unsent[key] = delivery.refused
    return status
