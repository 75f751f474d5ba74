"""How scans were prepared, from the records of studies and the sidecars of their scans."""

from __future__ import annotations

import pydoc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.files.atomic import read_json
from polyscan.geometry import spacing_of
from polyscan.methods.text import Text, counted, enumerated, size
from polyscan.modality import modality
from polyscan.study import Study
from polyscan.study.made import preparation_of

SECTION = "Preparation"
_NOT_REGISTERED = "not registered: "


@dataclass(frozen=True)
class Done:
    """What one step did to one scan.

    Attributes:
        study: whose scan it is.
        scan: its key.
        what: entry of the sidecar.
    """

    study: Study
    scan: str
    what: dict[str, Any]


def tell_preparation(text: Text, studies: Sequence[Study]) -> dict[str, str]:
    """Say what was done to the scans of prepared studies, step by step.

    Returns:
        Package to the version that a step was done with.
    """
    prepared = [study for study in studies if study.preparation is not None]
    if not prepared:
        return {}
    patients = len({study.subject for study in prepared})
    protocols = Counter(study.preparation.protocol for study in prepared if study.preparation)
    named = enumerated(
        f"{name} ({counted(n, 'study')})" if len(protocols) > 1 else name for name, n in protocols.items()
    )
    text.say(
        SECTION,
        f"{counted(len(prepared), 'study')} of {counted(patients, 'patient')} "
        f"{'was' if len(prepared) == 1 else 'were'} prepared by the polyscan protocol {named}.",
        _acquired(prepared),
    )
    steps = _steps(prepared)
    for name, done in steps.items():
        if name in _SENTENCES:
            sentence, source = _SENTENCES[name]
            text.say(SECTION, f"{sentence.format(_scans(done))}{text.cite(pydoc.locate(source))}.")
        else:
            text.say(SECTION, *_TELLERS.get(name, _other)(text, done))
    text.say(SECTION, _trusted(text, prepared))
    return dict(
        each.what["package"].rsplit(" ", 1) for done in steps.values() for each in done if "package" in each.what
    )


def _steps(studies: Sequence[Study]) -> dict[str, list[Done]]:
    """Step to what it did to each scan, in the order of the protocol: that of scans with the most steps."""
    read = [
        (study, name, read_json(Path(scan.sidecar)).get("Steps", []))
        for study in studies
        for name, scan in study.scans.items()
        if scan.sidecar is not None and Path(scan.sidecar).is_file()
    ]
    order = dict.fromkeys(step["name"] for *_, each in sorted(read, key=lambda scan: -len(scan[2])) for step in each)
    steps: dict[str, list[Done]] = {name: [] for name in order}
    for study, name, each in read:
        for step in each:
            steps[step["name"]].append(Done(study, name, step))
    return steps


def _acquired(studies: Sequence[Study]) -> str:
    """How many studies have each scan, and the spacing that it was acquired at."""
    spacings: dict[str, list[np.ndarray]] = defaultdict(list)
    for study in studies:
        for name, grid in preparation_of(study).grids.items():
            spacings[name].append(spacing_of(grid.affine))
    told = [f"{name} in {len(each)} ({size(np.median(each, axis=0), 'mm')})" for name, each in spacings.items()]
    return f"Scans, with the median spacing that they were acquired at, were {enumerated(told)}." if told else ""


def _scans(done: Sequence[Done]) -> str:
    return enumerated(dict.fromkeys(each.scan for each in done))


def _as_many(done: Sequence[Done]) -> str:
    return f"{counted(len(done), 'scan')} ({_scans(done)})"


def _were(done: Sequence[Done]) -> str:
    return "was" if len(done) == 1 else "were"


def _grouped(done: Sequence[Done], entry: str) -> dict[Any, list[Done]]:
    groups: dict[Any, list[Done]] = defaultdict(list)
    for each in done:
        groups[each.what.get(entry)].append(each)
    return groups


def _read(text: Text, done: Sequence[Done]) -> list[str]:
    units = _grouped(done, "unit")
    told = [f"{'arbitrary units' if unit == 'arbitrary' else unit} ({_scans(each)})" for unit, each in units.items()]
    mended = sum(bool(each.what.get("repaired")) for each in done)
    return [
        f"Values were read in {enumerated(told)}.",
        f"In {counted(mended, 'scan')} irregularities were mended on reading; sidecars tell which." if mended else "",
    ]


def _register(text: Text, done: Sequence[Done]) -> Iterator[str]:
    from polyscan.registration.mutual_information import evaluate

    if tried := [each for each in done if "trusted" in each.what]:
        used = [f"{name}{text.cite(_engine(name))}" for name in _grouped(tried, "engine") if name is not None]
        engine = f" by the engine {enumerated(used)}" if used else ""
        yield (
            f"{_as_many(tried)} {_were(tried)} registered rigidly to the reference ({_references(tried)}){engine}, "
            f"from many poses, by maximising mutual information{text.cite(evaluate)}."
        )
        yield _measures(tried)
        kept = [each for each in tried if not each.what["trusted"]]
        yield f"Of these, {_as_many(kept)} stayed where headers put them, for want of trust." if kept else ""
    for result, each in _grouped([e for e in done if "trusted" not in e.what], "result").items():
        why = str(result).removeprefix(_NOT_REGISTERED)
        yield f"{_as_many(each)} {_were(each)} not registered: {why}."


def _trusted(text: Text, studies: Sequence[Study]) -> str:
    """How many registrations were used, those of scans that were left out among them."""
    from polyscan.registration import trust

    found = [each for study in studies if study.preparation for each in study.preparation.registrations.values()]
    if not found:
        return ""
    used = sum(each.trusted for each in found)
    return f"Of {counted(len(found), 'registration')}, {used} could be trusted by failure measures{text.cite(trust)}."


def _engine(name: str) -> Any:
    """What follows a pose, whose docstring names its papers."""
    from polyscan.registration import ascent, backends

    return {"torch": ascent.ascend, "elastix": backends.elastix, "simpleitk": backends.simpleitk}[name]


def _references(done: Sequence[Done]) -> str:
    counts = Counter(
        study.preparation.reference for study in {e.study.key: e.study for e in done}.values() if study.preparation
    )
    return enumerated(f"{name} in {n}" for name, n in counts.items()) if len(counts) > 1 else next(iter(counts))


def _measures(tried: Sequence[Done]) -> str:
    """Medians of what trust was decided by, of the registrations that were used."""
    measures = [each.what["measures"] for each in tried if each.what["trusted"] and "measures" in each.what]
    if not measures:
        return ""
    names = list(measures[0])
    return f"Medians of the used ones: {enumerated(f'{n} {np.median([m[n] for m in measures]):.3g}' for n in names)}."


def _resample(text: Text, done: Sequence[Done]) -> list[str]:
    from polyscan.preprocess import spline

    told = []
    for how, each in _grouped(done, "interpolation").items():
        count = _as_many(each)
        if how == "untouched":
            told.append(f"{count} lay on the common grid already and stayed as acquired.")
        elif str(how).startswith("none"):
            told.append(f"{count} kept the grid of acquisition, moved by the affine alone.")
        else:
            told.append(f"{count} came to the common grid with one interpolation: {how}{text.cite(spline)}.")
    smoothed = [each for each in done if "point_spread" in each.what]
    told += [
        f"{_as_many(each)} {_were(each)} {how} before." for how, each in _grouped(smoothed, "point_spread").items()
    ]
    return [
        *told,
        "What lay outside a scan's field of view was marked as missing."
        if _grouped(done, "outside").get("NaN")
        else "",
    ]


def _body(text: Text, done: Sequence[Done]) -> Iterator[str]:
    """Air and body are told apart by a fixed value where there is a unit, otherwise by what each scan holds."""
    from polyscan.preprocess import mask

    units: dict[str, list[Done]] = defaultdict(list)
    for each in done:
        units[modality(each.scan).unit].append(each)
    for unit, scans in units.items():
        how = "above -500 HU" if unit == "HU" else f"by Otsu's threshold{text.cite(mask.foreground)}"
        yield f"The body was found in the reference ({_scans(scans)}) {how}."


def _mask(text: Text, done: Sequence[Done]) -> Iterator[str]:
    from polyscan.preprocess import atlas

    for method, each in _grouped(done, "method").items():
        if method == "body":
            yield from _body(text, each)
        elif method == "given":
            yield "A mask of the brain was given with each study."
        else:
            source = atlas.atlas_brain_mask if method == "atlas" else str(method)
            yield f"The brain was found in the reference ({_scans(each)}) by {method}{text.cite(source)}."


def _z_score(text: Text, done: Sequence[Done]) -> Iterator[str]:
    for robust, each in _grouped(done, "robust").items():
        what = "median 0 and median absolute deviation 1" if robust else "mean 0 and standard deviation 1"
        yield f"{_scans(each)} got {what} inside the mask."


def _other(text: Text, done: Sequence[Done]) -> list[str]:
    """A step of a protocol's own: its name and the settings that all scans share."""
    first = done[0].what
    shared = [name for name in first if name != "name" and all(each.what.get(name) == first[name] for each in done)]
    settings = ", ".join(f"{name} {first[name]}" for name in shared)
    return [f"{_scans(done)} went through the step {first['name']}{f' ({settings})' if settings else ''}."]


_TELLERS: dict[str, Callable[[Text, Sequence[Done]], Iterable[str]]] = {
    "read": _read,
    "register": _register,
    "resample": _resample,
    "mask": _mask,
    "z-score": _z_score,
}
_SENTENCES = {
    "bias field": ("The bias field of {} was removed by N4", "polyscan.preprocess.bias.bias_field"),
    "histogram standard": (
        "{} came to the standard scale of a cohort",
        "polyscan.preprocess.normalize.HistogramStandard",
    ),
    "whiten": ("{} were whitened together", "polyscan.preprocess.normalize.Whitening"),
}
"""Step to what is said of the scans that it did, and what names its papers."""
