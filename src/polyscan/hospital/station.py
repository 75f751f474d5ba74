"""Studies come by C-STORE, are answered for once they are complete, and their results are sent: one process, one disk.

An image is confirmed when it is in the spool; a study is done when its delivery says so, which is written last. So a
process that is killed at any moment loses nothing: the next one finds in the spool what is still to be done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from polyscan.batch import Batch, run_study, write_cohort
from polyscan.batch.folder import COHORT
from polyscan.batch.one_study import predictor_of
from polyscan.batch.plan import Halt, plan_batch, write_failed
from polyscan.batch.status import FOLDERS
from polyscan.bundle.inference_options import DEFAULTS, InferenceOptions
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError, sentence
from polyscan.export.dicom import write_objects
from polyscan.files.atomic import clear_parts
from polyscan.files.features import FEATURES, remove_features
from polyscan.files.owned import remove_owned, replace_owned
from polyscan.hospital.deliveries import Deliveries, Delivery, study_of
from polyscan.hospital.receive import receiving
from polyscan.hospital.send import Sender, UnreachableError, sender
from polyscan.hospital.spool import Spool, images_in, newest, remove_images
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest
from polyscan.study.outputs import OutputFolder
from polyscan.study.sources import StudySources

_LOG = logging.getLogger(__name__)
_TRIES = 5  # of a study whose process is killed each time
_AGAIN = 30.0  # seconds until results are sent again that an archive did not take
_LOOK = 1.0  # seconds
_DAY = 86_400  # seconds


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
    keep_failed_days: float = 7.0,
    reserve: int = 10**9,
    device: str = "",
    options: InferenceOptions = DEFAULTS,
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
        keep_days: how long images are kept after the last one of their study came, for what may come late; those of a
            result that was not sent are kept until it is.
        keep_failed_days: the same of studies that failed.
        reserve: bytes of the disk that images may not take.
        device: that the network runs on; the bundle's choice where empty.
        options: what is asked for beside the plain answers.
        stop: set to end, as when a signal came.

    Raises:
        PolyscanError: the bundle, the folder, the device, an archive's name or the port cannot be used.
    """
    archives = {target: sender(target, aet) for target in send}
    plan = plan_batch(bundle, out, weights, devices=(device,) if device else (), options=options)
    predictor_of(plan, device)
    owned = OutputFolder.claim(plan.out, "listen")
    owned.will_hold([*FOLDERS, *COHORT, "spool", "objects", "deliveries"])
    stop = stop or threading.Event()
    with owned.alone():
        for name in ("spool", "objects"):  # which hold patients' names
            (plan.out / name).mkdir(exist_ok=True)
            (plan.out / name).chmod(0o700)
        spool = Spool(plan.out / "spool", reserve)
        with receiving(spool, port, aet, host) as listening:
            _LOG.info("Listening at port %d as %s", listening, aet)
            desk = Desk(plan, archives, keep_days, keep_failed_days)
            while not stop.is_set():
                for images in spool.settled(quiet):
                    try:
                        desk.attend(images)
                        desk.write_tables()
                    except OSError as error:  # of the disk or the device, not of the study, which waits in the spool
                        _LOG.error("%s has to wait: %s", study_of(images.name).key, error.strerror or error)
                        stop.wait(_AGAIN)
                    if stop.is_set():
                        break
                stop.wait(_LOOK)
            with suppress(OSError):  # of a full disk: they are written at the next start
                desk.write_tables(at_once=True)


class Desk:
    """Takes studies that are complete to their end.

    Args:
        plan: with what they are answered for.
        archives: name to what sends to it.
        keep_days, keep_failed_days: see :func:`listen`.
    """

    def __init__(self, plan: Batch, archives: dict[str, Sender], keep_days: float, keep_failed_days: float) -> None:
        self.plan, self.archives = replace(plan, retry_failed=True), archives
        self.keep_days, self.keep_failed_days = keep_days, keep_failed_days
        self.deliveries = Deliveries(plan.out)
        self._not_before: dict[Path | str, float] = {}  # a study or an archive to when it is its turn again
        self._finished: dict[Path, tuple[float, float]] = {}  # images to when the last came and when they may go
        self._untold, self._tables_due = True, 0.0  # whether a study is not in the tables, and when these are written

    def attend(self, images: Path) -> None:
        """Do what is left to do for a study: answer, send, and in the end remove its images.

        Args:
            images: its folder in the spool, named by its StudyInstanceUID.

        Raises:
            OSError: the disk is full, or the device cannot be used.
        """
        last = newest(images)
        known, until = self._finished.get(images, (0.0, 0.0))
        if known == last and self.deliveries.file(images.name).is_file():
            if time.time() > until:
                self._remove(images, last)
        elif not self._has_to_wait(images):
            self._postpone(images)
            try:
                delivery = self._bring_on(images)
            except OSError:
                raise
            except Exception as error:  # the others go on
                _LOG.error("%s has to wait: %s", study_of(images.name).key, sentence(error))
                return
            if delivery.failed or delivery.sent_to(self.archives):
                days = self.keep_failed_days if delivery.failed else self.keep_days
                self._finished[images] = last, last + days * _DAY
                self._not_before.pop(images)

    def write_tables(self, at_once: bool = False) -> None:
        """Write the tables and the page of all studies where one is new, in a twentieth of the time at the most.

        Args:
            at_once: even if they were written just before.

        Raises:
            OSError: the disk is full.
        """
        begun = time.monotonic()
        if self._untold and (at_once or begun >= self._tables_due):
            try:
                write_cohort(self.plan.out)
            except OSError:
                raise
            except Exception as error:  # studies still come in and are answered
                _LOG.error("The tables cannot be written: %s", sentence(error))
            self._untold, self._tables_due = False, begun + 20 * (time.monotonic() - begun)

    def _bring_on(self, images: Path) -> Delivery:
        """Answer and send, as far as that is to be done and can be."""
        delivery = self.deliveries.of_images(images)
        if not all((self.plan.out / name).is_file() for name in delivery.objects or []):
            delivery.objects = None
        if not delivery.answered:
            self._predict(images, delivery)
        if delivery.objects is not None:
            self._send(images.name, delivery.objects, delivery)
        return delivery

    def _predict(self, images: Path, delivery: Delivery) -> None:
        uid, key = images.name, study_of(images.name).key
        clear_parts(self.plan.out / "objects", key)
        clear_parts(self.plan.out / "deliveries", f"{uid}.json")
        delivery.tries += 1
        self.deliveries.write(uid, delivery)
        _LOG.info("%s: %d images came", key, len(images_in(images)))
        try:
            self._scan(images, delivery)
        except OSError:  # it was not killed
            with suppress(OSError):
                self.deliveries.write(uid, Delivery(images=delivery.images, tries=delivery.tries - 1))
            raise
        self.deliveries.write(uid, delivery)
        self._untold = True
        _LOG.info("%s: %s", key, f"failed: {delivery.failed}" if delivery.failed else "answered")

    def _scan(self, images: Path, delivery: Delivery) -> None:
        study = study_of(images.name)
        try:
            found = scan(images)
            if len(found.studies) != 1:
                raise PolyscanError(
                    f"{len(found.studies)} studies, as of several patients, came under one StudyInstanceUID; send "
                    "those of each patient under one of its own."
                )
            study = replace(found.studies[0], subject=study.subject, session=None)
        except PolyscanError as error:
            delivery.failed = str(error).replace(f" in {images}", "")
        if not delivery.failed and delivery.tries > _TRIES:
            delivery.failed = f"its process was killed {_TRIES} times, most likely for want of memory."
        if delivery.failed:
            write_failed(study, self.plan, delivery.failed)
        else:
            self._ask(study, delivery)

    def _ask(self, study: Study, delivery: Delivery) -> None:
        outcome = run_study(study, self.plan)
        if isinstance(outcome, Halt):
            raise OSError(outcome.reason)
        record: Manifest = read_manifest(self.plan.out / "records" / f"{study.key}.json")
        if record.failed:
            delivery.failed = record.failed[0].reason
            return
        answered, written = record.testing[0], dict[str, str]()
        try:
            with replace_owned(self.plan.out / "objects" / study.key) as folder:
                if answered.preparation is not None:  # a picture is no series that objects could refer to
                    sources, name = StudySources(study.sources), self.plan.bundle.name
                    written = write_objects(answered, sources, folder, ("seg", "sr"), name)
            delivery.objects = sorted(f"objects/{study.key}/{file}" for file in written.values())
        except OSError:
            raise
        except Exception as error:  # of a library that finds something amiss in the headers
            delivery.failed = sentence(error)

    def _send(self, uid: str, names: Sequence[str], delivery: Delivery) -> None:
        files, key = [self.plan.out / name for name in names], study_of(uid).key
        for target, to in self.archives.items():
            if target in delivery.sent or self._has_to_wait(target):
                continue
            try:
                if files:
                    to(files)
            except PolyscanError as error:
                if isinstance(error, UnreachableError):
                    self._postpone(target)
                if delivery.refused.get(target) == str(error):
                    continue
                delivery.refused[target] = str(error)
                _LOG.error("%s: not sent yet, and tried again every %.0f seconds: %s", key, _AGAIN, error)
            else:
                delivery.sent.append(target)
                delivery.refused.pop(target, None)
                _LOG.info("%s: %s", key, f"sent to {target}" if files else "there is nothing to send")
            self.deliveries.write(uid, delivery)

    def _remove(self, images: Path, last: float) -> None:
        """Remove the images of a study and what was prepared of them; its answer, page and record stay."""
        key = study_of(images.name).key
        if not remove_images(images, last):
            return
        remove_owned(self.plan.out / "prepared" / key)
        remove_features(self.plan.out / FEATURES / key)
        self._finished.pop(images)
        _LOG.info("%s: its images were removed", key)

    def _postpone(self, what: Path | str) -> None:
        self._not_before[what] = time.monotonic() + _AGAIN

    def _has_to_wait(self, what: Path | str) -> bool:
        return time.monotonic() < self._not_before.get(what, 0.0)
