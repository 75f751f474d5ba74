"""What a client uploads: the scans of one study, looked at alone, wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from polyscan.discovery.bids import named as told_by_name
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.endings import volumes_among
from polyscan.formats.pictures import picture_study
from polyscan.modality import MODALITIES, by_precedence
from polyscan.study import Study, scans_of

TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}\.")
"""A name that Python's ``tempfile`` made up, as Slicer's are: a modality in it means nothing."""


def uploaded_study(place: Path, modalities: Sequence[str], modality: str | Mapping[str, str] = "") -> tuple[Study, str]:
    """The study that an upload holds.

    A NIfTI file's name tells its modality. One that tells none, such as Slicer's ``tmp1a2b.nii.gz``, is the modality
    that the client says, else the first in precedence that the model reads and that is not there.

    Args:
        place: the file that was uploaded, or a folder that holds the files of this upload and nothing else.
        modalities: what the model reads.
        modality: what the client says that the one scan without a telling name is, or what each file name is.

    Returns:
        The study, named ``upload``, and what was assumed of it: a sentence, or nothing.

    Raises:
        PolyscanError: it holds no scan, scans of more than one study, or two scans of one modality.
    """
    said = [*modality.values()] if isinstance(modality, Mapping) else [modality] if modality else []
    if any(name not in modalities for name in said):
        raise PolyscanError(f"modality is {modality!r}; expected one that the model reads: {', '.join(modalities)}.")
    files = sorted(f for f in place.rglob("*") if f.is_file()) if place.is_dir() else [place]
    volumes, _ = volumes_among(files)
    if volumes:
        return _of_volumes(volumes, modalities, modality)
    folder = place if place.is_dir() else place.parent
    pictures = picture_study(folder)
    found = [pictures] if pictures else scan(folder).studies
    if len(found) != 1:
        raise PolyscanError(f"The upload holds the scans of {len(found)} studies; send those of one.")
    return Study("upload", scans=found[0].scans, aligned=found[0].aligned), ""


def expected_modality(modalities: Sequence[str]) -> str:
    """What a scan is taken for that nothing is known of: the first in precedence that a model reads."""
    return next(iter(by_precedence(modalities or MODALITIES)))


def _of_volumes(
    files: Sequence[Path], modalities: Sequence[str], modality: str | Mapping[str, str]
) -> tuple[Study, str]:
    named = {file: None if TEMPORARY.match(file.name) else told_by_name(file.name).modality for file in files}
    if isinstance(modality, Mapping):
        unknown = sorted(modality.keys() - {file.name for file in files})
        if unknown:
            raise PolyscanError(f"modality speaks of {', '.join(unknown)}, which was not sent.")
        named |= {file: modality[file.name] for file in files if file.name in modality}
    elif modality and len(files) == 1:
        named[files[0]] = modality
    unnamed, assumed = [file for file, name in named.items() if name is None], ""
    if len(unnamed) > 1:
        raise PolyscanError(
            f"{len(unnamed)} of {len(files)} scans have names that tell no modality; name them such as "
            f"{modalities[0]}.nii.gz, or send modality such as {{{unnamed[0].name!r}: {modalities[0]!r}}}."
        )
    for file in unnamed:
        named[file] = str(modality or expected_modality([m for m in modalities if m not in named.values()]))
        if not modality:
            assumed = f"The scan's name tells no modality; it was read as {named[file]}: send modality to say another."
    images: dict[str, str] = {}
    for file, name in named.items():
        if name in images:
            raise PolyscanError(f"Two of the scans are {name}; send one of a modality, or name the other.")
        images[str(name)] = str(file)
    return Study("upload", scans=scans_of(images)), assumed
