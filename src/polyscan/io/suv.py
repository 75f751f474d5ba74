"""Standardised uptake values: what a PET voxel is multiplied by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from polyscan.errors import PolyscanError
from polyscan.io.attributes import items, number, text

if TYPE_CHECKING:
    from pydicom import Dataset

_SUV_TYPES = {"BW": "bw", "LBM": "lbm", "LBMJANMA": "lbm_janma", "BSA": "bsa"}
_DAY = 86_400.0
_BY_HAND = (
    "PatientWeight",
    "PatientSize",
    "PatientSex",
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "DecayCorrection",
)


def suv_factor(headers: Sequence[Dataset], kind: str = "bw") -> float:
    """What a stored, rescaled PET value is multiplied by to become a SUV.

    SUV = activity concentration / (dose at the time that the values are corrected to / size), with size the body
    weight, the lean body mass or the body surface (Boellaard et al., EJNMMI 42, 2015, section 'SUV'; the order of the
    DICOM attributes follows the QIBA FDG-PET/CT profile, appendix G).

    Args:
        headers: the data sets of one series; pixels are not needed.
        kind: ``"bw"`` body weight, ``"lbm"`` lean body mass after James, ``"lbm_janma"`` after Janmahasatian (both
            g/mL), ``"bsa"`` body surface area after Du Bois (cm2/mL).

    Raises:
        PolyscanError: an attribute that is needed is missing or has a value that cannot be used.
    """
    return suv_factor_and_notes(headers, kind)[0]


def suv_factor_and_notes(headers: Sequence[Dataset], kind: str = "bw") -> tuple[float, list[str]]:
    """:func:`suv_factor`, and what in the headers had to be overruled to get it."""
    notes: list[str] = []
    return _factor(headers, kind, notes), notes


def give(headers: Sequence[Dataset], given: Mapping[str, Any]) -> None:
    """Write down by hand what headers lack: attributes by keyword, those of the tracer where it has them.

    Raises:
        PolyscanError: a keyword that DICOM does not know, or a value that it cannot have.
    """
    from pydicom import Dataset as Item

    for header in headers:
        tracer = items(header, "RadiopharmaceuticalInformationSequence") or [Item()]
        try:
            for keyword, value in given.items():
                if keyword not in _BY_HAND:
                    raise ValueError
                setattr(tracer[0] if keyword.startswith("Radio") else header, keyword, value)
            header.RadiopharmaceuticalInformationSequence = tracer
        except (ValueError, TypeError):
            raise PolyscanError(
                f"'given' is {dict(given)}; it can hold numbers, or times as HHMMSS, for {', '.join(_BY_HAND)}."
            ) from None


def _factor(headers: Sequence[Dataset], kind: str, notes: list[str]) -> float:
    first = headers[0]
    units = text(first, "Units").upper()
    if units == "GML":
        stored = _SUV_TYPES.get(text(first, "SUVType").upper() or "BW")
        if stored is None:
            raise PolyscanError("SUVType (0054,1006) is not one of BW, LBM, LBMJANMA, BSA; correct the attribute.")
        return 1.0 if stored == kind else _size(first, kind) / _size(first, stored)
    if units == "BQML":
        return _size(first, kind) / _dose(headers, notes)
    if units == "CNTS":
        return _philips(headers, kind, notes)
    raise PolyscanError(
        f"Units (0054,1001) is {units or 'missing'}; SUV can be computed from BQML, GML or (Philips) CNTS only."
    )


def _philips(headers: Sequence[Dataset], kind: str, notes: list[str]) -> float:
    to_suv, to_bqml = (number(headers[0], (0x7053, element)) for element in (0x1000, 0x1009))
    if to_suv:
        return to_suv if kind == "bw" else to_suv * _size(headers[0], kind) / _size(headers[0], "bw")
    if to_bqml:
        return to_bqml * _size(headers[0], kind) / _dose(headers, notes)
    raise PolyscanError("Units (0054,1001) is CNTS without the Philips factors (7053,1000) or (7053,1009).")


def _size(header: Dataset, kind: str) -> float:
    """Grams of body or of lean body, or square centimetres of body surface."""
    weight = _needed(header, "PatientWeight", "kg")
    if kind == "bw":
        return weight * 1000
    height = _needed(header, "PatientSize", "m") * 100
    if kind == "bsa":
        return 0.007184 * weight**0.425 * height**0.725 * 10_000  # Du Bois, Arch Intern Med 17, 1916
    sex = text(header, "PatientSex").upper()
    if sex not in ("M", "F"):
        raise PolyscanError("PatientSex (0010,0040) is neither M nor F; lean body mass needs it, body weight does not.")
    if kind == "lbm":  # James, Research on Obesity, 1976
        a, b = (1.10, 128) if sex == "M" else (1.07, 148)
        return (a * weight - b * (weight / height) ** 2) * 1000
    if kind == "lbm_janma":  # Janmahasatian et al., Clin Pharmacokinet 44, 2005
        a, b = (6680, 216) if sex == "M" else (8780, 244)
        return 9270 * weight / (a + b * weight / (height / 100) ** 2) * 1000
    raise PolyscanError(f"SUV kind {kind!r} is not known; use bw, lbm, lbm_janma or bsa.")


def _dose(headers: Sequence[Dataset], notes: list[str]) -> float:
    """The injected dose in Bq, decayed to the time that the values are corrected to."""
    first = headers[0]
    sequence = items(first, "RadiopharmaceuticalInformationSequence")
    if not sequence:
        raise PolyscanError(
            "RadiopharmaceuticalInformationSequence (0054,0016) is missing; add dose, half-life and start time to it."
        )
    tracer = sequence[0]
    dose, half_life = _needed(tracer, "RadionuclideTotalDose", "Bq"), _needed(tracer, "RadionuclideHalfLife", "s")
    correction = text(first, "DecayCorrection").upper()
    if correction == "ADMIN":
        return dose
    if correction not in ("START", "NONE"):
        raise PolyscanError(f"DecayCorrection (0054,1102) is {correction or 'missing'}; expected START, ADMIN or NONE.")
    acquired = [t for header in headers if (t := _moment(header, "Acquisition"))]
    # START: the scan began at the earliest time that is told; a late frame carries its own acquisition time.
    series = [t for header in headers if (t := _moment(header, "Series"))] if correction == "START" else []
    if not (acquired or series):
        raise PolyscanError("Neither SeriesTime (0008,0031) nor AcquisitionTime (0008,0032) is given; add one of them.")
    return dose * 0.5 ** (_elapsed(tracer, min(acquired + series), half_life, notes) / half_life)


def _elapsed(tracer: Dataset, reference: datetime, half_life: float, notes: list[str]) -> float:
    """Seconds from injection to the reference; where dates disagree, as after de-identification, by time of day."""
    stamp, time = (text(tracer, f"RadiopharmaceuticalStart{kind}") for kind in ("DateTime", "Time"))
    if stamp:
        injected = _parse(stamp[:8], stamp[8:].split("+")[0].split("-")[0])
        elapsed = (reference - injected).total_seconds()
        if 0 <= elapsed < max(_DAY, 10 * half_life):
            return elapsed
        notes.append("the dates of injection and scan disagree: the times of day were used")
    elif time:
        injected = _parse(f"{reference:%Y%m%d}", time)
    else:
        raise PolyscanError(
            "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing; "
            "add the injection time."
        )
    seconds = (reference - injected).total_seconds() % _DAY
    if seconds > _DAY / 2:
        raise PolyscanError(
            f"The scan lies {seconds / 3600:.1f} h after the injection by time of day; correct the start time."
        )
    return seconds


def _moment(header: Dataset, name: str) -> datetime | None:
    time = text(header, f"{name}Time")
    date = text(header, f"{name}Date") or text(header, "SeriesDate") or "19000101"
    return _parse(date, time) if time else None


def _parse(date: str, time: str) -> datetime:
    try:
        whole, _, fraction = time.strip().replace(":", "").partition(".")
        seconds = timedelta(seconds=float(f"0.{fraction or 0}"))
        return datetime.strptime(date.replace(".", "") + whole.ljust(6, "0"), "%Y%m%d%H%M%S") + seconds
    except ValueError:
        raise PolyscanError("A date or time of the PET series is not written as DICOM asks; correct it.") from None


def _needed(header: Dataset, keyword: str, unit: str) -> float:
    value = number(header, keyword)
    if value is None or value <= 0:
        found = "missing" if value is None else f"{value:g}"
        raise PolyscanError(
            f"{keyword} is {found}; SUV needs it in {unit}: set it in the DICOM files, or by hand in the manifest, as "
            f'"given": {{"{keyword}": ...}} of the study.'
        )
    return value
