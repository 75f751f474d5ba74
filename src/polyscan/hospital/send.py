"""Send DICOM files to an archive: by C-STORE (PS3.4 annex B), or by STOW-RS (PS3.18 10.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from pydicom import dcmread

from polyscan.errors import PolyscanError

_NODE = re.compile(r"(?P<aet>[^\s\\@]{1,16})@(?P<host>[^\s@]+):(?P<port>\d{1,5})")
_CONNECT = 10.0  # seconds
Sender = Callable[[Sequence[Path]], None]
"""Sends files; raises a :class:`PolyscanError` where one was not taken."""


class UnreachableError(PolyscanError):
    """An archive does not answer, whatever it is sent."""


def sender(target: str, aet: str = "POLYSCAN") -> Sender:
    """What sends files to an archive.

    Args:
        target: ``AE@HOST:PORT``, or the address of a DICOMweb server such as ``https://archive/dicom-web``.
        aet: application entity title to send from.

    Raises:
        PolyscanError: it is neither, or what sends to it is not installed.
    """
    library = "dicomweb_client" if target.startswith("http") else "pynetdicom"
    if find_spec(library) is None:
        raise PolyscanError(f"{library} is not installed; run pip install polyscan[listen].")
    if target.startswith(("http://", "https://")):
        return partial(_by_stow, target)
    node = _NODE.fullmatch(target)
    if node is None:
        raise PolyscanError(f"{target} is no archive; give AE@HOST:PORT, or the https address of a DICOMweb server.")
    return partial(_by_store, target, node["aet"], node["host"], int(node["port"]), aet)


def _by_store(target: str, called: str, host: str, port: int, calling: str, files: Sequence[Path]) -> None:
    from pynetdicom import AE

    entity = AE(ae_title=calling)
    entity.connection_timeout = _CONNECT
    found = [dcmread(file) for file in files]
    for kind, syntax in sorted({(each.SOPClassUID, each.file_meta.TransferSyntaxUID) for each in found}):
        entity.add_requested_context(kind, syntax)
    association = entity.associate(host, port, ae_title=called)
    if association.is_rejected:
        raise UnreachableError(f"{target} refuses {calling}; see that it knows this title, and is called {called}.")
    if not association.is_established:
        raise UnreachableError(f"{target} does not answer; see that it runs and can be reached.")
    try:
        for each in found:
            try:
                status = association.send_c_store(each).get("Status")
            except (ValueError, RuntimeError) as error:  # of its kind none are taken; the connection was lost
                raise PolyscanError(f"{target} did not take {each.SOPClassUID.name}: {error}") from error
            if status is None or (status != 0 and status >> 12 != 0xB):  # 0xBxxx: taken, with a warning
                told = "no status" if status is None else f"status {status:04X}"
                raise PolyscanError(f"{target} did not take {each.SOPClassUID.name}: {told}.")
    finally:
        association.release()


def _by_stow(target: str, files: Sequence[Path]) -> None:
    from dicomweb_client import DICOMwebClient
    from requests import ConnectionError, HTTPError, Timeout

    try:
        told = DICOMwebClient(target).store_instances([dcmread(file) for file in files])
    except (ConnectionError, Timeout) as error:
        raise UnreachableError(f"{target} does not answer ({type(error).__name__}); see that it runs.") from error
    except HTTPError as error:
        status = getattr(error.response, "status_code", "unknown")
        raise PolyscanError(f"{target} did not take the results: HTTP status {status}.") from error
    except Exception as error:
        raise PolyscanError(f"{target} did not take the results ({type(error).__name__}).") from error
    if refused := told.get("FailedSOPSequence"):
        raise PolyscanError(f"{target} did not take {len(refused)} of {len(files)} results.")
