"""Receive images by C-STORE (PS3.4 annex B) and answer C-ECHO (annex A)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polyscan.errors import PolyscanError
from polyscan.hospital.spool import Spool

if TYPE_CHECKING:
    from pynetdicom.events import Event

_LOG = logging.getLogger(__name__)
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000  # PS3.4 table B.2-1


@contextmanager
def receiving(spool: Spool, port: int, aet: str, host: str = "") -> Iterator[int]:
    """Receive images into a spool, in threads, inside the block.

    An image is confirmed once it is on the disk. One for which there is no room is refused, so that its sender keeps it
    and sends it again.

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
    handlers: list[Any] = [(evt.EVT_C_STORE, _store, [spool]), (evt.EVT_C_ECHO, lambda event: SUCCESS)]
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


def _store(event: Event, spool: Spool) -> int:
    """The status to answer a C-STORE request with."""
    try:
        found = event.dataset
        spool.keep(str(found.StudyInstanceUID), str(found.SOPInstanceUID), event.encoded_dataset())
    except OSError as error:
        _LOG.error("An image was refused, which its sender keeps: %s", error.strerror or error)
        return OUT_OF_RESOURCES
    except Exception as error:  # whatever a damaged data set makes of its reading
        _LOG.error("An image was refused: it cannot be understood (%s)", type(error).__name__)
        return CANNOT_UNDERSTAND
    return SUCCESS
