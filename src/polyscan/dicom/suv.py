"""Standardised uptake values: what a PET voxel is multiplied by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import items, number, private, term, text, units_of, words
from polyscan.dicom.decay import elapsed, frame_average, scan_start
from polyscan.dicom.nuclides import check_dose, check_half_life, half_life_of, nuclide_of
from polyscan.errors import PolyscanError

_SUV_TYPES = {
    "BW": "bw", "LBM": "lbm_morgan", "LBMJAMES128": "lbm", "LBMJANMA": "lbm_janma", "IBW": "ibw", "BSA": "bsa",
}  # fmt: skip
_UCUM = {"bq/ml": "BQML", "g/ml": "GML", "g/ml{suvbw}": "GML", "{propcounts}": "CNTS"}
_UNITS = {
    "CNTS", "NONE", "CM2", "CM2ML", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "1CM", "UMOLML",
    "PROPCNTS", "PROPCPS", "MLMINML", "MLML", "GML", "STDDEV", "SUV",
}  # fmt: skip
"""Terms of Units (0054,1001), PS3.3 C.8.9.1.1.3."""
_ALIKE = (
    "Units", "SUVType", "DecayCorrection", "PatientWeight", "PatientSize", "RadionuclideTotalDose",
    "RadionuclideHalfLife", "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime",
)  # fmt: skip
LIGHTEST, _SHORTEST = 0.3, 0.3  # kg and m, of those born earliest who live
_THINNEST, _FATTEST = 5.0, 150.0  # kg/m2
HEAVIEST, _TALLEST = 600.0, 2.6  # kg and m: above, it is another unit
BY_HAND = (
    "PatientWeight", "PatientSize", "PatientSex", "RadionuclideTotalDose", "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime", "DecayCorrection",
)  # fmt: skip


def suv_factor(headers: Dataset | Sequence[Dataset], kind: str = "bw") -> float:
    """What a stored, rescaled PET value is multiplied by to become a SUV.

    SUV = activity concentration / (dose at the time that the values are corrected to / size), with size the body
    weight, the lean body mass or the body surface (Boellaard et al., EJNMMI 42, 2015, section 'SUV'; the order of the
    DICOM attributes follows the QIBA FDG-PET/CT profile, appendix G).

    Args:
        headers: the data sets of one series, or one of them; pixels are not needed.
        kind: ``"bw"`` body weight; ``"lbm"`` lean body mass after James, ``"lbm_morgan"`` after Morgan (SUVType LBM),
            ``"lbm_janma"`` after Janmahasatian; ``"ibw"`` ideal body weight (all g/mL; of PatientSex O the mean of both
            sexes, as Vacha et al., Comprehensive Manual for SUV Computation, 2026); ``"bsa"`` body surface area after
            Du Bois (cm2/mL).

    Returns:
        SUV per unit of the stored, rescaled value; with ``"bw"`` g/mL.

    Raises:
        PolyscanError: an attribute that is needed is missing or has a value that cannot be used.
    """
    return float(suv_factors([headers] if isinstance(headers, Dataset) else headers, kind)[0].min())


def suv_factors(headers: Sequence[Dataset], kind: str = "bw") -> tuple[np.ndarray, list[str]]:
    """:func:`suv_factor` of each slice, and what in the headers had to be overruled to get it.

    Returns:
        (slice,) factors, which differ where DecayCorrection is NONE and slices were acquired one after the other, and
        the notes.
    """
    notes: list[str] = []
    factors = np.broadcast_to(_factor(headers, kind, notes), len(headers))
    return factors, list(dict.fromkeys(notes))


def override_attributes(headers: Sequence[Dataset], given: Mapping[str, Any]) -> None:
    """Write down by hand what headers lack: attributes by keyword, those of the tracer where it has them.

    Raises:
        PolyscanError: a keyword that DICOM does not know, or a value that it cannot have.
    """
    for header in headers:
        tracer = items(header, "RadiopharmaceuticalInformationSequence") or [Dataset()]
        try:
            for keyword, value in given.items():
                if keyword not in BY_HAND:
                    raise ValueError
                setattr(tracer[0] if keyword.startswith("Radio") else header, keyword, value)
            header.RadiopharmaceuticalInformationSequence = tracer
        except (ValueError, TypeError):
            raise PolyscanError(
                f"'given' has {', '.join(given)}; it can hold numbers, or times as HHMMSS, for {', '.join(BY_HAND)}."
            ) from None


def _factor(headers: Sequence[Dataset], kind: str, notes: list[str]) -> float | np.ndarray:
    first = headers[0]
    _check_alike(headers)
    units = units_of(first) or _enhanced_units(first)
    if units in ("GML", "CM2ML"):
        stored = _SUV_TYPES.get(text(first, "SUVType").upper() or ("BW" if units == "GML" else "BSA"))
        if stored is None:
            raise PolyscanError(f"SUVType (0054,1006) is not one of {', '.join(_SUV_TYPES)}; correct the attribute.")
        return 1.0 if stored == kind else _size(first, kind) / _size(first, stored)
    if units == "BQML":
        return _size(first, kind) / _dose(headers, notes)
    if units == "CNTS":
        return _philips(headers, kind, notes)
    said = units if units in _UNITS else term(first, "Units", _UNITS)
    raise PolyscanError(f"Units (0054,1001) is {said}; SUV can be computed from BQML, GML or (Philips) CNTS only.")


def _check_alike(headers: Sequence[Dataset]) -> None:
    """Refuse slices that tell different things of what is the same in all of a scan.

    Raises:
        PolyscanError: they do, as where slices of two scans were put together.
    """
    tracers = [items(header, "RadiopharmaceuticalInformationSequence")[:1] for header in headers]
    for name in _ALIKE:
        of_tracer = name.startswith("Radio")
        told = {text(each, name) for each in chain.from_iterable(tracers)} if of_tracer else set()
        if len(told or {text(header, name) for header in headers}) > 1:
            raise PolyscanError(f"{name} differs between slices of the series; part it, or correct the attribute.")


def _enhanced_units(header: Dataset) -> str:
    """Units of an enhanced object, which names them beside a real world value mapping; empty where there is none."""
    codes = [text(code, "CodeValue").lower() for code in items(header, "MeasurementUnitsCodeSequence")]
    units = _UCUM.get(codes[0], codes[0].upper()) if codes else ""
    slope, rescaled = number(header, "RealWorldValueSlope"), number(header, "RescaleSlope")
    if units and slope is not None and not np.isclose(slope, rescaled or 1.0, rtol=1e-4):
        raise PolyscanError(
            f"RealWorldValueSlope (0040,9225) of this enhanced PET is {slope:g} and RescaleSlope (0028,1053) is "
            f"{'missing' if rescaled is None else format(rescaled, 'g')}; export it as single slices."
        )
    return units


def _philips(headers: Sequence[Dataset], kind: str, notes: list[str]) -> np.ndarray:
    """The (slice,) factors of counts by what Philips tells of each slice: to SUV by weight, else to Bq/mL."""
    to_suv, to_bqml = (
        np.array([(private(header, 0x7053, "Philips PET Private Group", element) or [0.0])[0] for header in headers])
        for element in (0x00, 0x09)
    )
    if to_suv.all():
        return to_suv if kind == "bw" else to_suv * _size(headers[0], kind) / _size(headers[0], "bw")
    if to_bqml.all():
        return np.asarray(to_bqml * _size(headers[0], kind) / _dose(headers, notes))
    raise PolyscanError(
        "Units (0054,1001) is CNTS without the Philips factors (7053,1000) or (7053,1009) in every slice; export the "
        "series with them, or in Bq/mL."
    )


def _size(header: Dataset, kind: str) -> float:
    """Grams of body, lean or ideal body, or square centimetres of body surface."""
    weight = _needed(header, "PatientWeight", "kg", HEAVIEST)
    tall = number(header, "PatientSize") or 0.0
    tall = tall / 100 if tall > 10 * _TALLEST else tall  # many write centimetres
    if weight < LIGHTEST or (_SHORTEST <= tall <= _TALLEST and not _THINNEST <= weight / tall**2 <= _FATTEST):
        raise PolyscanError(
            "PatientWeight (0010,1030) cannot be meant in kg, or not beside PatientSize (0010,1020) in m; correct it."
        )
    if kind == "bw":
        return weight * 1000
    if kind not in _SUV_TYPES.values():
        kinds = ", ".join(_SUV_TYPES.values())
        raise PolyscanError(f"SUV kind {kind!r} is not known; use one of {kinds}.")
    height = _needed(header, "PatientSize", "m", _TALLEST) * 100
    if kind == "bsa":
        return float(0.007184 * weight**0.425 * height**0.725 * 10_000)  # Du Bois, Arch Intern Med 17, 1916
    sex = text(header, "PatientSex").upper()
    if sex not in ("M", "F", "O"):
        raise PolyscanError("PatientSex (0010,0040) is none of M, F, O; lean body mass needs it, body weight does not.")
    return 1000 * float(np.mean([_lean_or_ideal(kind, weight, height, each) for each in sex.replace("O", "MF")]))


def _lean_or_ideal(kind: str, weight: float, height: float, sex: str) -> float:
    """Kilograms by kg and cm, of men (M) or women (F), by the formulas that PS3.16 names in CID 85."""
    if kind == "ibw":  # Sugawara et al., Radiology 213, 1999
        return 48.0 + 1.06 * (height - 152) if sex == "M" else 45.5 + 0.91 * (height - 152)
    if kind == "lbm_janma":  # Janmahasatian et al., Clin Pharmacokinet 44, 2005
        a, b = (6680.0, 216) if sex == "M" else (8780.0, 244)
        return 9270 * weight / (a + b * weight / (height / 100) ** 2)
    # James, Research on Obesity, 1976; with 120 Morgan and Bray, Clin Pharmacokinet 26, 1994
    a, b = (1.10, 128 if kind == "lbm" else 120) if sex == "M" else (1.07, 148)
    return a * weight - b * (weight / height) ** 2


def _dose(headers: Sequence[Dataset], notes: list[str]) -> np.ndarray:
    """The (slice,) injected dose in Bq, decayed to the time that the values of each slice are corrected to."""
    first, tracer = headers[0], _tracer(headers[0])
    dose = _needed(tracer, "RadionuclideTotalDose", "Bq")
    check_dose(dose, "RadionuclideTotalDose (0018,1074)")
    correction = text(first, "DecayCorrection").upper() or {"YES": "START", "NO": "NONE"}.get(
        text(first, "DecayCorrected").upper(), ""
    )
    if correction in ("START", "ADMIN") and (corrected := words(first, "CorrectedImage")) and "DECY" not in corrected:
        notes.append("CorrectedImage names no correction for decay, DecayCorrection does: that was believed")
    if correction == "ADMIN":
        return np.full(len(headers), dose)
    if correction not in ("START", "NONE"):
        raise PolyscanError(
            f"DecayCorrection (0054,1102) is {term(first, 'DecayCorrection', ())}; expected START, ADMIN or NONE."
        )
    codes = items(tracer, "RadionuclideCodeSequence")
    coded = " ".join(f"{text(code, 'CodeMeaning')} {nuclide_of(text(code, 'CodeValue'))}" for code in codes)
    nuclide = coded if half_life_of(coded) else text(tracer, "Radiopharmaceutical")  # as "68Ga-PSMA"
    known = half_life_of(nuclide)
    if known is not None and not text(tracer, "RadionuclideHalfLife"):
        notes.append(f"RadionuclideHalfLife is missing: {known:g} s of the nuclide that is named were used")
        half_life = known
    else:
        half_life = _needed(tracer, "RadionuclideHalfLife", "s")
        check_half_life(half_life, nuclide, "RadionuclideHalfLife (0018,1075)")
    if correction == "START":
        moments = [scan_start(headers, half_life, notes)]
    else:
        moments = [frame_average(header, half_life) for header in headers]
    since = {moment: elapsed(tracer, headers, moment, half_life, notes) for moment in set(moments)}
    decayed = np.array([dose * 0.5 ** (since[moment] / half_life) for moment in moments])
    return np.broadcast_to(decayed, len(headers))


def _tracer(header: Dataset) -> Dataset:
    """The one injection that the series tells of."""
    sequence = items(header, "RadiopharmaceuticalInformationSequence")
    if not sequence:
        raise PolyscanError(
            "RadiopharmaceuticalInformationSequence (0054,0016) is missing; add dose, half-life and start time to it."
        )
    told = {tuple(text(item, name) for name in BY_HAND if name.startswith("Radio")) for item in sequence}
    if len(told) > 1:
        raise PolyscanError(
            f"RadiopharmaceuticalInformationSequence (0054,0016) tells of {len(told)} different injections; leave the "
            "one that the values are corrected for."
        )
    return sequence[0]


def _needed(header: Dataset, keyword: str, unit: str, most: float = np.inf) -> float:
    value = number(header, keyword)
    if value is None or not 0 < value <= most:
        most_of_all = f" and at most {most:g}" if np.isfinite(most) else ""
        found = "missing" if value is None else f"not above 0{most_of_all}"
        raise PolyscanError(
            f"{keyword} is {found}; SUV needs it in {unit}: set it in the DICOM files, or by hand in the manifest, as "
            f'"given": {{"{keyword}": ...}} of the scan.'
        )
    return value
