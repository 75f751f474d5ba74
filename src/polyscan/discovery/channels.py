"""What the ``dataset.json`` of nnU-Net and of the Medical Segmentation Decathlon says of the volumes below it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from polyscan.dicom.words import told
from polyscan.discovery.bids import Named
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.formats.endings import stem_of

_FOLDER = re.compile(r"(?P<kind>images|labels)(?:Tr|Ts|Val?)")
_NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_LISTED = "dataset.json"


@dataclass(frozen=True)
class Case:
    """A volume of such a data set.

    Attributes:
        name: of its case, whose images and label have it in common.
        channels: what each of its volumes shows, by the words of the data set; none of a label.
    """

    name: str
    channels: tuple[str, ...] = ()

    def named(self) -> list[Named]:
        """What each of its volumes is."""
        if not self.channels:
            return [Named(None, "its folder says so", label=True)]
        return [_named(words) for words in self.channels]


def case_of(path: Path) -> Case | None:
    """The case that a volume belongs to; None where no ``dataset.json`` speaks of it.

    In nnU-Net each channel is a file, as ``imagesTr/case_0001.nii.gz``; in the Decathlon a case is a file, with the
    channels as its volumes.

    Args:
        path: the volume.
    """
    folder, stem, listed = _FOLDER.fullmatch(path.parent.name), stem_of(path.name), listed_in(path)
    if folder is None or not listed.is_file():
        return None
    channels, drawn_on = _told(listed, listed.stat().st_mtime_ns)
    if folder["kind"] == "labels":
        return Case(drawn_on.get(path.name, stem)) if channels else None
    number = _NUMBERED.fullmatch(stem)
    if number and int(number["channel"]) < len(channels):
        return Case(number["case"], (channels[int(number["channel"])],))
    return Case(stem, channels) if channels else None


def listed_in(path: Path) -> Path:
    """The file that would speak of a volume."""
    return path.parent.parent / _LISTED


def _named(words: str) -> Named:
    said = told(words)
    if said.modality is None:
        return Named(None, f"{_LISTED} calls its channel {said.other or 'by no modality that is used'}")
    return Named(said.modality, f"{_LISTED} says so")


@lru_cache(maxsize=64)
def _told(listed: Path, changed: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """What the file, read again when changed, tells of a data set: nothing where its channels are not told.

    Returns:
        The channels in their order; file of a label to the case that the Decathlon's list pairs it with.
    """
    try:
        content = read_json(listed)
    except PolyscanError:
        return (), {}
    content = content if isinstance(content, dict) else {}
    told_of = content.get("channel_names") or content.get("modality")
    if not isinstance(told_of, dict) or sorted(told_of) != sorted(map(str, range(len(told_of)))):
        return (), {}
    parts = [content.get(part) for part in ("training", "validation")]
    pairs = [each for part in parts if isinstance(part, list) for each in part if isinstance(each, dict)]
    names = [[PurePosixPath(str(each.get(kind, ""))).name for kind in ("label", "image")] for each in pairs]
    channels = tuple(str(told_of[str(number)]) for number in range(len(told_of)))
    return channels, {label: stem_of(image) for label, image in names if image}
