"""What a study is: the scans of one patient in one session, what is known beside them, and what commands made of them.

These dataclasses are the manifest: :mod:`polyscan.study.manifest` reads and writes them, and its JSON Schema is made
from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.scan_key import ScanKey
from polyscan.study.entry import PATH, Entry
from polyscan.study.prediction import ModelRecord, PredictionRecord
from polyscan.study.scan import Scan, Source

CLINICAL = "clinical"
"""The table that stands in the manifest itself, as a bundle names it."""
NEVER_ACQUIRED = "was never acquired"
"""How the problem of a scan begins that a network made."""


@dataclass
class Label(Entry):
    """What is known of the truth.

    Attributes:
        mask: a segmentation: a file.
        drawn_on: the scan on whose grid the mask lies; the reference where not said.
        roi: of a file that holds several regions which.
        tasks: task to its class or number, such as ``{"grade": "4"}``.
    """

    mask: str | None = field(default=None, metadata=PATH)
    drawn_on: str | None = None
    roi: str | None = None
    tasks: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.mask is not None or bool(self.tasks)

    def holds(self, name: str) -> bool:
        """Whether the ``mask``, or a task of this name, is known."""
        return self.mask is not None if name == "mask" else name in self.tasks


@dataclass
class Decision(Entry):
    """Why a series was taken or left out.

    Attributes:
        series: what lies in the folder.
        modality: what it is; None where that is not known.
        taken: whether it became part of a study.
        reason: why.
    """

    series: str
    modality: str | None
    taken: bool
    reason: str


@dataclass
class RegistrationRecord(Entry):
    """How a scan was registered to the reference.

    Attributes:
        trusted: whether the registration was used.
        reason: why.
        transform: file of the transform, from points of the reference to those of the scan; None where not used.
    """

    trusted: bool
    reason: str
    transform: str | None = field(default=None, metadata=PATH)


@dataclass
class Grid(Entry):
    """Where the voxels of a scan lie.

    Attributes:
        shape: (x, y, z) voxels.
        affine: (4, 4) from voxel indices to RAS+ millimetres.
    """

    shape: list[int]
    affine: list[list[float]]


@dataclass
class Preparation(Entry):
    """What ``prepare`` did to a study.

    Attributes:
        protocol: by which.
        reference: the scan to whose grid the others were brought.
        foreground: mask of the body, or the brain, in which intensities were normalised.
        grids: scan to the grid that it was acquired on.
        registrations: scan to how it was registered.
        problems: scan, ``label`` or ``foreground`` to the sentence that says why it was left out or what is odd.
        profiles: scan to percentiles of its intensities; see :mod:`polyscan.preprocess.profiles`.
        seconds: step to the time that it took.
        repairs: scan to what of it was repaired or had to be assumed when it was read, as slices at unequal steps.
    """

    protocol: str
    reference: str
    foreground: str | None = field(default=None, metadata=PATH)
    grids: dict[str, Grid] = field(default_factory=dict)
    registrations: dict[str, RegistrationRecord] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    repairs: dict[str, str] = field(default_factory=dict)

    @property
    def transforms(self) -> dict[str, str]:
        """Scan to the file of its transform, of those that were registered."""
        return {name: found.transform for name, found in self.registrations.items() if found.transform is not None}


@dataclass
class Study(Entry):
    """One entry of a manifest. Paths are absolute in memory; on disk each is relative to one of the manifest's roots.

    Attributes:
        subject: the study identifier that the user gave, such as ``"STS_002"``.
        session: tells several studies of one subject apart; None where there is one.
        scans: text of a :class:`polyscan.study.ScanKey` to the scan.
        label: the truth.
        clinical: variables beside the images; one that was not recorded is absent.
        aligned: scans that lie in one frame already, so that they need no registration to each other.
        fold: cross-validation fold, None where not assigned.
        days: of each time point, since the first; empty where not known.
        brain_mask: a mask of the brain that the user has, which lies where the reference lies.
        centre: which hospital or scanner it is from, to compare centres by.
        decisions: which series were taken, and why.
        preparation: what ``prepare`` did; None before.
        prediction: what ``infer`` found; None before.
    """

    subject: str
    session: str | None = None
    scans: dict[str, Scan] = field(default_factory=dict)
    label: Label = field(default_factory=Label)
    clinical: dict[str, Any] = field(default_factory=dict)
    aligned: list[str] = field(default_factory=list)
    fold: int | None = None
    days: list[int] = field(default_factory=list)
    brain_mask: str | None = field(default=None, metadata=PATH)
    centre: str | None = None
    decisions: list[Decision] = field(default_factory=list)
    preparation: Preparation | None = None
    prediction: PredictionRecord | None = None

    @property
    def key(self) -> str:
        """The study's name in files, as BIDS writes it: ``sub-STS002`` or ``sub-01_ses-2``."""
        key = f"sub-{plain(self.subject)}"
        return key if self.session is None else f"{key}_ses-{plain(self.session)}"

    @property
    def times(self) -> int:
        """How many time points it has."""
        return max((ScanKey.parse(name).time or 1 for name in self.scans), default=0)

    @property
    def sources(self) -> dict[str, Source]:
        """Scan to where it lies."""
        return {name: scan.source for name, scan in self.scans.items()}

    @property
    def protocol(self) -> str:
        """By which its scans were prepared; empty where by none."""
        return self.preparation.protocol if self.preparation else ""

    @property
    def model(self) -> ModelRecord | None:
        """The network that answered; None where none did, or where MONAI's own command ran it."""
        return self.prediction.model if self.prediction else None

    @property
    def problems(self) -> dict[str, str]:
        """Those of the preparation."""
        return self.preparation.problems if self.preparation else {}

    @property
    def never_acquired(self) -> list[str]:
        """Scans that a network made of others."""
        return [name for name in self.scans if self.problems.get(name, "").startswith(NEVER_ACQUIRED)]


def scans_of(sources: Mapping[str, Source]) -> dict[str, Scan]:
    """Scans of which only is known where they lie, by their keys."""
    return {name: Scan(source) for name, source in sources.items()}


def plain(name: str) -> str:
    """The letters and digits of a subject's or session's name, as labels of BIDS are.

    Raises:
        PolyscanError: it has none.
    """
    letters = re.sub(r"[^A-Za-z0-9]", "", name)
    if not letters:
        raise PolyscanError(f"Identifier {name!r} has no letter or digit; give the study a name that has.")
    return letters
