"""What a study is: the scans of one patient in one session, and what is known beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from polyscan.errors import PolyscanError

Source = str | list[str]
"""Where a scan lies: a file, a folder of one DICOM series, or the files of one series."""


@dataclass
class Study:
    """One entry of a manifest. Paths are relative to the manifest on disk and absolute in memory.

    Attributes:
        subject: the study identifier that the user gave, such as ``"STS_002"``.
        session: tells several studies of one subject apart; None where there is one.
        images: modality name to the scan's source.
        label: the truth: ``{"mask": path, "drawn_on": modality}`` for a segmentation, any name to a value else.
        clinical: variables beside the images; one that was not recorded is absent.
        aligned: modalities that lie in one frame already, so that they need no registration to each other.
        fold: cross-validation fold, None where not assigned.
        extra: what a step adds for later ones (sidecars, masks, transforms, decisions, prediction, scores).
    """

    subject: str
    session: str | None = None
    images: dict[str, Source] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)
    clinical: dict[str, Any] = field(default_factory=dict)
    aligned: list[str] = field(default_factory=list)
    fold: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The study's name in files, as BIDS writes it: ``sub-STS002`` or ``sub-01_ses-2``."""
        key = f"sub-{_alphanumeric(self.subject)}"
        return key if self.session is None else f"{key}_ses-{_alphanumeric(self.session)}"


def _alphanumeric(label: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9]", "", label)
    if not plain:
        raise PolyscanError(f"Identifier {label!r} has no letter or digit; give the study a name that has.")
    return plain
