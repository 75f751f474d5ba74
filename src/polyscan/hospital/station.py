"""Studies come by C-STORE, are answered for once they are complete, and their results are sent: one process, one disk.

An image is confirmed when it is in the spool; a study is done when its delivery says so, which is written last. So a
process that is killed at any moment loses nothing: the next one finds in the spool what is still to be done.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyscan.batch import Batch, run_study, write_cohort
from polyscan.batch.folder import COHORT, FOLDERS
from polyscan.batch.one_study import plan_batch, write_failed
from polyscan.bundle.answering import PLAIN, Answering
from polyscan.devices import check_usable
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import read_json, write_json
from polyscan.hospital.objects import write_results
from polyscan.hospital.receive import receiving
from polyscan.hospital.send import Sender, sender
from polyscan.hospital.spool import Spool, newest, remove_images
from polyscan.study import Study
from polyscan.study.entry import Entry
from polyscan.study.manifest import Manifest, read_manifest
from polyscan.study.outputs import OutputFolder, fingerprint
from polyscan.study.schema import decoded, encoded

_LOG = logging.getLogger(__name__)
_TRIES = 5  # of a study whose process is killed each time
_AGAIN = 30.0  # seconds until results are sent again that an archive did not take
_LOOK = 1.0  # seconds


@dataclass
class Delivery(Entry):
    """How far a study has come; it is done when ``images`` are those in the spool and ``sent`` names every archive.

    Attributes:
        images: changes where an image comes or changes.
        tries: how often it was begun.
        failed: why there is no answer; empty where there is one.
        objects: the files to send; None before the answer.
        sent: archives that took them.
    """

    images: str = ""
    tries: int = 0
    failed: str = ""
    objects: list[str] | None = None
    sent: list[str] = field(default_factory=list)


def listen(
    bundle: str | Path,
    out: str | Path,
    *,
    port: int = 11112,
    aet: str = "POLYSCAN",
    host: str = "",
    send: Sequence[str] = (),
    weights: str | Path | None = None,
    quiet: float = 60.0,
    keep_days: float = 1.0,
    reserve: int = 10**9,
    device: str = "",
    answering: Answering = PLAIN,
    stop: threading.Event | None = None,
) -> None:
    """Receive studies, answer for each with a bundle, and send the results, until told to stop.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        out: folder that is new, empty, or was made by ``listen``.
        port: to listen at; 0 takes a free one.
        aet: application entity title.
        host: address to listen at; every one where empty.
        send: archives that get the results; see :func:`polyscan.hospital.send.sender`.
        weights: a file of weights; the bundle's own where not given.
        quiet: a study is complete when nothing came of it for this many seconds.
        keep_days: how long the images of a study are kept after its results were sent, for what may come late.
        reserve: bytes of the disk that images may not take.
        device: that the network runs on; the bundle's choice where empty.
        answering: what is asked for beside the plain answers.
        stop: set to end, as when a signal came.

    Raises:
        PolyscanError: the bundle, the folder, the device, an archive's name or the port cannot be used.
    """
    archives = {target: sender(target, aet) for target in send}
    plan = plan_batch(bundle, out, weights, devices=(device,) if device else (), answering=answering)
    check_usable(device)
    owned = OutputFolder.claim(plan.out, "listen")
    owned.will_hold([*FOLDERS, *COHORT, "spool", "objects", "deliveries"])
    stop = stop or threading.Event()
    with owned.alone():
        spool = Spool(plan.out / "spool", reserve)
        with receiving(spool, port, aet, host) as listening:
            _LOG.info("Listening at port %d as %s", listening, aet)
            desk = Desk(plan, archives, keep_days)
            while not stop.is_set():
                for images in spool.settled(quiet):
                    try:
                        desk.attend(images)
                    except OSError as error:  # of the disk, not of the study, which waits in the spool
                        _LOG.error("%s has to wait: %s", images.name, error.strerror or error)
                        stop.wait(_AGAIN)
                    if stop.is_set():
                        break
                stop.wait(_LOOK)


class Desk:
    """Takes studies that are complete to their end.

    Args:
        plan: with what they are answered for.
        archives: name to what sends to it.
        keep_days: see :func:`listen`.
    """

    def __init__(self, plan: Batch, archives: dict[str, Sender], keep_days: float) -> None:
        self.plan, self.archives, self.keep_days = plan, archives, keep_days
        self._not_before: dict[Path, float] = {}  # when an archive that took nothing is asked again

    def attend(self, images: Path) -> None:
        """Do what is left to do for a study: answer, send, and in the end remove its images.

        Args:
            images: its folder in the spool, named by its StudyInstanceUID.
        """
        file = self.plan.out / "deliveries" / f"{images.name}.json"
        delivery = decoded(Delivery, read_json(file), str(file)) if file.is_file() else Delivery()
        now = fingerprint(map(str, images.glob("*.dcm")))
        if delivery.images != now:
            delivery = Delivery(images=now)
        if delivery.objects is None and not delivery.failed:
            self._predict(images, file, delivery)
        if delivery.objects is not None:
            self._send(images, file, delivery)
        done = bool(delivery.failed) or set(delivery.sent) >= self.archives.keys()
        if done and not delivery.failed and time.time() - newest(images) > self.keep_days * 86_400:
            remove_images(images)

    def _predict(self, images: Path, file: Path, delivery: Delivery) -> None:
        delivery.tries += 1
        write_json(file, encoded(delivery))
        try:
            found = scan(images)
            if len(found.studies) != 1:
                raise PolyscanError(f"{len(found.studies)} studies were found in what came as one; expected one.")
            (study,) = found.studies
        except PolyscanError as error:
            study = Study(images.name)
            delivery.failed = str(error)
        if not delivery.failed and delivery.tries > _TRIES:
            delivery.failed = f"its process was killed {_TRIES} times, most likely for want of memory."
        if delivery.failed:
            write_failed(study, self.plan, delivery.failed)
        else:
            self._ask(study, delivery)
        write_cohort(self.plan.out)
        write_json(file, encoded(delivery))
        _LOG.info("%s: %s", study.key, delivery.failed or "answered")

    def _ask(self, study: Study, delivery: Delivery) -> None:
        if run_study(study, self.plan) == "full":
            raise OSError(errno.ENOSPC, "the disk is full")
        record: Manifest = read_manifest(self.plan.out / "records" / f"{study.key}.json")
        if record.failed:
            delivery.failed = record.failed[0].reason
            return
        try:
            objects = self.plan.out / "objects" / study.key
            files = write_results(study, record.testing[0], self.plan.bundle.name, objects)
            delivery.objects = [path.relative_to(self.plan.out).as_posix() for path in files]
        except OSError:
            raise
        except Exception as error:  # of a library that finds something amiss in the headers
            delivery.failed = sentence(error)

    def _send(self, images: Path, file: Path, delivery: Delivery) -> None:
        if time.monotonic() < self._not_before.get(images, 0.0):
            return
        files = [self.plan.out / name for name in delivery.objects or []]
        for target, to in self.archives.items():
            if target in delivery.sent:
                continue
            try:
                if files:
                    to(files)
            except PolyscanError as error:
                _LOG.error("%s", error)
                self._not_before[images] = time.monotonic() + _AGAIN
                continue
            delivery.sent.append(target)
            write_json(file, encoded(delivery))
