"""SUV of a PET image in NIfTI: by its BIDS sidecar, what is given by hand, its name, and the tables of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.dicom.decay import average_time, doubtful_time
from polyscan.dicom.nuclides import check_dose, half_life_of
from polyscan.dicom.suv import BY_HAND, HEAVIEST, LIGHTEST
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.formats.endings import stem_of
from polyscan.formats.sidecars import folders_of, sidecars_of
from polyscan.study.table import read_rows

_ACTIVITY = {"BQ": 1.0, "KBQ": 1e3, "MBQ": 1e6, "GBQ": 1e9, "UCI": 3.7e4, "MCI": 3.7e7}
_CONCENTRATION = {"bq/ml": 1.0, "bqml": 1.0, "kbq/ml": 1e3, "mbq/ml": 1e6, "bq/cc": 1.0, "bq/cm3": 1.0, "kbq/cc": 1e3}
_NO_CORRECTION = re.compile(r"(?:none|no|not|nac|false|uncorrected|without)(?![a-z])|.*[\s:](?:none|not applied)$")
_SECONDS = {"s", "sec", "second", "seconds"}
_MASS = {"kg": 1.0, "kilogram": 1.0, "kilograms": 1.0, "g": 1e-3, "gram": 1e-3, "grams": 1e-3, "lb": 0.45359237}
_WEIGHT_COLUMNS = ("weight", "bodyweight", "patientweight", "weightkg")
_SUV = {"g/ml", "gml", "suv", "suvbw", "unitless"}
_SUV_IN_NAME = re.compile(r"(?:^|[\W_\d])suv(?:bw)?(?:[\W_\d]|$)", re.IGNORECASE)
_AIR, _BODY, _HIGHEST = 0.1, (0.1, 1.2), 300.0
_SAME_MOMENT = 30.0  # seconds
_HARDLY_AFTER = 240.0  # seconds: of a static image as many minutes are meant


def bids_suv_factor(path: Path, given: Mapping[str, Any], values: np.ndarray) -> tuple[float, list[str], list[str]]:
    """What the values of a PET image are multiplied by to become SUV by body weight.

    The formula of :func:`polyscan.dicom.suv.suv_factor`; times are seconds from TimeZero (BIDS 1.9, section PET).

    Args:
        path: the NIfTI file; its sidecars are found by BIDS' inheritance principle.
        given: DICOM keywords to values, written down by hand, and ``Units``, as ``"SUV"`` or ``"Bq/mL"``; they go
            before the sidecar's.
        values: the image (x, y, z), by which a unit that nothing tells is judged.

    Returns:
        The factor, what was read elsewhere than in the sidecar, and what is doubtful.

    Raises:
        PolyscanError: the unit is unknown, or a field that is needed is missing or cannot be meant.
    """
    if unknown := set(given) - {*BY_HAND, "Units"}:
        raise PolyscanError(f"'given' has {', '.join(sorted(unknown))}; it can hold Units, {', '.join(BY_HAND)}.")
    sidecars = sidecars_of(path)
    content: dict[str, Any] = {}
    for sidecar in sidecars:
        content |= read_json(sidecar)
    name = path.name
    if sidecars:
        name = f"{sidecars[-1].name} of {path.name}" if sidecars[-1].stem != stem_of(path.name) else sidecars[-1].name
    corrected = content.get("AttenuationCorrection", "")
    methods = corrected if isinstance(corrected, list) else [corrected]
    if any(_NO_CORRECTION.match(str(method).strip().lower()) for method in methods):
        raise PolyscanError(f"{name} says that attenuation was not corrected; leave it out, or correct the field.")
    told = given.get("Units", content.get("Units"))
    inherited = bool(sidecars) and sidecars[-1].stem != stem_of(path.name)  # and may be of what it was computed from
    if "Units" not in given and says_suv(path.name) and (told is None or inherited):
        return 1.0, ["SUV, as the name of the file says"], []
    if told is None:
        return 1.0, [], [_judged(path.name, values)]
    units = str(told).replace(" ", "").lower()
    if units in _SUV:
        doubt = f"Units of {name} are unitless: taken as SUV, which a ratio of SUV is not"
        return 1.0, [], [doubt] if units == "unitless" else []
    if units not in _CONCENTRATION:
        raise PolyscanError(f"{name} has Units that are not known; expected Bq/mL, kBq/mL, MBq/mL, g/mL or SUV.")
    if says_suv(path.name) and "Units" not in given:
        raise PolyscanError(
            f"{name} has Units in {told}, and the file's name says SUV; correct one, or say which is right as "
            '"given": {"Units": ...} of the scan in the manifest.'
        )
    notes: list[str] = []
    weight = _weight(path, content, given, name, notes)
    dose, half_life = _dose(content, given, name), _half_life(content, given, name)
    doubts: list[str] = []
    since = _since_injection(content, given, name, half_life, doubts)
    notes += doubtful_time(since, half_life)
    return _CONCENTRATION[units] * weight * 1000 / (dose * 0.5 ** (since / half_life)), notes, doubts


def says_suv(name: str) -> bool:
    """Whether a file's name says that its values are SUV."""
    return _SUV_IN_NAME.search(stem_of(name)) is not None


def _judged(name: str, values: np.ndarray) -> str:
    """That values whose unit nothing tells can be SUV.

    The mean SUV over a whole body is at most 1, since all that was injected is in it; what lies on the air's side of a
    tenth of the brightest percent is left aside. Brains, of which FDG has more, are refused with Bq/mL and kBq/mL.

    Raises:
        PolyscanError: they cannot.
    """
    seen = values[np.isfinite(values)]
    body = seen[seen > _AIR * np.percentile(seen, 99)] if seen.size else seen
    typical, highest = (float(np.median(body)), float(body.max())) if body.size else (0.0, 0.0)
    how = (
        'say it as "given": {"Units": "SUV"} of the study in the manifest, by polyscan scan --pet-units SUV, by SUV in '
        "the file's name, or by a JSON sidecar as BIDS has it"
    )
    if not _BODY[0] <= typical <= _BODY[1] or highest > _HIGHEST:
        raise PolyscanError(
            f"{name} has no sidecar that tells its unit, and values that need not be SUV ({typical:.3g} in the middle "
            f"of the body, {highest:.3g} at most): {how}; the same with Bq/mL."
        )
    return (
        f"nothing tells the unit of {name}; taken as SUV, which its values can be ({typical:.2g} in the middle of the "
        f"body, {highest:.3g} at most): {how}"
    )


def _weight(path: Path, content: dict[str, Any], given: Mapping[str, Any], name: str, notes: list[str]) -> float:
    """Kilograms: by hand, of the sidecar, of sessions.tsv, of participants.tsv."""
    told = given.get("PatientWeight", content.get("BodyWeight", content.get("PatientWeight")))
    if told is None:
        told = next(_weights_of_tables(path, notes), None)
    weight, unit = _number(told), str(content.get("BodyWeightUnits", "kg")).strip().lower()
    if unit not in ("kg", "kilogram", "kilograms") and "PatientWeight" not in given:
        raise PolyscanError(f"{name} has BodyWeightUnits other than kg; bring BodyWeight to kg.")
    if weight is None or not LIGHTEST <= weight <= HEAVIEST:
        raise PolyscanError(
            f"{name} has no usable BodyWeight in kg ({'missing' if told is None else 'something else'}); SUV needs it: "
            "write it into the sidecar, into the column weight of participants.tsv, or by hand into the manifest, as "
            '"given": {"PatientWeight": ...} of the scan.'
        )
    return weight


def _weights_of_tables(path: Path, notes: list[str]) -> Iterator[float]:
    """The weight of the subject in the tables of the data set, nearest first."""
    entities = dict(part.split("-", 1) for part in stem_of(path.name).split("_") if "-" in part)
    for folder in reversed(folders_of(path)):
        for file, entity in (
            (folder / f"sub-{entities.get('sub')}_sessions.tsv", "ses"),
            (folder / "participants.tsv", "sub"),
        ):
            if not file.is_file() or entity not in entities:
                continue
            for row in read_rows(file):
                key = next(iter(row.values()))
                column = next((c for c in row if re.sub(r"[^a-z]", "", c.lower()) in _WEIGHT_COLUMNS), None)
                if key.removeprefix(f"{entity}-") == entities[entity] and column:
                    weight = _number(row[column])
                    if weight is not None:
                        notes.append(f"the body weight is that of {file.name}")
                        yield weight * _kilograms(file, column)


def _kilograms(table: Path, column: str) -> float:
    """What a weight of a table is multiplied by, after the dictionary beside it; kg where that is silent."""
    dictionary = table.with_suffix(".json")
    described = read_json(dictionary).get(column, {}) if dictionary.is_file() else {}
    unit = str(described.get("Units", "kg") if isinstance(described, dict) else "kg").strip().lower()
    if unit not in _MASS:
        raise PolyscanError(f"{dictionary.name} has other Units for {column} than kg, g or lb; bring it to kg.")
    return _MASS[unit]


def _dose(content: dict[str, Any], given: Mapping[str, Any], name: str) -> float:
    if "RadionuclideTotalDose" in given:
        value, unit = given["RadionuclideTotalDose"], "Bq"
    else:
        value, unit = content.get("InjectedRadioactivity"), str(content.get("InjectedRadioactivityUnits", ""))
    dose, becquerels = _number(value), _ACTIVITY.get(unit.upper().replace("\u039c", "U"))  # of either mu
    if dose is None or becquerels is None:
        raise PolyscanError(
            f"{name} has no usable InjectedRadioactivity; SUV needs it as a number, with InjectedRadioactivityUnits in "
            "MBq, kBq or Bq."
        )
    check_dose(dose * becquerels, f"InjectedRadioactivity of {name}")
    return dose * becquerels


def _half_life(content: dict[str, Any], given: Mapping[str, Any], name: str) -> float:
    told = _number(given.get("RadionuclideHalfLife"))
    half_life = told or half_life_of(str(content.get("TracerRadionuclide", "")))
    if not half_life or half_life <= 0:
        raise PolyscanError(
            f"{name} has no usable TracerRadionuclide; write it as F18, or give "
            '"given": {"RadionuclideHalfLife": seconds} in the manifest.'
        )
    return half_life


def _since_injection(
    content: dict[str, Any], given: Mapping[str, Any], name: str, half_life: float, doubts: list[str]
) -> float:
    """Seconds from injection to the moment that the values are corrected to."""

    def seconds(field: str) -> float:
        found = _number(content.get(field))
        if found is None:
            raise PolyscanError(f"{name} has no usable {field} in seconds from TimeZero; SUV needs it.")
        if str(content.get(f"{field}Units", "s")).strip().lower() not in _SECONDS:
            raise PolyscanError(f"{name} has {field}Units other than s; bring {field} to seconds from TimeZero.")
        return found

    correction = str(given.get("DecayCorrection", "")).upper()
    if correction == "ADMIN":
        return 0.0
    injected = _injected(content, given) if "RadiopharmaceuticalStartTime" in given else seconds("InjectionStart")
    durations = content.get("FrameDuration")
    frames = [_number(each) or 0.0 for each in (durations if isinstance(durations, list) else [durations])]
    _check_times(content, injected, frames, name, doubts)
    corrected = content.get("ImageDecayCorrected")
    if correction == "NONE" or (not correction and corrected is False):
        moment = _frame_start(content, seconds("ScanStart")) + average_time(frames[0] if frames else 0.0, half_life)
    elif correction == "START":
        moment = seconds("ScanStart")
    elif corrected is True:
        moment = seconds("ImageDecayCorrectionTime")
        scan = _number(content.get("ScanStart"))
        usual = [injected, *([] if scan is None else sorted({scan, _frame_start(content, scan)}))]
        in_other_unit = moment != 0 and any(abs(moment * unit - each) < 1 for unit in (60, 3600) for each in usual)
        if in_other_unit or min(abs(moment - each) for each in usual) > _SAME_MOMENT:
            doubts.append(
                f"ImageDecayCorrectionTime is {moment:g}, neither the injection nor the start of the scan "
                f"({' and '.join(f'{each:g}' for each in usual)} s): check that it is in seconds from TimeZero"
            )
    else:
        raise PolyscanError(f"{name} has no usable ImageDecayCorrected; expected true or false.")
    since = moment - injected
    if not -3600 <= since <= max(10 * half_life, 1800):
        raise PolyscanError(
            f"{name} has the values corrected to {since / 3600:.1f} h after the injection, which a half-life of "
            f"{half_life:g} s does not allow; correct InjectionStart or ImageDecayCorrectionTime."
        )
    return since


def _check_times(content: dict[str, Any], injected: float, frames: list[float], name: str, doubts: list[str]) -> None:
    """What one volume and its times tell against each other; ``frames`` are the durations in seconds.

    Raises:
        PolyscanError: the scan ends before the injection.
    """
    scan = _number(content.get("ScanStart"))
    start = None if scan is None else _frame_start(content, scan)
    if start is not None and any(frames) and start + sum(frames) <= injected:
        raise PolyscanError(
            f"{name} has a scan that ends before the injection, which lies {(injected - start) / 60:.0f} min after its "
            "start; correct InjectionStart or ScanStart."
        )
    if len(frames) > 1:
        doubts.append(f"{name} tells of {len(frames)} frames and this is one volume: check that it is a static image")
    elif start is not None and 0 < start - injected <= _HARDLY_AFTER:
        doubts.append(
            f"the scan of {name} starts {start - injected:g} s after the injection: check that times are in seconds"
        )


def _frame_start(content: dict[str, Any], scan: float) -> float:
    """Seconds from TimeZero to the start of the one frame, told from there, or from the start of the ``scan``."""
    told = content.get("FrameTimesStart")
    starts = told if isinstance(told, list) else [told]
    frame = _number(starts[0]) if len(starts) == 1 else None
    if frame is None:
        return scan
    return frame if frame >= scan else scan + frame


def _injected(content: dict[str, Any], given: Mapping[str, Any]) -> float:
    """Seconds from TimeZero to an injection time HHMMSS that was written down by hand."""
    try:
        zero = datetime.strptime(str(content["TimeZero"]), "%H:%M:%S")
        time = datetime.strptime(str(given["RadiopharmaceuticalStartTime"])[:6], "%H%M%S")
    except (KeyError, ValueError):
        raise PolyscanError(
            "RadiopharmaceuticalStartTime can be given as HHMMSS where the sidecar has TimeZero as HH:MM:SS."
        ) from None
    day = 86400  # of which the moments are less than half a one apart
    return ((time - zero).total_seconds() + day / 2) % day - day / 2


def _number(value: Any) -> float | None:
    """A finite number, None of anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < float("inf") and not isinstance(value, bool) else None
