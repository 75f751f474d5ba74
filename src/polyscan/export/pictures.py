"""Fused pictures of studies as files: PNG of three planes, GIF through the slices, and the surgical map as a volume."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from polyscan.dicom.source_images import SourceImages, lasting_uids, source_images
from polyscan.dicom.write_secondary_capture import write_secondary_capture
from polyscan.errors import PolyscanError
from polyscan.export.blends import checkerboard, composite, overlay, surgical_map
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.progress import Progress, silent
from polyscan.report.display import Display
from polyscan.study import Study, paths_in
from polyscan.study.manifest import Manifest
from polyscan.study.outputs import OutputFolder, sources_of
from polyscan.study.record import NEVER_ACQUIRED
from polyscan.study.sources import Sources
from polyscan.study.write_each import Written, write_each

KINDS: dict[str, tuple[int, int, Callable[[dict[str, np.ndarray]], np.ndarray] | None]] = {
    "overlay": (2, 2, overlay),
    "composite": (2, 3, composite),
    "checkerboard": (2, 2, checkerboard),
    "surgical": (2, 2, None),
}
"""Kind of picture to the least and the most scans that it takes, and what makes colours of them; a volume, of none."""
_ENDINGS = (".png", ".gif", ".nii.gz", ".dcm")
_VOXELS = 12_000_000
_HEIGHT = 420  # pixels


def write_pictures(
    manifest: Manifest,
    out: str | Path,
    kind: str,
    scans: Sequence[str],
    *,
    gif: bool = False,
    only: Sequence[str] = (),
    sources: Sources | None = None,
    progress: Progress = silent,
) -> Written:
    """Write a fused picture of every study: ``<study>_<kind>.png`` and what else belongs to it.

    Beneath it stands what is doubted of its scans, such as that one was never acquired; of such a one there is no
    surgical map, since a volume has no place for that.

    Args:
        manifest: prepared studies, with predictions or without.
        out: folder that is new, empty, or was made so.
        kind: one of :data:`KINDS`. ``surgical`` writes the volume too, as NIfTI, and as DICOM where the series of the
            reference is known: see :func:`polyscan.export.blends.surgical_map`, which takes a CT and an MR.
        scans: keys of the scans, in the order of the kind: below and above; red, green and blue; CT and MR.
        gif: write an animation through the axial slices too.
        only: keys of the studies to take; all where not given.
        sources: where the DICOM series lie.
        progress: told (done, total, study) after each.

    Returns:
        What was written, by the ending of its name.

    Raises:
        PolyscanError: the kind takes another number of scans, no study has them all, or ``out`` cannot be used.
    """
    least, most, _ = KINDS[kind]
    if not least <= len(set(scans)) <= most or len(set(scans)) < len(scans):
        counts = f"{least}" if least == most else f"{least} or {most}"
        raise PolyscanError(f"A picture of kind {kind} takes {counts} different scans; found {', '.join(scans)}.")
    studies = [study for study in manifest.studies if not only or study.key in only or study.subject in only]
    unknown = sorted(set(only) - {name for study in studies for name in (study.key, study.subject)})
    if unknown or not studies:
        raise PolyscanError(f"The manifest has no study {', '.join(unknown)}; name those that it has, by their keys.")
    owned = OutputFolder.claim(out, "picture", sources_of(studies))
    owned.will_hold([f"{study.key}_{kind}{ending}" for study in studies for ending in _ENDINGS])

    def write(study: Study, folder: Path) -> dict[str, str]:
        return _write(study, folder / f"{study.key}_{kind}", kind, scans, gif, sources)

    return write_each(owned, studies, write, done="drawn", sources=sources, progress=progress)


def _write(
    study: Study, stem: Path, kind: str, scans: Sequence[str], gif: bool, sources: Sources | None
) -> dict[str, str]:
    if missing := [name for name in scans if name not in study.scans]:
        raise PolyscanError(f"it has no {', '.join(missing)}; it has {', '.join(study.scans)}.")
    images = {name: read_nifti(study.scans[name].path) for name in scans}
    written: dict[str, str] = {}

    def new(ending: str) -> Path:
        written[ending] = f"{stem.name}{ending}"
        return stem.with_name(written[ending])

    *_, blend = KINDS[kind]
    notes = [f"{name} {study.problems[name]}" for name in scans if name in study.problems]
    if blend is None:
        if made := [name for name in scans if name in study.never_acquired]:
            raise PolyscanError(
                f"its {', '.join(made)} {NEVER_ACQUIRED}, and a surgical map is of acquired scans alone."
            )
        joint = surgical_map(images[scans[0]], images[scans[1]])
        write_nifti(new(".nii.gz"), joint)
        if (series := _series(study, sources)) is not None:
            content = hashlib.sha256(joint.numpy().tobytes()).hexdigest()
            uids = lasting_uids("surgical", series, content)
            write_secondary_capture(new(".dcm"), joint, series, uids, description="Bone of CT in MR")
        shown = Display(joint, _VOXELS)
        volume = shown.image(joint)
        soft = np.where(volume <= 1000, volume / 1000, 0.0)
        hard = np.clip((volume - 1000) / 1200, 0, 1)
        bone = np.where(volume > 1000, 0.55 + 0.45 * hard, 0.0)
        colours = soft[..., None] + bone[..., None] * np.array([1.0, 0.92, 0.7])
    else:
        shown = Display(images[scans[0]], _VOXELS)
        colours = blend({name: shown.image(image) for name, image in images.items()})
    pixels = np.round(np.clip(np.nan_to_num(colours), 0, 1) * 255).astype(np.uint8)
    middle = _middle(study, shown)
    noted(three_planes(pixels, shown.spacing, middle), notes).save(new(".png"))
    if gif:
        slices = (_sized(pixels[:, :, z].swapaxes(0, 1), shown.spacing[[1, 0]]) for z in _slices(pixels))
        first, *rest = [noted(each, notes) for each in slices]
        first.save(new(".gif"), save_all=True, append_images=rest, duration=80, loop=0)
    return written


def three_planes(pixels: np.ndarray, spacing: np.ndarray, middle: Sequence[int]) -> Any:
    """Axial, coronal and sagittal plane through a voxel beside each other, the patient's right on the left.

    Args:
        pixels: (x, y, z, 3) uint8 in LPS+ order, as :class:`polyscan.report.display.Display` shows volumes.
        spacing: (3,) millimetres.
        middle: (3,) voxel.

    Returns:
        A picture of PIL.
    """
    x, y, z = middle
    planes = [
        (_sized(pixels[:, :, z].swapaxes(0, 1), spacing[[1, 0]]), "RLAP"),
        (_sized(pixels[:, y, ::-1].swapaxes(0, 1), spacing[[2, 0]]), "RLSI"),
        (_sized(pixels[x, :, ::-1].swapaxes(0, 1), spacing[[2, 1]]), "APSI"),
    ]
    picture = Image.new("RGB", (sum(plane.width for plane, _ in planes) + 8, _HEIGHT))
    draw, left = ImageDraw.Draw(picture), 0
    for plane, letters in planes:
        picture.paste(plane, (left, 0))
        middle_x, middle_y = left + plane.width // 2, _HEIGHT // 2
        places = ((left + 8, middle_y), (left + plane.width - 8, middle_y), (middle_x, 8), (middle_x, _HEIGHT - 8))
        for letter, place in zip(letters, places, strict=True):
            draw.text(place, letter, fill="#ffd75e", anchor="mm")
        left += plane.width + 4
    return picture


def noted(picture: Any, notes: Sequence[str]) -> Any:
    """A picture of PIL with sentences beneath it; as it is without any."""
    lines = [line for note in notes for line in textwrap.wrap(note, picture.width // 6)]
    if not lines:
        return picture
    whole = Image.new("RGB", (picture.width, picture.height + 15 * len(lines) + 5))
    whole.paste(picture)
    ImageDraw.Draw(whole).text((4, picture.height + 2), "\n".join(lines), fill="#ffd75e")
    return whole


def _sized(rows: np.ndarray, spacing: np.ndarray) -> Any:
    """(row, column, 3) as a picture of the common height, whose pixels are square."""
    width = max(1, round(_HEIGHT * rows.shape[1] * spacing[1] / (rows.shape[0] * spacing[0])))
    return Image.fromarray(np.ascontiguousarray(rows)).resize((width, _HEIGHT), Image.Resampling.BILINEAR)


def _slices(pixels: np.ndarray) -> list[int]:
    """The axial slices that show anything, at most 80 of them, from the feet to the head."""
    shown = np.flatnonzero(pixels.any((0, 1, 3)))
    every = shown if shown.size else np.arange(pixels.shape[2])
    return [int(z) for z in every[:: -(-len(every) // 80)]]


def _middle(study: Study, shown: Display) -> list[int]:
    if study.prediction is not None and study.prediction.is_mask:
        return shown.middle(shown.labels(read_nifti(study.prediction.path)))
    return shown.middle()


def _series(study: Study, sources: Sources | None) -> SourceImages | None:
    """The DICOM series of the reference, on whose grid prepared scans lie; None where there is none."""
    found = sources.studies.get(study.key) if sources is not None else None
    source = found.scans.get(study.preparation.reference) if found and study.preparation else None
    if source is None or is_volume(paths_in(source)[0]):
        return None
    return source_images(source)
