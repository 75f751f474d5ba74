"""Tell the volumes of one series apart: echoes, b-values, frames, passes, copies and slices that were made twice."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np

from polyscan.dicom.attributes import number, numbers, private, text
from polyscan.dicom.diffusion import b_value, philips_direction
from polyscan.dicom.pixels import stored_pixels
from polyscan.dicom.slices import Slice
from polyscan.errors import PolyscanError

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
_GroupKey = Callable[[Slice], str]

_SAME_DIRECTION = 0.01
_SAME_SPACING = 1e-3  # millimetres
_NEAR = 0.1  # of the thickness of a slice: nearer ones are at one position
FEW = 10  # one slice of so many may differ: was made twice, or lacks an attribute


@dataclass(frozen=True)
class Part:
    """Slices that belong together.

    Attributes:
        slices: in no order.
        told: what told them from others of their series, an attribute with its value each.
        passed: the same, of what tells only that they were made one after the other, or with another tube voltage.
        notes: what was decided about them that a user should know.
        refused: why they are no volume; None where they may be one.
    """

    slices: list[Slice]
    told: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: str | None = None


def _attributes(*names: str) -> dict[str, _GroupKey]:
    return {name: partial(_attribute, name) for name in names}


def _attribute(name: str, each: Slice) -> str:
    return text(each.header, name)


def _private(group: int, creator: str, element: int) -> _GroupKey:
    return lambda each: "\\".join(f"{x:g}" for x in private(each.header, group, creator, element))


def _b(each: Slice) -> str:
    found = b_value(each.header)
    return "" if found is None else f"{found:g}"


# What tells volumes of one series apart, the first that does: kind of image, kernel, echo, diffusion.
_KINDS: dict[str, _GroupKey] = {
    **_attributes("ImageType", "ComplexImageComponent", "ConvolutionKernel"),
    "GE image type (0043,102F)": _private(0x0043, "GEMS_PARM_01", 0x2F),
    **_attributes("EchoTime", "EchoNumbers", "InversionTime", "FlipAngle"),
    "DiffusionBValue": _b,
    **_attributes("DiffusionDirectionality", "DiffusionGradientOrientation", "SequenceName"),
    "GE raw data run number (0019,10A2)": _private(0x0019, "GEMS_ACQU_01", 0xA2),
    "GE diffusion direction (0019,10BB)": _private(0x0019, "GEMS_ACQU_01", 0xBB),
    "GE diffusion direction (0019,10BC)": _private(0x0019, "GEMS_ACQU_01", 0xBC),
    "GE diffusion direction (0019,10BD)": _private(0x0019, "GEMS_ACQU_01", 0xBD),
    "Siemens diffusion direction (0019,100E)": _private(0x0019, "SIEMENS MR HEADER", 0x0E),
    "Philips diffusion direction (2001,1004)": lambda each: philips_direction(each.header),
    "Philips gradient number (2005,1413)": _private(0x2005, "Philips MR Imaging DD 005", 0x13),
}
# Then what tells passes of one kind apart: the energy and the time.
_PASSES = _attributes(
    "KVP", "TemporalPositionIdentifier", "FrameReferenceTime", "TriggerTime", "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase", "AcquisitionNumber", "AcquisitionDateTime", "AcquisitionTime",
)  # fmt: skip
# Series of one UID, which careless de-identification gives to all, are told by what people called them.
_NAMES = _attributes("SeriesNumber", "SeriesDescription")
_GROUP_KEYS = {**_KINDS, **_PASSES, **_NAMES}
_COUNT = "InstanceNumber or the order of frames"
_CONTRAST = ("EchoTime", "InversionTime", "DiffusionBValue")
_SAME_CONTRAST = 1.25  # times of one contrast differ by less from slice to slice
_SETTINGS = {"EchoTime", "EchoNumbers", "InversionTime", "FlipAngle", "DiffusionBValue"}
_LATER = (
    "AcquisitionNumber", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime",
)  # fmt: skip


def directions(slices: list[Slice]) -> list[list[Slice]]:
    """Slices of one direction and one spacing each; those that tell none by themselves."""
    known: list[tuple[np.ndarray, list[Slice]]] = []
    for each in slices:
        direction, spacing = numbers(each.header, "ImageOrientationPatient", 6), numbers(each.header, "PixelSpacing", 2)
        direction = np.zeros(6) if direction is None else direction
        direction = np.append(direction, np.zeros(2) if spacing is None else spacing * _SAME_DIRECTION / _SAME_SPACING)
        for other, members in known:
            if np.abs(direction - other).max() < _SAME_DIRECTION:
                members.append(each)
                break
        else:
            known.append((direction, [each]))
    return [members for _, members in known]


def without_copies(slices: list[Slice]) -> list[Slice]:
    """Each image once, where a file was copied into the folder twice.

    Copies have the same place, settings and pixels, however these are compressed. A UID proves nothing: careless
    de-identification gives one to all slices, and exporting again gives a copy its own. Nor does InstanceNumber where
    each image has a copy; where few have, they may be empty ones of two passes.
    """
    kept: list[Slice] = []
    for members in _alike(slices, _place):
        kept += members if len(members) == 1 else {_pixels(each): each for each in reversed(members)}.values()
    alike = list(_alike(kept, lambda each: _place(each)[1:]))
    if all(len(members) > 1 and len(set(map(_pixels, members))) == 1 for members in alike):
        kept = [members[0] for members in alike]
    order = {id(each): k for k, each in enumerate(slices)}
    return sorted(kept, key=lambda each: order[id(each)])


def _alike(slices: list[Slice], place: Callable[[Slice], tuple[str, ...]]) -> Iterator[list[Slice]]:
    """Slices of one place and one setting."""
    for near in grouped(slices, place).values():
        yield from [near] if len(near) == 1 else grouped(near, _settings).values()


def _place(each: Slice) -> tuple[str, ...]:
    names = ("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient")
    return (*(text(each.header, name) for name in names), str(each.tile))


def _settings(each: Slice) -> tuple[str, ...]:
    return tuple(group_key(each) for group_key in (*_KINDS.values(), *_PASSES.values()))


def _pixels(each: Slice) -> tuple[bytes, int, tuple[int, int]]:
    try:
        content = stored_pixels(each).tobytes()
    except PolyscanError:  # what cannot be read is no copy of anything, and is found out when it is read
        content = str(each.path).encode()
    return hashlib.sha256(content).digest(), each.frame, each.tile


def apart(slices: list[Slice], told: tuple[str, ...] = (), passed: tuple[str, ...] = ()) -> list[Part]:
    """Slices that lie at one position told apart by the first attribute that does it, or by their order.

    One slice of many that was made twice is no second volume: the later acquisition is kept. What nothing tells apart
    is refused: volumes are never mixed.
    """
    places = _places(slices)
    if places is None:
        return [Part(slices, told, passed)]
    if max(map(len, places)) == 1:
        return _of_one_contrast(slices, told, passed)
    for name, group_key in _GROUP_KEYS.items():
        parts = list(grouped(slices, group_key).items())
        if len(parts) > 1 and all(_fuller(part, places) for _, part in parts):
            return _told_apart(parts, name, told, passed)
    files = list(grouped(slices, lambda each: each.path).values())
    if len(files) > 1 and all(len(file) > 1 and _fuller(file, places) for file in files):
        return [Part(file, told, (*passed, f"volume {k + 1} of {len(files)}")) for k, file in enumerate(files)]
    passes = _passes(slices, places)
    if passes:
        return [Part(each, told, (*passed, f"pass {k} by {_COUNT}")) for k, each in enumerate(passes, start=1)]
    for name, group_key in _KINDS.items():
        parts = list(grouped(slices, group_key).items())
        most = max((part for _, part in parts), key=len)
        strays = len(slices) - len(most)
        if 0 < strays <= max(len(places) // FEW, 1) < len(most) and len(_places(most) or ()) == len(places):
            return _told_apart(parts, name, told, passed)
    return [_later(slices, places, told, passed)]


def _told_apart(
    parts: list[tuple[str, list[Slice]]], name: str, told: tuple[str, ...], passed: tuple[str, ...]
) -> list[Part]:
    """The volumes of slices that differ in an attribute."""
    found_parts = list[Part]()
    for k, (found, part) in enumerate(parts, start=1):
        said = (_named(name, found, f"value {k} of {len(parts)}"),)
        found_parts += apart(part, told, passed + said) if name in _PASSES else apart(part, told + said, passed)
    return found_parts


def _of_one_contrast(slices: list[Slice], told: tuple[str, ...], passed: tuple[str, ...]) -> list[Part]:
    """Slices of MR, each at a position of its own, by their contrast: those of two echoes are no one volume."""
    if text(slices[0].header, "Modality") != "MR":
        return [Part(slices, told, passed)]
    for name in _CONTRAST:
        found = {id(each): number(each.header, name) for each in slices}
        rising = sorted({value for value in found.values() if value})
        if len(rising) < 2 or None in found.values():
            continue
        ends = [low for low, high in pairwise(rising) if high > _SAME_CONTRAST * low]
        parts = grouped(slices, lambda each: sum((found[id(each)] or 0) > end for end in ends))  # noqa: B023
        if len(parts) > 1:
            names = {k: _named(name, text(part[0].header, name), f"value {k + 1}") for k, part in parts.items()}
            return [each for k in sorted(parts) for each in _of_one_contrast(parts[k], (*told, names[k]), passed)]
    return [Part(slices, told, passed)]


def _named(name: str, found: str, otherwise: str) -> str:
    """An attribute that tells volumes apart, with its number where it is a setting; no time or text is repeated."""
    return f"{name} {found}" if name in _SETTINGS and re.fullmatch(r"[\d.]+", found) else f"{name}, {otherwise}"


def _fuller(part: list[Slice], places: list[list[Slice]]) -> bool:
    """Whether a part has fewer slices at one position than the whole, still half of the positions, and not alone.

    Half of its own it has with others: two regions that overlap at their ends are no two volumes of one place.
    """
    own, members = _places(part), {id(each) for each in part}
    assert own is not None  # the whole has places, and so has each part of it
    shared = sum(len(place) > 1 and any(id(each) in members for each in place) for place in places)
    half = len(own) * 2 >= len(places) and shared * 2 >= len(own)
    return half and max(map(len, own)) < max(map(len, places))


def _places(slices: list[Slice]) -> list[list[Slice]] | None:
    """Slices by their position along the normal; None where one has none."""
    header = slices[0].header
    direction = numbers(header, "ImageOrientationPatient", 6)
    origins = [numbers(each.header, "ImagePositionPatient", 3) for each in slices]
    if direction is None or any(origin is None for origin in origins):
        return None
    depths = np.array(origins) @ np.cross(direction[:3], direction[3:])
    order = np.argsort(depths, kind="stable")
    new = np.concatenate([[0], np.cumsum(np.diff(depths[order]) >= _near(slices[0]))])
    return [[slices[i] for i in order[new == place]] for place in range(int(new[-1]) + 1)]


def _near(each: Slice) -> float:
    """Millimetres within which slices lie at one position: rounding and motion correction move them by so little."""
    thickness = number(each.header, "SliceThickness") or number(each.header, "SpacingBetweenSlices") or 1.0
    spacing = numbers(each.header, "PixelSpacing", 2)
    pixel = 1.0 if spacing is None else float(spacing.max())
    return float(np.clip(_NEAR * min(abs(thickness), 3 * pixel), 0.001, 0.25))


def _passes(slices: list[Slice], places: list[list[Slice]]) -> list[list[Slice]]:
    """Volumes that InstanceNumber counts one after the other, or position by position; empty where it does neither.

    Frames of a file, which have one InstanceNumber, are counted by their order.
    """
    count, times = len(places), len(places[0])
    found = [(number(each.header, "InstanceNumber"), each.frame, each.tile) for each in slices]
    untold = any(instance is None for instance, *_ in found) or len(set(found)) < len(found)
    if count < 2 or any(len(place) != times for place in places) or untold:
        return []
    place_of = {id(each): k for k, place in enumerate(places) for each in place}
    ordered = [slices[i] for i in sorted(range(len(found)), key=found.__getitem__)]
    one_after_other = [ordered[k * count : (k + 1) * count] for k in range(times)]
    if all(len({place_of[id(each)] for each in volume}) == count for volume in one_after_other):
        return one_after_other
    by_position = [ordered[k * times : (k + 1) * times] for k in range(count)]
    if all(len({place_of[id(each)] for each in position}) == 1 for position in by_position):
        return [[position[k] for position in by_position] for k in range(times)]
    return []


def _later(slices: list[Slice], places: list[list[Slice]], told: tuple[str, ...], passed: tuple[str, ...]) -> Part:
    """Of a few positions that were made twice, or in which two CTs overlap, the later one; a refusal of all else."""
    doubled = [place for place in places if len(place) > 1]
    same = sum(map(len, doubled))
    most = len(places) // 2 if all(map(_of_two_acquisitions, doubled)) else max(len(places) // FEW, 1)
    if len(doubled) <= most and len(places) > 2 and same < len(slices):
        kept, by = [], set()
        for place in places:
            latest, name = _latest(place)
            if latest is None:
                break
            kept.append(latest)
            by |= {name} - {""}
        else:
            which = (
                f"the later by {', '.join(sorted(by))} is kept" if by else "with the same pixels, of which one is kept"
            )
            note = f"{len(doubled)} of {len(places)} positions made twice: {which}"
            return Part(kept, told, passed, (note,))
    reason = (
        f"{same} of {len(slices)} slices lie at one position, which is no volume, and no attribute tells "
        "which belong together; split the series"
    )
    return Part(slices, told, passed, (), reason)


def _of_two_acquisitions(place: list[Slice]) -> bool:
    """Whether slices at one position are of one kind of CT and each of an acquisition of its own."""
    kinds = {tuple(group_key(each) for group_key in _KINDS.values()) for each in place}
    is_ct = text(place[0].header, "Modality") == "CT"
    return is_ct and len(kinds) == 1 and _latest(place)[1] == "AcquisitionNumber"


def _latest(place: list[Slice]) -> tuple[Slice | None, str]:
    """The slice of a position that was acquired last, and by which attribute; one of equals; None where none tells."""
    if len(place) == 1:
        return place[0], ""
    for name in _LATER:
        found = [number(each.header, name) for each in place]
        if None not in found and len(set(found)) == len(found):
            return place[int(np.argmax(np.array(found, dtype=float)))], name
    return (place[0] if len(set(map(_pixels, place))) == 1 else None), ""


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items by what a function tells of each, in the order in which they come."""
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
