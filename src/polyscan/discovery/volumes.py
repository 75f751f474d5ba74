"""Volumes in files of their own, as NIfTI and NRRD are: whose they are and what, by their folders and names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from polyscan.discovery.bids import Named, named, visit_of
from polyscan.discovery.candidate import Candidate
from polyscan.discovery.patients import bare
from polyscan.errors import PolyscanError
from polyscan.formats.read import open_volume
from polyscan.geometry import spacing_of


def volume_candidates(folder: Path, files: Sequence[Path]) -> list[Candidate]:
    """What the volumes under a folder are.

    The subject is named by ``sub-`` of BIDS, else by the folder right under ``folder``; the session by ``ses-`` or a
    word such as ``visit2``. Of each file the header is read: one that cannot be used is left out with the reason.
    """
    found = []
    visits: dict[str, set[str]] = defaultdict(set)
    for path in files:
        relative = path.relative_to(folder)
        entities = dict(re.findall(r"(sub|ses)-([A-Za-z0-9]+)", path.name))
        subject = entities.get("sub") or bare(relative.parts[0] if len(relative.parts) > 1 else folder.name)
        visit = "" if "ses" in entities else visit_of(relative.as_posix().removeprefix(f"{relative.parts[0]}/"))
        visits[subject] |= {visit} - {""}
        one = _candidate(path, relative.as_posix(), subject, entities.get("ses") or visit or None)
        found.append((one, bool(visit)))
    # A word such as study1 tells visits apart only where there are several: one alone is no session.
    return [replace(c, session=None) if by_word and len(visits[c.subject]) == 1 else c for c, by_word in found]


def _candidate(path: Path, name: str, subject: str, session: str | None) -> Candidate:
    told: Named = named(path.name)
    one = Candidate(subject, session, told.modality, told.reason, str(path), name, label=told.label)
    if told.modality is None and not told.label:
        return one
    try:
        volume = open_volume(path)
    except PolyscanError as error:
        return replace(one, modality=None, reason=str(error), label=False)
    voxel = round(float(spacing_of(volume.affine).prod()), 3)
    rank = (told.derived, voxel, -volume.shape[-1], str(path))
    space = told.entities.get("space")
    return replace(one, rank=rank, shape=volume.shape, affine=volume.affine, space=space)
