"""Sort slices into volumes: what belongs together, where it lies, and why it can or cannot be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.io.attributes import number, numbers, text
from polyscan.io.recognise import from_header
from polyscan.io.slices import Slice, slices_of
from polyscan.io.volume import SAME_PLACE, Stack, stack

if TYPE_CHECKING:
    from pydicom import Dataset

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

_SAME_DIRECTION = 0.01
# What tells volumes of one series apart, the first that does: kind of image, echo, diffusion, time.
_TELLS = (
    "ImageType",
    "ComplexImageComponent",
    "EchoTime",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "TemporalPositionIdentifier",
    "FrameReferenceTime",
    "TriggerTime",
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionTime",
)


@dataclass(frozen=True)
class Series:
    """One volume that a folder holds.

    Attributes:
        slices: from the lowest to the highest position along the normal.
        modality: its name, None where it cannot be used.
        reason: why it has this modality, or why it is left out.
        where: the geometry, None where it has none.
        volume: its number, from 1, among the volumes of its files; 0 where it is the only one.
    """

    slices: list[Slice]
    modality: str | None
    reason: str
    where: Stack | None
    volume: int = 0

    @property
    def headers(self) -> list[Dataset]:
        """The headers of the slices, each as a classic single-frame image has it, without pixels."""
        return [each.header for each in self.slices]

    @property
    def files(self) -> list[Path]:
        """The files, each once."""
        return list(dict.fromkeys(each.path for each in self.slices))

    @property
    def voxel(self) -> float:
        """The volume of a voxel in cubic millimetres; infinite where there is no geometry."""
        return self.where.spacing[0] * self.where.spacing[1] * self.where.step if self.where else float("inf")

    @property
    def frame_of_reference(self) -> str | None:
        """The FrameOfReferenceUID."""
        return text(self.headers[0], "FrameOfReferenceUID") or None


def group(found: Iterable[tuple[Path, Dataset]]) -> list[Series]:
    """Sort files into volumes: one series, one size, one direction, one stack each, and one slice at each position."""
    together: dict[Hashable, list[Slice]] = defaultdict(list)
    without: dict[Hashable, Series] = {}
    for path, header in found:
        try:
            for each in slices_of(path, header):
                together[_belongs(each)].append(each)
        except PolyscanError as error:
            uid = text(header, "SeriesInstanceUID")
            without.setdefault((uid, str(error)), Series([Slice(header, path, header)], None, str(error), None))
    volumes = [
        _series(part, told)
        for slices in together.values()
        for direction in _directions(slices)
        for part, told in _apart(_without_copies(direction))
    ]
    return [*_numbered(volumes), *without.values()]


def _belongs(each: Slice) -> tuple[str, ...]:
    return tuple(text(each.header, name) for name in ("SeriesInstanceUID", "Rows", "Columns", "StackID"))


def _directions(slices: list[Slice]) -> list[list[Slice]]:
    """Slices of one direction each."""
    known: list[tuple[np.ndarray, list[Slice]]] = []
    for each in slices:
        direction = numbers(each.header, "ImageOrientationPatient", 6)
        direction = np.zeros(6) if direction is None else direction
        for other, members in known:
            if np.abs(direction - other).max() < _SAME_DIRECTION:
                members.append(each)
                break
        else:
            known.append((direction, [each]))
    return [members for _, members in known]


def _without_copies(slices: list[Slice]) -> list[Slice]:
    """Each object once, where a file was copied into the folder twice."""
    once = {(text(s.file, "SOPInstanceUID") or str(s.path), s.frame, s.tile): s for s in reversed(slices)}
    return list(reversed(once.values()))


def _apart(slices: list[Slice], told: str = "") -> list[tuple[list[Slice], str]]:
    """Slices that lie at one position told apart by the first attribute that does it, or by their order."""
    places = _places(slices)
    if places is None or max(map(len, places)) == 1:
        return [(slices, told)]
    for name in _TELLS:
        parts = list(grouped(slices, partial(_told, name)).items())
        if len(parts) > 1 and all(_fuller(part, places) for _, part in parts):
            return [each for found, part in parts for each in _apart(part, f"{told}; {name} {found}")]
    files = list(grouped(slices, lambda each: each.path).values())
    if len(files) > 1 and all(len(file) > 1 and _fuller(file, places) for file in files):
        return [(file, f"{told}; volume {k + 1} of {len(files)}") for k, file in enumerate(files)]
    if len({len(place) for place in places}) == 1 and len(places) > 1:
        ordered = [sorted(place, key=lambda each: number(each.header, "InstanceNumber") or 0) for place in places]
        return [([place[k] for place in ordered], f"{told}; pass {k + 1}") for k in range(len(places[0]))]
    return [(slices, told)]


def _told(name: str, each: Slice) -> str:
    return text(each.header, name)


def _fuller(part: list[Slice], places: list[list[Slice]]) -> bool:
    """Whether a part has fewer slices at one position than the whole, and still half of the positions."""
    own = _places(part)
    assert own is not None  # the whole has places, and so has each part of it
    return max(map(len, own)) < max(map(len, places)) and len(own) * 2 >= len(places)


def _places(slices: list[Slice]) -> list[list[Slice]] | None:
    """Slices by their position along the normal; None where one has none."""
    direction = numbers(slices[0].header, "ImageOrientationPatient", 6)
    origins = [numbers(each.header, "ImagePositionPatient", 3) for each in slices]
    if direction is None or any(origin is None for origin in origins):
        return None
    depths = np.array(origins) @ np.cross(direction[:3], direction[3:])
    order = np.argsort(depths, kind="stable")
    new = np.concatenate([[0], np.cumsum(np.diff(depths[order]) >= SAME_PLACE)])
    return [[slices[i] for i in order[new == place]] for place in range(int(new[-1]) + 1)]


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items by what a function tells of each, in the order in which they come."""
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _series(slices: list[Slice], told: str) -> Series:
    modality, reason = from_header(slices[0].header)
    reason += told
    try:
        where = _geometry([each.header for each in slices])
    except PolyscanError as error:
        return Series(slices, None, f"{reason}; {error}", None)
    if modality is not None and len(slices) < 2:
        modality, reason = None, f"{reason}; one slice is no volume"
    return Series([slices[i] for i in where.order], modality, reason, where)


def _numbered(volumes: list[Series]) -> list[Series]:
    """Number the volumes whose files hold others too."""
    owners: dict[Path, list[int]] = defaultdict(list)
    for index, series in enumerate(volumes):
        for path in series.files:
            owners[path].append(index)
    return [
        replace(series, volume=_among(index, {i for path in series.files for i in owners[path]}))
        for index, series in enumerate(volumes)
    ]


def _among(index: int, sharing: set[int]) -> int:
    return sorted(sharing).index(index) + 1 if len(sharing) > 1 else 0


def _geometry(headers: Sequence[Dataset]) -> Stack:
    origins = [numbers(header, "ImagePositionPatient", 3) for header in headers]
    directions = [numbers(header, "ImageOrientationPatient", 6) for header in headers]
    spacings = [numbers(header, "PixelSpacing", 2) for header in headers]
    for name, found in (
        ("ImagePositionPatient", origins),
        ("ImageOrientationPatient", directions),
        ("PixelSpacing", spacings),
    ):
        missing = sum(each is None for each in found)
        if missing:
            raise PolyscanError(f"{name} is missing or no number in {missing} of {len(found)} slices; export it again.")
    if np.ptp(np.array(spacings), axis=0).max() > 1e-3:
        raise PolyscanError("PixelSpacing differs from slice to slice; export the series again.")
    rows, columns = spacings[0]  # type: ignore[misc]
    thickness = number(headers[0], "SliceThickness") or 1.0
    return stack(np.array(origins), np.mean(np.array(directions), axis=0), (columns, rows), thickness)
