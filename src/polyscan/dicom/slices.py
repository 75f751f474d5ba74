"""The slices that a DICOM file holds: one, the tiles of a mosaic, or the frames of an enhanced object.

Each comes with a header as a classic image of that one slice would have it, so that nothing downstream needs to know
how it was stored.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import MODALITIES, items, number, numbers, private_items, term, value, words
from polyscan.errors import PolyscanError

# What a classic image calls an attribute, and what an enhanced one calls it.
_ENHANCED = {
    "EchoTime": "EffectiveEchoTime",
    "InversionTime": "InversionTimes",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "ImageType": "FrameType",
    "AcquisitionNumber": "FrameAcquisitionNumber",
    "AcquisitionDateTime": "FrameAcquisitionDateTime",
}
# Which attribute and values of an enhanced object make which ScanningSequence of a classic one.
_SEQUENCES = {
    ("EchoPulseSequence", "SPIN", "BOTH"): "SE",
    ("EchoPulseSequence", "GRADIENT"): "GR",
    ("InversionRecovery", "YES"): "IR",
    ("EchoPlanarPulseSequence", "YES"): "EP",
}
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True)
class Slice:
    """One slice of a file.

    Attributes:
        header: its attributes as those of a classic single-frame image.
        path: the file.
        file: the data set of the whole file, its pixels left on disk.
        frame: which frame of the file.
        tile: row and column of its first pixel in that frame, for a mosaic.
    """

    header: Dataset
    path: Path
    file: Dataset
    frame: int = 0
    tile: tuple[int, int] = (0, 0)


def slices_of(path: Path, header: Dataset) -> list[Slice]:
    """The slices of one file, in the order in which they are stored.

    Raises:
        PolyscanError: it holds no image, or several frames without saying where each lies.
    """
    if not number(header, "Rows") or not number(header, "Columns"):
        raise PolyscanError(f"holds no image (its Modality is {term(header, 'Modality', MODALITIES)})")
    kind = words(header, "ImageType")
    if "MOSAIC" in kind:
        return list(_tiles(path, header, _of_siemens(header)))
    if "VFRAME" in kind:
        return list(_tiles(path, header, _of_united_imaging(header)))
    if items(header, _GROUPS[1]):
        return list(_frames(path, header))
    if (number(header, "NumberOfFrames") or 1) > 1:
        raise PolyscanError("holds several frames and does not tell where each lies; export it as single slices")
    return [Slice(header, path, header)]


def _tiles(path: Path, header: Dataset, own: list[Dataset]) -> Iterator[Slice]:
    """The tiles of a mosaic, row by row.

    Args:
        path: the file.
        header: of the file.
        own: the attributes of each tile, where it lies among them.
    """
    side = int(np.ceil(np.sqrt(len(own))))
    if header.Rows % side or header.Columns % side:
        raise PolyscanError(
            f"is a mosaic of {header.Rows} x {header.Columns} pixels, which cannot hold the {len(own)} slices that its "
            "private header tells; export it again"
        )
    rows, columns = header.Rows // side, header.Columns // side
    for k, tile in enumerate(own):
        flat = Dataset(dict(header.items()))
        flat.update(tile)
        _set(flat, "Rows", rows)
        _set(flat, "Columns", columns)
        yield Slice(flat, path, header, 0, (k // side * rows, k % side * columns))


def _of_united_imaging(header: Dataset) -> list[Dataset]:
    """What is each tile's own in a mosaic (VFRAME) of United Imaging: MRVFrameSequence (conformance statement)."""
    own = private_items(header, 0x0065, "Image Private Header", 0x51)
    if not own:
        raise PolyscanError(
            "is a mosaic of United Imaging whose private header, which tells where its slices lie, was removed; export "
            "it as single slices or keep (0065,1051)"
        )
    return own


def _of_siemens(header: Dataset) -> list[Dataset]:
    """What is each tile's own in a mosaic of Siemens: the k-th lies k steps along the normal of its private header."""
    count, normal = _private_header(header)
    side = int(np.ceil(np.sqrt(count)))
    origin, orientation = numbers(header, "ImagePositionPatient", 3), numbers(header, "ImageOrientationPatient", 6)
    spacing = numbers(header, "PixelSpacing", 2)
    step = number(header, "SpacingBetweenSlices") or number(header, "SliceThickness")
    if origin is None or orientation is None or spacing is None or not step:
        raise PolyscanError("is a Siemens mosaic without position, orientation or spacing; export it again")
    # The position is that of the mosaic, whose centre is that of each tile.
    around = (header.Columns - header.Columns // side, header.Rows - header.Rows // side)
    origin = origin + (orientation[:3] * spacing[1] * around[0] + orientation[3:] * spacing[0] * around[1]) / 2
    own = []
    for k in range(count):
        tile = Dataset()
        tile.SliceThickness = step
        tile.ImagePositionPatient = [float(f"{x:.9g}") for x in origin + k * step * normal]
        own.append(tile)
    return own


def _private_header(header: Dataset) -> tuple[int, np.ndarray]:
    """How many tiles a mosaic has, and the (3,) direction from each to the next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel calls its reader experimental at every import
        from nibabel.nicom import csareader
    try:
        private = csareader.get_csa_header(header)
        count, normal = int(csareader.get_n_mosaic(private)), np.array(csareader.get_slice_normal(private), dtype=float)
    except Exception:  # what is not there or was blanked fails in many ways
        count, normal = 0, np.zeros(3)
    if count < 1 or normal.shape != (3,) or abs(np.linalg.norm(normal) - 1) > 0.01:
        raise PolyscanError(
            "is a Siemens mosaic whose private header, which tells number and direction of its slices, was removed; "
            "export it as single slices or keep (0029,1010)"
        )
    return count, normal


def _frames(path: Path, header: Dataset) -> Iterator[Slice]:
    """The frames of an enhanced object: what all share, then what is each one's own."""
    own = items(header, _GROUPS[1])
    if len(own) != (number(header, "NumberOfFrames") or 1):
        raise PolyscanError(
            f"tells of {number(header, 'NumberOfFrames')} frames and describes {len(own)}; export it again"
        )
    shared = Dataset(dict(header.items()))
    for name in _GROUPS:
        shared.pop(name, None)
    for group in items(header, _GROUPS[0])[:1]:
        _raise(shared, group)
    for k, group in enumerate(own):
        flat = Dataset(dict(shared.items()))
        _raise(flat, group)
        for classic, enhanced in _ENHANCED.items():
            found = value(flat, enhanced)
            if found is not None:
                _set(flat, classic, found)
        sequence = [classic for name, classic in _SEQUENCES.items() if value(flat, name[0]) in name[1:]]
        if sequence and not value(flat, "ScanningSequence"):
            _set(flat, "ScanningSequence", sequence)
        yield Slice(flat, path, header, k)


def _raise(flat: Dataset, group: Dataset) -> None:
    """Lift the attributes of a functional group to the top; a vendor's private copy of a header is none of them."""
    # What a converter could not assign to a macro goes before those.
    for macro in sorted(group, key=lambda each: "Unassigned" not in each.keyword):
        for item in macro.value if macro.VR == "SQ" and not macro.tag.is_private else ():
            flat.update({element.tag: element for element in item})
            for direction in items(item, "DiffusionGradientDirectionSequence"):
                flat.update({element.tag: element for element in direction})


def _set(flat: Dataset, name: str, content: Any) -> None:
    """Give a copy an attribute of its own: its elements are those of the file's data set until then."""
    flat.pop(name, None)
    setattr(flat, name, content)
