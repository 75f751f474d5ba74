"""Does a spoiled header ever put a scan in a wrong place without a word?

    python benchmarks/spoiled_headers.py [--nifti 1000] [--dicom 1000]

Bytes of a NIfTI header are changed at random: what is read without a problem must lie where ITK puts it too, to a tenth
of a voxel. Attributes of geometry and value of a DICOM series are changed in one slice or in all, none of them to what
another scan could have: what is read without a problem must be the series as it was.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from pydicom import Dataset, dcmread
from scan_index import slice_

from polyscan.dicom.read import read_series
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.formats.read import read_image
from polyscan.geometry import corners

SLICES = 8
Spoil = Callable[[list[Dataset], list[Dataset], random.Random], str]


def apart(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """How far the corners of a volume lie apart by two affines (4, 4), as a part of the smallest voxel edge."""
    smallest = np.linalg.norm(other[:3, :3], axis=0).min()
    return float(np.linalg.norm(corners(one, shape) - corners(other, shape), axis=1).max() / smallest)


def spoiled_nifti(work: Path, trials: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Spoil 1 to 4 bytes of a NIfTI header; returns how often what came of it, and what was wrong unsaid."""
    import SimpleITK as sitk

    sitk.ProcessObject_SetGlobalWarningDisplay(False)
    nibabel.imageglobals.logger.setLevel("CRITICAL")
    path, counts, bad = work / "a.nii", Counter[str](), []
    affine = torch.tensor([[2.0, 0, 0, -20], [0, 3, 0, -30], [0, 0, 4, 5], [0, 0, 0, 1]])
    write_nifti(path, MetaTensor(torch.arange(6 * 5 * 4.0).reshape(1, 6, 5, 4), affine=affine))
    clean = path.read_bytes()
    for _ in range(trials):
        content = bytearray(clean)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(348)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        path.write_bytes(content)
        try:
            image = read_image(str(path), "T1")
        except PolyscanError:
            counts["refused"] += 1
            continue
        if image.meta["problems"]:
            counts["said"] += 1
            continue
        try:
            other = sitk.ReadImage(str(path))
        except RuntimeError:
            counts["ITK refuses"] += 1
            continue
        itk = np.eye(4)
        itk[:3, :3] = np.array(other.GetDirection()).reshape(3, 3) @ np.diag(other.GetSpacing())
        itk[:3, 3] = other.GetOrigin()
        shape = tuple(image.shape[1:])
        same = other.GetSize() == shape and apart(np.diag([-1.0, -1, 1, 1]) @ itk, image.affine.numpy(), shape) <= 0.1
        counts["as ITK" if same else "unlike ITK and unsaid"] += 1
        if not same:
            bad.append(f"bytes {[k for k in range(348) if content[k] != clean[k]]}")
    return counts, bad


def setting(name: str, *values: object) -> Spoil:
    """Set an attribute to one of some values; None takes it away."""

    def spoil(spoilt: list[Dataset], every: list[Dataset], rng: random.Random) -> str:
        value = rng.choice(values)
        for header in spoilt:
            if value is None:
                header.pop(name, None)
            else:
                setattr(header, name, value)
        return f"{name} {value}"

    return spoil


def doubled(spoilt: list[Dataset], every: list[Dataset], rng: random.Random) -> str:
    """Slices at a neighbour's place."""
    for header in spoilt:
        header.ImagePositionPatient = rng.choice(every).get("ImagePositionPatient")
    return "ImagePositionPatient of another slice"


def missing(spoilt: list[Dataset], every: list[Dataset], rng: random.Random) -> str:
    """Slices within the stack that are not there."""
    for header in spoilt:
        if 0 < every.index(header) < len(every) - 1 and len(every) > 4:
            every.remove(header)
    return "slices are missing"


def moved(spoilt: list[Dataset], every: list[Dataset], rng: random.Random) -> str:
    """Slices that lie beside their place."""
    shift, axis = rng.choice([0.7, 3.0, 40.0, 1e6]), rng.randrange(3)
    for header in spoilt[:1]:
        place = list(header.get("ImagePositionPatient") or [])
        if len(place) != 3:
            return ""
        place[axis] = float(place[axis]) + shift
        header.ImagePositionPatient = place
    return f"ImagePositionPatient {shift} mm along {'xyz'[axis]}"


SPOILS: list[Spoil] = [
    setting(
        "ImageOrientationPatient",
        None, [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [1.2, 0, 0, 0, 1, 0], [1, 0, 0, 0.3, 1, 0], [1, 0, 0, 0, 1],
    ),
    setting("ImagePositionPatient", None, [0, 0], [0, 0, 0]),
    setting("PixelSpacing", None, [0, 0], [-1, 1], [0, 1], [1000, 1000], [1]),
    setting("SpacingBetweenSlices", None, 0, -3, 1, 30),
    setting("SliceThickness", None, 0, -1, 30),
    setting("Rows", 7, 0, 10000),
    setting("Columns", 3, 0),
    setting("RescaleSlope", 0),
    doubled,
    missing,
    moved,
]  # fmt: skip


def spoiled_dicom(work: Path, trials: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Spoil attributes of a series; returns how often what came of it, and what was wrong unsaid."""
    counts, bad = Counter[str](), []
    folder = work / "series"
    folder.mkdir()
    for number in range(SLICES):
        header = dcmread(BytesIO(slice_()))
        header.SOPInstanceUID, header.InstanceNumber = f"1.2.826.3.{number + 1}", number + 1
        header.ImagePositionPatient = [-10, -20, 3 * number]
        header.PixelData = bytes(rng.randrange(8) for _ in range(2 * header.Rows * header.Columns))
        header.save_as(folder / f"{number}.dcm")
    files = sorted(folder.iterdir())
    whole = read_series(folder)
    clean = [file.read_bytes() for file in files]
    for _ in range(trials):
        every = [dcmread(file) for file in files]
        spoilt = every[:] if rng.random() < 0.4 else rng.sample(every, rng.randint(1, 2))
        where = "all" if len(spoilt) == SLICES else len(spoilt)
        said = "; ".join(spoil(spoilt, every, rng) for spoil in rng.sample(SPOILS, rng.choice([1, 1, 2])))
        for file in files:
            file.unlink()
        for number, header in enumerate(every):
            header.save_as(folder / f"{number}.dcm")
        try:
            image = read_series(folder)
        except PolyscanError:
            counts["refused"] += 1
        else:
            same = (
                image.shape == whole.shape and apart(image.affine.numpy(), whole.affine.numpy(), whole.shape[1:]) < 0.1
            )
            right = same and np.allclose(image, whole, atol=1e-3)
            counts["as it was" if right else "said" if image.meta["problems"] else "wrong and unsaid"] += 1
            if not right and not image.meta["problems"]:
                bad.append(f"{where} slices: {said}")
        for file in folder.iterdir():
            file.unlink()
        for file, content in zip(files, clean, strict=True):
            file.write_bytes(content)
    return counts, bad


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nifti", type=int, default=1000)
    parser.add_argument("--dicom", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for what, trials, spoil in (("NIfTI", options.nifti, spoiled_nifti), ("DICOM", options.dicom, spoiled_dicom)):
        with tempfile.TemporaryDirectory() as work:
            counts, bad = spoil(Path(work), trials, random.Random(options.seed))
        print(f"{trials} spoiled {what} headers: {dict(counts)}", *bad[:20], sep="\n  ")


if __name__ == "__main__":
    main()
