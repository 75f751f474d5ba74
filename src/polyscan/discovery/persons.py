"""Folders that hold several patients though no name says so, as ``HGG`` does of ``HGG/anna/T1.nii.gz``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise

from polyscan.dicom.words import told
from polyscan.discovery.bids import visit_of
from polyscan.discovery.patients import bare, words_of_whom

_COMMON = 2  # modalities that two folders both hold, where they are two patients'; one may be a repeated series
# What names of folders say of how the scans in them were processed, and not whose they are.
_PROCESSED = re.compile(
    r"(?:native|orig(?:inal)?s?|pre|post|(?:pre|post)?-?proc\w*|registered|reg|co-?reg\w*|aligned|bet|(?:skull)?strip\w*|"
    r"skull|n4\w*|bias\w*|norm\w*|resampled|iso\w*|mni\w*|atlas|space|deriv\w*|output|out|results?|nii|nifti|nrrd|mha|gz|"
    r"backup|old|new|tmp|temp|masks?|labels?|deface\w*|cropped|final|v\d+|run\d*|acq\d*|\d*mm)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Place:
    """Where a volume lies, under the folder that is scanned.

    Attributes:
        file: its number.
        folders: from the one right under the scanned folder on.
        stem: its name without ending.
        modality: that it is a scan of; None of masks and of what is not known.
    """

    file: int
    folders: tuple[str, ...]
    stem: str
    modality: str | None


def persons_among(places: Iterable[Place]) -> tuple[dict[int, str], list[str]]:
    """Volumes that are another's than the folder right under the scanned one says.

    A folder holds several patients where folders in it have names that do not say which scans lie in them, at which
    visit or how they were processed, and at least two modalities in common, so that no study is put together from scans
    of two patients. Files right in the scanned folder are several patients' by the same rule on what their names begin
    with.

    Args:
        places: of all volumes whose names do not say whose they are, as ``sub-`` of BIDS does.

    Returns:
        File to the subject, named by the innermost such folder, with the outer ones where that name serves two; and a
        sentence for each folder that was taken apart.
    """
    named, kept = dict[int, tuple[str, ...]](), list[Place]()
    for place in places:
        names = tuple(filter(_tells_whom, place.folders))
        if not names or names != place.folders[:1]:  # else it is that folder's, whatever the others are
            named[place.file] = names
            kept.append(place)
    whose: dict[int, tuple[str, ...]] = {}
    tops: dict[str, list[Place]] = defaultdict(list)
    for place in kept:
        tops[place.folders[0] if place.folders and named[place.file][:1] == place.folders[:1] else ""].append(place)
    for top, inside in tops.items():
        _take_apart(inside, named, (top,) if top else (), whose)
    whose |= _by_files([place for place in tops[""] if not named[place.file]])
    counts = Counter(path[-1].casefold() for path in set(whose.values()))
    subjects = {
        file: bare(path[-1]) if counts[path[-1].casefold()] == 1 else "-".join(map(bare, path))
        for file, path in whose.items()
    }
    outer = {path[:-1]: sorted({p[-1] for p in whose.values() if p[:-1] == path[:-1]}) for path in whose.values()}
    doubts = [
        f"{'/'.join(path) or 'The scanned folder'} holds several patients by the names in it: {', '.join(names[:3])}"
        f"{', ...' if len(names) > 3 else ''}, which have modalities in common. If they are one patient's, keep one."
        for path, names in sorted(outer.items())
    ]
    return subjects, doubts


def _take_apart(
    places: Iterable[Place],
    named: dict[int, tuple[str, ...]],
    above: tuple[str, ...],
    whose: dict[int, tuple[str, ...]],
) -> None:
    """Note of the volumes under some folders whose they are, where the next folders are several patients'."""
    children: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        below = named[place.file][len(above) :]
        if below:
            children[below[0]].append(place)
    if not _share(children.values()):
        return
    for name, inside in children.items():
        whose.update({place.file: (*above, name) for place in inside})
        _take_apart(inside, named, (*above, name), whose)


def _by_files(places: Iterable[Place]) -> dict[int, tuple[str, ...]]:
    """Whose files are that lie beside each other, as ``anna_T1.nii.gz`` and ``bob_T1.nii.gz`` do."""
    groups: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for place in places:
        groups[_words(place.stem)].append(place)
    names = sorted(groups)
    begins = any(longer[: len(name)] == name for name, longer in pairwise(names))
    if begins or not _share(groups.values()):
        return {}
    return {place.file: ("-".join(name),) for name, inside in groups.items() for place in inside}


def _share(groups: Iterable[Iterable[Place]]) -> bool:
    """Whether two groups have so many modalities in common."""
    kinds = ({place.modality for place in group if place.modality} for group in groups)
    together = Counter(some for each in kinds for some in combinations(sorted(each), _COMMON))
    return any(count > 1 for count in together.values())


@lru_cache(maxsize=4096)
def _tells_whom(folder: str) -> bool:
    said = told(folder)
    return said.modality is None and not said.other and not visit_of(folder) and bool(_words(folder))


def _words(name: str) -> tuple[str, ...]:
    return tuple(word for word in words_of_whom(name) if not _PROCESSED.fullmatch(word))
