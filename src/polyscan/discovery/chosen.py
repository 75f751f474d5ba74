"""Which of the candidates of a study become its scans and its label, and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from polyscan.discovery.bids import BY_AGENT
from polyscan.discovery.candidate import Candidate
from polyscan.formats.endings import stem_of
from polyscan.modality import by_precedence
from polyscan.study import Decision, Label, Scan, Study

_NUMBERED = re.compile(r"(?P<series>.*[-_])(?P<number>\d+)")
_CORRECTED = re.compile(r"(?P<of>.+?)_(?:Tilt_Eq|Tilt|Eq)(?:_\d+)?")
_ELSEWHERE = "another {} of its study lies in another place, which is not read"
BY_NAME = "is later, lies in fewer folders, or comes first by its name"
# A mask of which nothing tells what it shows: it may be that of the brain.
ANY_MASK = re.compile(r"(?!.*(?:lesion|tumou?r|gtv|roi|seg)).*(?:^|[_\W])mask$", re.IGNORECASE)
_OF_ANATOMY, _OF_ANYTHING = re.compile("_probseg$|^aseg|^aparc"), re.compile("_dseg$|^mask$")
# A label of a program comes after a reader's.
_AUTOMATIC = re.compile(r"(?<![^\W_])(?:auto(?:mat(?:ed|ic))?|ai)(?![^\W_])", re.IGNORECASE)
# What the parts of a rank say, where they differ, of the scan that is taken.
_RANKS = (
    "has a label that was drawn on it",
    "is nearer to what is usual: an original scan, no phase of a cycle, no later pass, no single energy, b = 1000, SUV",
    "has finer voxels ({mine:g} and {others:g} mm3)",
    "has more slices",
    "has a softer kernel, or was corrected for distortion",
    BY_NAME,
)


def study_of(subject: str, session: str | None, candidates: list[Candidate]) -> Study:
    """The study that candidates make: of each modality the scan that is taken, and a label; ``decisions`` says why."""
    study = Study(subject, session)
    decisions = study.decisions
    candidates = _without_uncorrected(_without_counted(_without_unnamed(candidates)))
    candidates = _without_anatomy(_without_lone_agent(candidates))
    labelled = [c.on for c in candidates if c.label and c.on is not None]
    taken: dict[str, Candidate] = {}
    notes: dict[str, list[str]] = {}
    scans = [replace(c, rank=(c.source not in labelled, *c.rank)) for c in candidates if c.modality and not c.label]
    for c in sorted(scans, key=_order):
        assert c.modality is not None
        first = taken.setdefault(c.modality, c)
        noted = notes.setdefault(c.modality, [*first.notes])
        reason = c.reason if first is c else f"{c.reason}; {first.name} {_better(first.rank, c.rank)}"
        if c.lies_beside(first):
            reason += ", and lies in another place"
            noted += [_ELSEWHERE.format(c.modality)] if _ELSEWHERE.format(c.modality) not in noted else []
        decisions.append(Decision(c.name, c.modality, first is c, reason))
    study.scans = {name: Scan(taken[name].source, notes=notes[name]) for name in sorted(taken)}
    drawn = [_placed(c, taken) for c in candidates if c.label]
    labels = [c for c in drawn if _is_on_taken(c, taken)]
    order = by_precedence(taken)
    labels.sort(key=lambda c: (_doubtful(c.name), order.index(str(c.modality))))
    for rank, c in enumerate(labels):
        if rank == 0:
            study.label = Label(str(c.source), c.modality)
        reason = c.reason if rank == 0 else f"{c.reason}; {labels[0].name} is taken"
        decisions.append(Decision(c.name, f"label on {c.modality}", rank == 0, reason))
    for c in (c for c in drawn if not _is_on_taken(c, taken)):
        decisions.append(Decision(c.name, f"label on {c.modality}" if c.modality else None, False, c.reason))
    for c in (c for c in candidates if not c.label and c.modality is None):
        decisions.append(Decision(c.name, c.meant, False, c.reason))
    frames = [frame for c in taken.values() if (frame := _frame(c))]
    common, shared = Counter(frames).most_common(1)[0] if frames else ("", 0)
    study.aligned = [name for name in study.scans if _frame(taken[name]) == common] if shared > 1 else []
    return study


def _doubtful(label: str) -> tuple[bool, bool]:
    """Whether a label was made by a program, and whether nothing tells what it shows, by its name."""
    return _AUTOMATIC.search(label) is not None, ANY_MASK.match(stem_of(label)) is not None


def _without(candidates: list[Candidate], why: Mapping[int, str]) -> list[Candidate]:
    """Candidates of which some are left out, with the reason against each by its place in the list."""
    return [replace(c, modality=None, label=False, reason=why[k]) if k in why else c for k, c in enumerate(candidates)]


def _without_unnamed(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without those that a folder alone tells the modality of and that lie beside others of its kind."""
    beside: dict[PurePosixPath, list[int]] = defaultdict(list)
    for k, c in enumerate(candidates):
        if c.by_folder and c.modality:
            beside[PurePosixPath(c.name).parent].append(k)
    why = (
        "one of {} volumes in a folder called after a modality, of which no name tells which is the scan: call it "
        "after the modality"
    )
    several = [places for places in beside.values() if len(places) > 1]
    return _without(candidates, {k: why.format(len(places)) for places in several for k in places})


def _without_counted(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without the volumes of a diffusion series that names count from 0: the first is mostly b = 0."""
    counted: dict[str, dict[int, int]] = defaultdict(dict)
    for k, c in enumerate(candidates):
        name = _NUMBERED.fullmatch(stem_of(PurePosixPath(c.name).name))
        if name and c.modality == "DWI" and not c.label:
            counted[name["series"]][k] = int(name["number"])
    why = "one of {} diffusion volumes, of which nothing tells the b-value: to use it name it in the manifest"
    series = [numbers for numbers in counted.values() if len(numbers) > 1 and 0 in numbers.values()]
    return _without(candidates, {k: why.format(len(numbers)) for numbers in series for k in numbers})


def _without_uncorrected(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without those of which a converter wrote a corrected one beside them.

    dcm2niix calls those ``X_Eq_1`` whose slices it brought to equal steps, and ``X_Tilt_1`` which it straightened.
    """
    scans = {k: c.name for k, c in enumerate(candidates) if c.modality and not c.label}
    names = {found["of"]: name for name in scans.values() if (found := _CORRECTED.fullmatch(stem_of(name)))}
    corrected = {stem: PurePosixPath(name).name for stem, name in names.items()}
    why = "slices that are tilted or lie at unequal steps: {} is corrected"
    beside = {k: corrected[stem_of(name)] for k, name in scans.items() if stem_of(name) in corrected}
    return _without(candidates, {k: why.format(name) for k, name in beside.items()})


def _without_lone_agent(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without those called CT1 or Gado where no T1 lies beside them, which tells that they are T1c."""
    beside = {PurePosixPath(c.name).parent for c in candidates if c.modality == "T1" and not c.label}
    alone = [k for k, c in enumerate(candidates) if c.reason == BY_AGENT and PurePosixPath(c.name).parent not in beside]
    return _without(candidates, dict.fromkeys(alone, f"{BY_AGENT}, and no T1 lies beside it: call it T1c or CT"))


def _without_anatomy(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without segmentations that name nothing and lie beside those of the anatomy, as FreeSurfer has them.

    So lie those of BIDS beside the probabilities of tissues that they were made of.
    """
    names = [PurePosixPath(c.name) for c in candidates]
    beside = {name.parent for name in names if _OF_ANATOMY.search(stem_of(name.name))}
    made = [k for k, name in enumerate(names) if _OF_ANYTHING.search(stem_of(name.name)) and name.parent in beside]
    return _without(candidates, dict.fromkeys(made, "a segmentation of the anatomy: others of it lie beside it"))


def _placed(label: Candidate, taken: Mapping[str, Candidate]) -> Candidate:
    """A label with the scan that it was drawn on: what its name tells, else the one on whose grid it lies."""
    if _is_on_taken(label, taken):
        return label
    if label.modality in taken:
        return replace(label, reason=f"{label.reason}, on another one than is taken")
    on = [name for name in by_precedence(taken) if label.on_grid_of(taken[name])]
    if on:
        return replace(label, modality=on[0], reason=f"it lies on the grid of {', '.join(on)}")
    if label.modality is not None:
        return replace(label, reason=f"drawn on {label.modality} ({label.reason}), of which no scan is taken")
    why = "and it lies on the grid of none that is taken" if label.shape else ""
    return replace(label, reason=" ".join(filter(None, [label.reason, why])))


def _is_on_taken(label: Candidate, taken: Mapping[str, Candidate]) -> bool:
    """Whether a scan that is taken is the one that a label was drawn on, as far as that is known."""
    scan = taken.get(label.modality or "")
    return scan is not None and label.on in (None, scan.source)


def _frame(candidate: Candidate) -> str | None:
    """What scans have in common that lie in one space: the frame of reference of DICOM, ``space-`` of BIDS."""
    return candidate.frame or (f"space-{candidate.space}" if candidate.space else None)


def _order(candidate: Candidate) -> tuple:
    """What sorts scans of one modality; of equals DICOM, whose last part begins with a bracket, before files."""
    return (*candidate.rank[:-1], "".join(map(str, candidate.rank[-1:])))


def _better(taken: tuple, other: tuple) -> str:
    """Why one scan was taken before another of its modality: the first thing in which they differ."""
    for name, mine, others in zip(_RANKS, taken, other, strict=False):
        if mine != others:
            return name.format(mine=mine, others=others)
    return "comes first by its name"
