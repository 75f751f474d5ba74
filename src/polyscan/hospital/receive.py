"""Receive images by C-STORE (PS3.4 annex B) and answer C-ECHO (annex A)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polyscan.dicom.own import is_own_answer
from polyscan.errors import PolyscanError
from polyscan.hospital.spool import Spool

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event

_LOG = logging.getLogger(__name__)
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # PS3.4 table B.2-1
CONGESTED = 2, 3, 1  # for now; by the service provider, presentation; temporary congestion: PS3.8 table 9-21


@contextmanager
def receiving(spool: Spool, port: int, aet: str, host: str = "") -> Iterator[int]:
    """Receive images into a spool, in threads, inside the block.

    An image is confirmed once it is on the disk. One for which there is no room is refused, so that its sender keeps it
    and sends it again; so is an association while there is room for none. An answer of polyscan, which an archive that
    forwards everything sends back, is confirmed and not kept.

    Args:
        spool: where they are kept.
        port: to listen at; 0 takes a free one.
        aet: application entity title; what is sent to another is taken too.
        host: address to listen at; every one where empty.

    Yields:
        The port.

    Raises:
        PolyscanError: pynetdicom is not installed, or the port cannot be had.
    """
    try:
        from pynetdicom import (
            AE,
            ALL_TRANSFER_SYNTAXES,
            AllStoragePresentationContexts,
            VerificationPresentationContexts,
            evt,
        )
    except ImportError:
        raise PolyscanError("pynetdicom is not installed; run pip install polyscan[listen].") from None
    entity = AE(ae_title=aet)
    entity.maximum_pdu_size = 0  # unlimited
    for context in (*AllStoragePresentationContexts, *VerificationPresentationContexts):
        entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    desk = _Reception(spool)
    handlers: list[Any] = [
        (evt.EVT_REQUESTED, desk.admit),
        (evt.EVT_C_STORE, desk.store),
        (evt.EVT_C_ECHO, lambda event: SUCCESS),
        (evt.EVT_RELEASED, desk.end, [""]),
        (evt.EVT_CONN_CLOSE, desk.end, [", then the connection was lost"]),
    ]
    try:
        server: Any = entity.start_server((host, port), block=False, evt_handlers=handlers)
    except OSError as error:
        raise PolyscanError(
            f"Port {port} cannot be listened at ({error.strerror}); name another with --port."
        ) from error
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


class _Reception:
    """Answers C-STORE requests, and tells a line of each association that brought something.

    Args:
        spool: where images are kept.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._came: dict[Association, Counter[str]] = {}  # to what became of how many

    def admit(self, event: Event) -> None:
        """Refuse an association while the disk has no room, before anything is sent."""
        try:
            self.spool.check_room()
        except OSError as error:
            sender: Any = event.assoc.requestor
            title = sender.primitive.calling_ae_title
            _LOG.warning("An association from %s at %s: refused, %s", title, sender.address, error)
            event.assoc.acse.send_reject(*CONGESTED)
            event.assoc.kill()  # once it is sent

    def store(self, event: Event) -> int:
        """The status to answer a C-STORE request with."""
        status, became = self._keep(event)
        self._came.setdefault(event.assoc, Counter())[became] += 1
        return status

    def _keep(self, event: Event) -> tuple[int, str]:
        try:
            found = event.dataset
            if is_own_answer(found):
                return SUCCESS, "not kept, as polyscan's own results"
            self.spool.keep(str(found.StudyInstanceUID), str(found.SOPInstanceUID), event.encoded_dataset())
        except OSError as error:
            return OUT_OF_RESOURCES, f"refused, so that the sender keeps them ({error.strerror or error})"
        except Exception as error:  # whatever a damaged data set makes of its reading
            return CANNOT_UNDERSTAND, f"refused, as they cannot be understood ({type(error).__name__})"
        return SUCCESS, "kept"

    def end(self, event: Event, how: str) -> None:
        """Tell what an association brought, once."""
        came = self._came.pop(event.assoc, None)
        if came:
            sender = event.assoc.requestor
            said = ", ".join(f"{count} {became}" for became, count in sorted(came.items()))
            _LOG.log(
                logging.INFO if {*came} <= {"kept"} and not how else logging.WARNING,
                *("Images from %s at %s: %s%s", sender.ae_title, sender.address, said, how),
            )
