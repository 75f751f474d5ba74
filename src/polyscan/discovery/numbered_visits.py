"""Visits that only numbers in the names of one patient's volumes tell, as ``RHUH-0001/0`` and ``P01_V2_T1`` do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from polyscan.discovery.persons import Place, share
from polyscan.errors import first_of

_COUNTED = re.compile(r"\d+|[mvwdy]\d{1,3}", re.IGNORECASE)
_LETTERED = re.compile(r"[mtvwdy]\d")
_FOLDER = re.compile(r"t\d{1,2}", re.IGNORECASE)  # a time point; in the name of a file a contrast
_FILE = re.compile(r"scan\d{1,2}", re.IGNORECASE)  # of folders of that name one is taken and said


def numbered_visits(persons: Mapping[str, Iterable[Place]]) -> tuple[dict[int, str], list[str]]:
    """Which visit the volumes of patients are of, where two sets of scans differ in numbers only.

    Two sets have two modalities in common, or one where a letter before the number says that it counts visits, days,
    weeks, months or years. One modality twice is a series that was repeated.

    Args:
        persons: subject to the volumes that are his and tell no visit otherwise.

    Returns:
        File to the visit, and a sentence on all patients who have such.
    """
    visit_of: dict[int, str] = {}
    several = []
    for person, places in persons.items():
        numbers = {place: _numbers(place) for place in places}
        scans = [set(found) for place, found in numbers.items() if place.modality]
        common = set.intersection(*scans) if scans else set()
        own = {place: [number for number in found if number not in common] for place, found in numbers.items()}
        lettered = {place: [number for number in found if _LETTERED.match(number)] for place, found in own.items()}
        for told, least in ((lettered, 1), (own, 2)):
            sets: dict[str, list[Place]] = defaultdict(list)
            for place, found in told.items():
                if found:
                    sets[found[0]].append(place)
            scanned = {number: inside for number, inside in sets.items() if any(place.modality for place in inside)}
            if share(scanned.values(), least):
                visit_of |= {place.file: number for number, inside in scanned.items() for place in inside}
                several.append(f"{person} ({first_of(sorted(scanned))})")
                break
    return visit_of, [
        f"Scans whose names differ in numbers only are taken as visits: of {first_of(sorted(several))}. If they were "
        "repeated at one visit, keep one."
    ] * bool(several)


def _numbers(place: Place) -> list[str]:
    """The numbers in the names of a volume and its folders, each once."""
    folders = [name for name in place.folders if _COUNTED.fullmatch(name) or _FOLDER.fullmatch(name)]
    words = [word for word in re.split(r"[\W_]+", place.stem) if _COUNTED.fullmatch(word) or _FILE.fullmatch(word)]
    return [*dict.fromkeys(map(str.casefold, [*folders, *words]))]
