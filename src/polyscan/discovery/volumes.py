"""Volumes in files of their own, as NIfTI and NRRD are: whose they are and what, by their folders and names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from polyscan.dicom.pixels import name_of
from polyscan.dicom.series import ONE_SLICE
from polyscan.dicom.usual import is_roughly_reconstructed
from polyscan.discovery.bids import Named, named_in
from polyscan.discovery.candidate import Candidate, coarsely
from polyscan.discovery.channels import case_of
from polyscan.discovery.sidecar import header_beside, with_sidecar
from polyscan.discovery.visits import Owner, visit_of
from polyscan.discovery.whose import bare, subject_in
from polyscan.errors import PolyscanError
from polyscan.formats.bids_pet import says_suv
from polyscan.formats.endings import stem_of
from polyscan.formats.read import open_volume
from polyscan.geometry import spacing_of

_SHARP = re.compile(r"(?<![a-z])(?:bones?|knochen|lungs?|lunge|sharp|edge)(?![a-z])", re.IGNORECASE)
_POST = re.compile(r"(?<![a-z])(?=post(?![a-z]))", re.IGNORECASE)
_SESSION = re.compile(r"(?:^|_)ses-([A-Za-z0-9]+)")


def owner_of(folder: Path, path: Path) -> Owner:
    """Whose a volume under a folder is."""
    relative = path.relative_to(folder)
    if case := case_of(path):
        return Owner("-".join((*relative.parts[:-2], case.name)), None, "", True)
    told, session = subject_in(path.name), _SESSION.search(path.name)
    subject = told or bare(relative.parts[0] if len(relative.parts) > 1 else folder.name)
    above, _, below = relative.as_posix().partition("/")
    # What lies right under the scanned folder is a subject, unless folders in it turn out to be.
    visit = visit_of(below or above) or (visit_of(f"{above}/") if "/" in below else "")
    return Owner(subject, session[1] if session else None, "" if session else visit, told is not None)


def volume_candidates(folder: Path, path: Path) -> list[Candidate]:
    """What a volume under a folder is, or each of its channels where a ``dataset.json`` tells of several.

    Its header is read, and one that cannot be used is left out with the reason.
    """
    if case := case_of(path):
        told = case.named()
    else:
        told = [with_sidecar(named_in(path.relative_to(folder).parts[:-1], path.name), path)]
    numbers = [f"#{number}" for number in range(1, len(told) + 1)] if len(told) > 1 else [""]
    return [_candidate(folder, path, number, each) for number, each in zip(numbers, told, strict=True)]


def _candidate(folder: Path, path: Path, number: str, told: Named) -> Candidate:
    name, source = f"{path.relative_to(folder).as_posix()}{number}", f"{path}{number}"
    one = Candidate("", None, told.modality, told.reason, source, name, label=told.label, by_folder=told.by_folder)
    if told.modality is None and not told.label:
        return one
    try:
        volume = open_volume(source)
    except PolyscanError as error:
        said = str(error).replace(str(path), path.name).replace(name_of(path), path.name)  # where it lies is its name
        return replace(one, modality=None, reason=said, label=False, meant=None if told.label else told.modality)
    if min(volume.shape) < 2:
        return replace(one, modality=None, reason=f"{one.reason}; {ONE_SLICE}", label=False)
    voxel = coarsely(spacing_of(volume.affine).prod())
    # Of several PET volumes that which says that it is in SUV.
    other_unit = told.modality == "PET" and not says_suv(path.name)
    # One of the slices of a functional series comes after one of the whole head, however small its pixels are.
    unusual = float(told.derived + told.by_folder) + other_unit + ("inplane" in path.name)
    # T1.nii goes before "T1 (1).nii" and steps/T1.nii, run-2 before run-10, and pre before post.
    called = f"{len(path.parts)} {path.with_name(stem_of(path.name))}{number}"
    in_order = re.sub(r"\d+", lambda found: found[0].zfill(12), _POST.sub("~", called))
    rank = (unusual, voxel, -volume.shape[-1], told.modality == "CT" and _is_sharp(path), in_order)
    space = told.entities.get("space")
    reason = "; ".join([one.reason, *_elsewhere(path.relative_to(folder), told.entities)])
    return replace(one, reason=reason, rank=rank, shape=volume.shape, affine=volume.affine, space=space)


def _is_sharp(path: Path) -> bool:
    """Whether a CT was reconstructed for lungs or bones, by its name or its sidecar."""
    if _SHARP.search(stem_of(path.name)):
        return True
    header = header_beside(path)
    return header is not None and is_roughly_reconstructed(header)


def _elsewhere(path: Path, entities: Mapping[str, str]) -> list[str]:
    """That the folders of a file name another subject or session of BIDS than its own name, which is believed."""
    return [
        f"it lies in {folder}, and is {entity}-{entities[entity]}'s by its name"
        for entity in ("sub", "ses")
        for folder in path.parts[:-1]
        if entity in entities and folder.startswith(f"{entity}-") and folder != f"{entity}-{entities[entity]}"
    ]
