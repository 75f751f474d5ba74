"""What only the series of a study together tell of each: contrast agents, frames and passes in time, tracers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace

from pydicom import Dataset

from polyscan.dicom.agent import after_contrast, agent_given
from polyscan.dicom.apart import grouped
from polyscan.dicom.attributes import items, number, terms, text
from polyscan.dicom.diffusion import b_value
from polyscan.dicom.series import Series
from polyscan.dicom.usual import far_from_usual, is_phase_or_energy, is_roughly_reconstructed
from polyscan.dicom.words import REFORMATTED, Told, is_agent_by_pass

_TIMES = ("NumberOfTimeSlices", "NumberOfTimeSlots", "NumberOfRRIntervals")  # of PET, each 1 where it is static
_ALL = 4  # series, the first of which come before any agent
_FOR_ALL = "a contrast agent is written down for every series of the study"
_BEFORE = "check that it was given before this one"
_PERFUSION = 4  # series in time; three may be phases of a contrast agent


def told_together(volumes: list[Series]) -> list[Series]:
    """The volumes in their order, as all of them tell what each is."""
    for rule, kind in (
        (_contrast_in_time, _study),
        (_of_passes_by_number, _study),
        (_with_lone_reformats, _study),
        (_without_frames, _examination),
        (_without_unknown_b, _series_of_unknown_b),
        (_of_series_in_time, _name_and_place),
        (_of_several_tracers, _study_of_pet),
        (_of_several_times, _study_of_pet),
        (_of_contrast_phases, _study_of_ct),
        (_of_other_names, _place_and_rank),
    ):
        volumes = _by_rule(volumes, rule, kind)
    return [_of_several_passes(series) for series in volumes]


def _by_rule(
    volumes: list[Series], rule: Callable[[list[Series]], list[Series]], kind: Callable[[Series], Hashable | None]
) -> list[Series]:
    """The volumes in their order, all of one kind as a rule changes them together; those of none as they are."""
    changed: dict[int, Series] = {}
    for of_kind, members in grouped(enumerate(volumes), lambda member: kind(member[1])).items():
        places, together = zip(*members, strict=True)
        changed |= zip(places, together if of_kind is None else rule(list(together)), strict=True)
    return [changed[place] for place in range(len(volumes))]


def _uid(series: Series) -> str:
    return text(series.headers[0], "SeriesInstanceUID")


def _study(series: Series) -> str:
    return text(series.headers[0], "StudyInstanceUID")


def _contrast_in_time(study: list[Series]) -> list[Series]:
    """T1 that was acquired after a contrast agent was given, in the same study, is T1c."""
    told = after_contrast([(series.headers, series.modality, series.reason) for series in study])
    if len({*map(_uid, study)}) >= _ALL and all(agent_given(series.headers[0], Told()) for series in study):
        return [series.noted(_FOR_ALL, advice=_BEFORE) if series.modality == "T1c" else series for series in study]
    return [
        replace(series, modality="T1c", reason=f"{series.reason}; {reason}") if reason else series
        for series, reason in zip(study, told, strict=True)
    ]


def _of_passes_by_number(study: list[Series]) -> list[Series]:
    """A T1c that only the number of its pass tells says so, where nothing in the study tells of a contrast agent."""
    if any(agent_given(series.headers[0], Told()) for series in study):
        return study
    said = "only the number of its pass tells of a contrast agent"
    return [
        series.noted(said, advice="check that one was given")
        if series.modality == "T1c" and is_agent_by_pass(text(series.headers[0], "SeriesDescription"))
        else series
        for series in study
    ]


def _with_lone_reformats(study: list[Series]) -> list[Series]:
    """Take the reformats of a contrast of which the study has no other series.

    Not those that seem to be T1 where there is T1c: reformats often lack what tells of the contrast agent.
    """
    known = {series.modality for series in study}
    known |= {"T1"} if "T1c" in known else set()
    taken = f"{REFORMATTED}, taken since no other series of the study is"
    return [
        replace(series, modality=series.shows[0], reason=f"{taken} {series.shows[0]}; {series.shows[1]}")
        if series.shows[0] and series.shows[0] not in known and series.where is not None and len(series.slices) > 1
        else series
        for series in study
    ]


def _without_frames(pets: list[Series]) -> list[Series]:
    """No frame of a dynamic or gated PET is the static image; the user may name the one that is meant."""
    told = [number(series.headers[0], name) or 1 for series in pets if _in_time(series) for name in _TIMES]
    count = int(max(len(pets), *told)) if told else len(pets)
    if count == 1:
        note = "a dynamic or gated PET of which no other frame is there"
        return [pet.noted(note, advice="check that it is a static image") if told else pet for pet in pets]
    which = [f"frame {k} of {count}" if len(pets) == count else f"one of {count} frames" for k in range(1, count + 1)]
    what = "of a dynamic or gated PET, which is no static image"
    return [series.refused(f"{frame} {what}") for frame, series in zip(which, pets, strict=False)]


def _of_several_passes(series: Series) -> Series:
    """No pass of a CT is the CT: contrast agent flows or the heart beats; of MR it is said, as the last is taken."""
    which, count = series.passes
    if count == 1 or series.modality in (None, "PET"):
        return series
    if series.modality == "CT":
        return series.refused(
            f"volume {which} of {count} at the same positions, as of a dynamic or gated CT or of two energies, none of "
            "which is the static image"
        )
    return series.noted(f"volume {which} of {count} of its series, made one after the other at the same positions")


def _without_unknown_b(untold: list[Series]) -> list[Series]:
    """None of several diffusion volumes of a series of which nothing tells the b-value: the first may be b = 0."""
    if len(untold) == 1:
        return untold
    what = f"one of {len(untold)} diffusion volumes of a series of which nothing tells the b-value"
    return [series.refused(what) for series in untold]


def _series_of_unknown_b(series: Series) -> str | None:
    return None if series.modality != "DWI" or b_value(series.headers[0]) is not None else _uid(series)


def _of_series_in_time(scans: list[Series]) -> list[Series]:
    """CT of which several others of its study have the name and the positions says so: it may be a perfusion."""
    times = {text(series.headers[0], "AcquisitionTime") for series in scans} - {""}
    if len(times) < _PERFUSION:
        return scans
    note = f"one of {len(times)} CT of its study of one name and place, acquired one after the other"
    return [series.noted(note, advice="check that it is no perfusion") for series in scans]


def _name_and_place(series: Series) -> tuple[str, ...] | None:
    if series.modality != "CT" or series.where is None:
        return None
    names = ("StudyInstanceUID", "SeriesDescription", "FrameOfReferenceUID")
    return *(text(series.headers[0], name) for name in names), str(series.where.origins.round(1).tolist())


def _study_of_pet(series: Series) -> str | None:
    return _study(series) if series.modality == "PET" else None


def _of_several_tracers(pets: list[Series]) -> list[Series]:
    """PET of which another one of the study has another tracer says so, since only one of them is taken."""
    if all(len(set(told) - {""}) < 2 for told in zip(*map(_tracer, pets), strict=True)):
        return pets
    return [series.noted("PET of another tracer is in its study: check which one is meant") for series in pets]


def _tracer(series: Series) -> tuple[str, ...]:
    """Code, name and half-life of the tracer, empty where not told, to be compared and not to be said."""
    item = next(iter(items(series.headers[0], "RadiopharmaceuticalInformationSequence")), Dataset())
    code = next(iter(items(item, "RadiopharmaceuticalCodeSequence")), Dataset())
    half_life = number(item, "RadionuclideHalfLife")
    return text(code, "CodeValue"), text(item, "Radiopharmaceutical"), f"{half_life:.1e}" if half_life else ""


def _of_several_times(pets: list[Series]) -> list[Series]:
    """PET of which another one of the study began when it had ended, or ended before it, says so: uptake goes on."""
    spans = [(min(times), max(times)) for pet in pets if (times := [*filter(None, map(_acquired, pet.headers))])]
    if not spans or max(first for first, _ in spans) <= min(last for _, last in spans):
        return pets
    return [series.noted("PET made at several times are in its study: check which one is meant") for series in pets]


def _acquired(header: Dataset) -> str:
    time = text(header, "AcquisitionTime")
    return text(header, "AcquisitionDate") + time if time else ""


def _study_of_ct(series: Series) -> str | None:
    return _study(series) if series.modality == "CT" else None


def _of_contrast_phases(scans: list[Series]) -> list[Series]:
    """CT beside which the study has one of another contrast says so, since only one of them is taken."""
    if len({agent_given(series.headers[0]) is None for series in scans}) < 2:
        return scans
    return [
        series.noted("CT with and without contrast agent are in its study: check which one is meant")
        for series in scans
    ]


def _of_other_names(alike: list[Series]) -> list[Series]:
    """CT or PET of which another has the same slices and is called otherwise says so: that it is later decides."""
    if len({text(series.headers[0], "SeriesDescription") for series in alike}) < 2:
        return alike
    note = f"{len(alike)} {alike[0].modality} of its study have the same slices under several descriptions"
    return [series.noted(note, advice="check which one is meant") for series in alike]


def _place_and_rank(series: Series) -> Hashable | None:
    """What is the same in series of which nothing but a description tells which is the usual one."""
    header = series.headers[0]
    if series.modality not in ("CT", "PET") or series.where is None or is_phase_or_energy(header):
        return None
    rank = (far_from_usual(header, series.modality), is_roughly_reconstructed(header), agent_given(header) is None)
    return _study(series), series.modality, rank, str(series.where.origins.round(1).tolist())


def _examination(series: Series) -> tuple[str, ...] | None:
    """What the frames of one PET in time have in common; each may be a series of its own."""
    if series.modality != "PET":
        return None
    header = series.headers[0]
    name = "StudyInstanceUID" if _in_time(series) else "SeriesInstanceUID"
    return name, text(header, name), text(header, "FrameOfReferenceUID")


def _in_time(series: Series) -> bool:
    """Whether a PET is one of several by its SeriesType; of static ones time slices are positions of the bed."""
    return not {"DYNAMIC", "GATED"}.isdisjoint(terms(series.headers[0], "SeriesType"))
