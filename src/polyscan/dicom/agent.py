"""Whether a contrast agent was in the patient: by what was written of a series, by its attributes, and by time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import items, number, text, words
from polyscan.dicom.words import Told, said_of, told

# Of an agent: that nothing is said, that none was given, or one that no vein takes; else a drug of the examination.
DENIED = re.compile(
    r"[^\w+]*(?:0(?:[.,]0+)? ?(?:ml|cc)?(?![\d.,a-z]).*|x|n|n/?a|unk\w*|tbd|off|false)?[^\w+]*$|"
    r"(?:no|non|none|not|nil|nein|kein\w*|geen|niets|aucune?|pas d|nessun\w*|nenhum\w*|ningun\w*|ingen|inget|brak|yok|"
    r"without|w/?o|ohne|sans|sin|senza|sem|zonder|bez|нет|без|s/c)(?![a-zа-я])|无|無|なし|없음|"
    r".*(?:refus|declin|contra ?-?ind|allerg|not (?:given|inj|admin)|[:=] ?no(?:ne)?$)|"
    r"(?:normal )?saline|nacl|buscopan|hyoscin|glucagon|lasix|furosemid|secretin|regadenoson|adenosin|"
    r"(?:ultrasound )?gel|"
    r"(?:per )?(?:oral|os|po|rectal|water|volumen|barium)(?:ly)?(?![a-z])(?!.*(?:(?<![a-z])i\.?v|ga?d))"
)
_SOON = 7200  # seconds before an injection that belongs to the scan; others were shifted by de-identification


def agent_given(header: Dataset, said: Told | None = None) -> str | None:
    """What says that a contrast agent was in the patient; None where nothing does, or a word says the contrary."""
    said = said_of(header) if said is None else said
    if said.contrast is False:
        return None
    if said.contrast:
        return "contrast agent, as its description says"
    if text(header, "ContrastBolusAgentAdministered") == "NO":  # of an enhanced image at this time
        return None
    if (route := text(header, "ContrastBolusRoute").lower()) and DENIED.match(route):
        return None
    until = _seconds(header, "ContrastBolusStartTime") - _seconds(header, "AcquisitionTime")
    if 0 < until < _SOON:
        return None
    coded = [text(item, "CodeMeaning") or "yes" for item in items(header, "ContrastBolusAgentSequence")]
    for name, agents in {
        "ContrastBolusAgent": [text(header, "ContrastBolusAgent")],
        "ContrastBolusAgentSequence": coded,
        "ContrastBolusIngredient": words(header, "ContrastBolusIngredient"),
    }.items():
        if any(told(agent).contrast is not False and not DENIED.match(agent.lower()) for agent in agents):
            return f"contrast agent, as {name} says"
    for name in ("ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastBolusStartTime"):
        if (number(header, name) or 0) > 0:
            return f"contrast agent, as {name} says"
    return None


def _seconds(header: Dataset, name: str) -> float:
    """A time of day; NaN where none is given."""
    found = re.match(r"(\d\d)(\d\d)(\d\d)", text(header, name))
    return float(np.dot([3600, 60, 1], [int(part) for part in found.groups()])) if found else np.nan


def after_contrast(volumes: Sequence[tuple[Sequence[Dataset], str | None, str]]) -> list[str]:
    """Of the volumes of one study those T1 that were acquired after an agent was known to be in the patient.

    Args:
        volumes: headers of the slices, modality and reason of each.

    Returns:
        For each volume why it is T1c; empty where it is none.
    """
    if all(name != "T1" for _, name, _ in volumes):
        return [""] * len(volumes)  # the times of every slice are worth reading only where they decide something
    moments = [_moment(headers) for headers, _, _ in volumes]
    given = [
        moment
        for moment, (headers, name, reason) in zip(moments, volumes, strict=True)
        if moment
        and text(headers[0], "Modality") == "MR"
        and (name == "T1c" or reason.startswith("a perfusion") or agent_given(headers[0]))
    ]
    return [
        "acquired after a series with contrast agent of the same study"
        if name == "T1" and given and moment and moment > min(given) and said_of(headers[0]).contrast is not False
        else ""
        for moment, (headers, name, _) in zip(moments, volumes, strict=True)
    ]


def _moment(headers: Sequence[Dataset]) -> str:
    """When a volume was acquired, as digits that compare; empty where nothing tells."""
    for day, time in (("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "SeriesTime")):
        found = [
            (text(header, day) or text(header, "StudyDate")) + text(header, time)
            for header in headers
            if text(header, time)
        ]
        if found:
            return min(found)
    return min((text(header, "AcquisitionDateTime") for header in headers), default="")
