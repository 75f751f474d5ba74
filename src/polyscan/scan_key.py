"""Which scan of its study a scan is: the only place that reads or writes the text of a key."""

from __future__ import annotations

import re
from dataclasses import dataclass

from polyscan.errors import PolyscanError

_KEY = re.compile(r"(?P<modality>[A-Za-z0-9_]+)(?:-(?P<variant>[A-Za-z0-9]+))?(?:@(?P<time>[1-9][0-9]*))?")


@dataclass(frozen=True)
class ScanKey:
    """Which scan of its study a scan is. Its text, such as ``T1c@2`` or ``CT-arterial``, is the key in ``Study.scans``.

    Attributes:
        modality: of :mod:`polyscan.modality`.
        variant: of several scans of one modality at one time which, such as a contrast phase or a view; None where
            there is one.
        time: of several time points which, counted from 1; None where there is one.
    """

    modality: str
    variant: str | None = None
    time: int | None = None

    @classmethod
    def parse(cls, text: str) -> ScanKey:
        """The key that a text means.

        Raises:
            PolyscanError: it is none.

        Example:
            >>> ScanKey.parse("T1c@2")
            ScanKey(modality='T1c', variant=None, time=2)
        """
        found = _KEY.fullmatch(text)
        if found is None:
            raise PolyscanError(
                f"{text!r} is no key of a scan; write T1c, or T1c@2 at time 2, or CT-arterial of several."
            )
        return cls(found["modality"], found["variant"], int(found["time"]) if found["time"] else None)

    def __str__(self) -> str:
        variant = f"-{self.variant}" if self.variant else ""
        return f"{self.modality}{variant}{f'@{self.time}' if self.time else ''}"

    @property
    def label(self) -> str:
        """The key in letters and digits, as labels of BIDS are: ``T1ctime2``."""
        return f"{self.modality}{self.distinction}"

    @property
    def distinction(self) -> str:
        """What tells it from other scans of its modality, in letters and digits; empty where it is the only one."""
        return f"{self.variant or ''}{f'time{self.time}' if self.time else ''}"
