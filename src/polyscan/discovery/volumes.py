"""Volumes in files of their own, as NIfTI and NRRD are: whose they are and what, by their folders and names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from polyscan.dicom.pixels import name_of
from polyscan.discovery.bids import Named, named, visit_of
from polyscan.discovery.candidate import Candidate
from polyscan.discovery.whose import bare
from polyscan.errors import PolyscanError
from polyscan.formats.read import open_volume
from polyscan.geometry import spacing_of


@dataclass(frozen=True)
class Owner:
    """Whose a volume is, by the names of its folders and file.

    Attributes:
        subject: ``sub-`` of BIDS, else the folder right under the one that is scanned.
        session: ``ses-`` of BIDS.
        visit: a word such as ``visit2``, which is a session only where the subject has several.
        named: whether the file's own name tells the subject.
    """

    subject: str
    session: str | None
    visit: str
    named: bool = field(default=False, compare=False)


def owner_of(folder: Path, path: Path) -> Owner:
    """Whose a volume under a folder is."""
    relative = path.relative_to(folder)
    entities = dict(re.findall(r"(sub|ses)-([A-Za-z0-9]+)", path.name))
    subject = entities.get("sub") or bare(relative.parts[0] if len(relative.parts) > 1 else folder.name)
    above, _, below = relative.as_posix().partition("/")
    # What lies right under the scanned folder is a subject, unless folders in it turn out to be.
    visit = visit_of(below or above) or (visit_of(above) if "/" in below else "")
    visit = "" if "ses" in entities else visit
    return Owner(subject, entities.get("ses"), visit, "sub" in entities)


def sessions_of(found: Iterable[Owner]) -> dict[Owner, str | None]:
    """The session of each owner: a word such as study1 tells visits apart only where there are several."""
    found = list(found)
    visits: dict[str, set[str]] = defaultdict(set)
    for owner in found:
        visits[owner.subject] |= {owner.visit} - {""}
    alone = {subject for subject, words in visits.items() if len(words) == 1}
    return {o: o.session or (None if o.subject in alone else o.visit or None) for o in found}


def volume_candidate(folder: Path, path: Path) -> Candidate:
    """What a volume under a folder is; its header is read, and one that cannot be used is left out with the reason."""
    told: Named = named(path.name)
    name = path.relative_to(folder).as_posix()
    one = Candidate("", None, told.modality, told.reason, str(path), name, label=told.label)
    if told.modality is None and not told.label:
        return one
    try:
        volume = open_volume(path)
    except PolyscanError as error:
        said = str(error).replace(str(path), path.name).replace(name_of(path), path.name)  # where it lies is its name
        return replace(one, modality=None, reason=said, label=False)
    voxel = round(float(spacing_of(volume.affine).prod()), 3)
    rank = (told.derived, voxel, -volume.shape[-1], str(path))
    space = told.entities.get("space")
    return replace(one, rank=rank, shape=volume.shape, affine=volume.affine, space=space)
