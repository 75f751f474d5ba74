"""A hospital's archive sends studies, a bundle answers, results go back: DICOM in, DICOM out.

Each name is imported when it is first used, so that to ask how far the studies are is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyscan import lazy

if TYPE_CHECKING:
    from polyscan.hospital.deliveries import listen_status
    from polyscan.hospital.station import listen

__all__ = ["listen", "listen_status"]

__getattr__ = lazy.getattr_of(__name__, {"deliveries": ("listen_status",), "station": ("listen",)})
