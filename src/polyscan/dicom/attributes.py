"""DICOM attributes as plain values: one that is missing, empty or nonsense is None or empty, never an exception."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

Name = str | tuple[int, int] | BaseTag

# Value representations whose bytes say all, whatever else the header holds.
_PLAIN = {"AE", "AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "TM", "UI", "UL", "US"}

MODALITIES = {
    "AR", "ASMT", "AU", "BDUS", "BI", "BMD", "CFM", "CR", "CT", "CTPROTOCOL", "DG", "DMS", "DOC", "DX", "ECG",
    "EEG", "EMG", "EOG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO", "IOL", "IVOCT", "IVUS", "KER", "KO", "LEN",
    "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "OT", "PA",
    "PLAN", "POS", "PR", "PT", "PX", "REG", "RESP", "RF", "RG", "RTDOSE", "RTIMAGE", "RTINTENT", "RTPLAN", "RTRAD",
    "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TEXTUREMAP", "TG", "US",
    "VA", "XA", "XAPROTOCOL", "XC",
}  # fmt: skip
"""Terms of Modality (0008,0060), PS3.3 C.7.3.1.1.1."""

RESCALE_TYPES = {"OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"}
"""Terms of RescaleType (0028,1054), PS3.3 C.11.1.1.2."""

_HOUNSFIELD = re.compile(r"(?:|h\.?u\.?|us|hounsfield(?:[ _-]?units?)?(?: ?\(hu\))?)", re.IGNORECASE)
_ALSO_CALLED = {"BQCC": "BQML", "BQCM3": "BQML", "GCC": "GML", "COUNTS": "CNTS"}


def value(header: Dataset, name: Name) -> Any:
    """An attribute by keyword or tag; None where it is missing, empty or cannot be decoded."""
    try:
        found = header.get(name)
    except Exception:  # decoding nonsense fails in as many ways as there are value representations
        return None
    found = getattr(found, "value", found)
    return None if found is None or (hasattr(found, "__len__") and len(found) == 0) else found


def words(header: Dataset, name: Name) -> list[str]:
    """The values of an attribute, each as stripped text."""
    try:
        found: Any = header.get_item(tag_of(name))
    except Exception:  # as in value
        return []
    if not isinstance(found, RawDataElement) or found.value is None:
        return _texts(value(header, name))
    representation = found.VR or _usual(found.tag)
    if representation not in _PLAIN or not found.is_little_endian:
        return _texts(value(header, name))
    known = "original_character_set" if hasattr(header, "original_character_set") else "read_encoding"  # of pydicom 2.4
    characters = getattr(header, known)
    named = characters if isinstance(characters, str) else tuple(characters or ())
    return list(_decoded(found.tag, representation, found.value, named))


def _texts(found: Any) -> list[str]:
    if found is None:
        return []
    several = [found] if isinstance(found, (str, bytes)) or not hasattr(found, "__iter__") else found
    return [str(item).strip() for item in several]


@lru_cache(maxsize=1 << 14)
def _decoded(tag: BaseTag, representation: str, content: bytes, characters: str | tuple[str, ...]) -> tuple[str, ...]:
    """What bytes of an attribute say: most are the same in all slices of a series."""
    one = Dataset({tag: RawDataElement(tag, representation, len(content), content, 0, False, True)})
    one.set_original_encoding(False, True, characters if isinstance(characters, str) else list(characters))
    return tuple(_texts(value(one, tag)))


@lru_cache(maxsize=4096)
def tag_of(name: Name | int) -> BaseTag:
    """The tag of an attribute, by its keyword or number."""
    return Tag(name)


@lru_cache(maxsize=1024)
def _usual(tag: BaseTag) -> str:
    """The value representation that the standard gives an attribute; empty where it knows none."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def text(header: Dataset, name: Name) -> str:
    """An attribute as text; several values are joined as DICOM does, by backslashes."""
    return "\\".join(words(header, name))


def terms(header: Dataset, name: Name) -> set[str]:
    """The values of an attribute in upper case, as the standard writes its terms."""
    return {word.upper() for word in words(header, name)}


def term(header: Dataset, name: Name, known: Collection[str]) -> str:
    """An attribute for a sentence: one of the terms that are known, else what it is instead, and never its value.

    What people typed, names and dates too, can stand in any attribute.
    """
    found = text(header, name).upper()
    return found if found in known else "none of the terms that are known" if found else "missing"


def is_hounsfield(header: Dataset) -> bool:
    """Whether RescaleType says Hounsfield units, by their term or in words, or leaves them to be those of CT."""
    return _HOUNSFIELD.fullmatch(text(header, "RescaleType")) is not None


def units_of(header: Dataset) -> str:
    """Units (0054,1001) by the term of the standard: BQML, where ``Bq/ml`` or ``Bq/cc`` was written, too."""
    found = re.sub("[^A-Z0-9]", "", text(header, "Units").upper())
    return _ALSO_CALLED.get(found, found)


def number(header: Dataset, name: Name) -> float | None:
    """The first value of an attribute as a finite number, None where it is none."""
    try:
        found = float(words(header, name)[0])
    except (IndexError, ValueError):
        return None
    return found if np.isfinite(found) else None


def numbers(header: Dataset, name: Name, count: int) -> np.ndarray | None:
    """An attribute of that many finite numbers as (count,) float64, None where it is no such thing."""
    try:
        found = np.array([float(item) for item in words(header, name)])
    except ValueError:
        return None
    return found if found.shape == (count,) and np.isfinite(found).all() else None


def private(header: Dataset, group: int, creator: str, element: int) -> list[float]:
    """The numbers of a private attribute, found by the creator of its block; empty where there are none.

    Where de-identification took the creators away, the block is the one that every vendor uses first, 0x10.
    """
    return _plain_numbers(_private(header, group, creator, element))


def private_text(header: Dataset, group: int, creator: str, element: int) -> str:
    """A private attribute as text, found as :func:`private` finds numbers; empty where there is none."""
    found = _private(header, group, creator, element)
    return found.decode("ascii", "ignore").strip("\x00 ") if isinstance(found, bytes) else str(found or "").strip()


def _private(header: Dataset, group: int, creator: str, element: int) -> Any:
    blocks = [tag.element for tag in header.keys() if tag.group == group and 0x10 <= tag.element <= 0xFF]  # noqa: SIM118
    named = [block for block in blocks if text(header, (group, block)).startswith(creator)]
    if blocks and not named:
        return None
    return value(header, (group, (named[0] if named else 0x10) << 8 | element))


def _plain_numbers(found: Any) -> list[float]:
    """Numbers of a value; of bytes, whose type an implicit file does not tell, what their length says they are."""
    try:
        if isinstance(found, bytes):
            if re.fullmatch(rb"[\s\d.eE+\-\\]+\x00?", found):
                found = found.decode("ascii").strip("\x00 ").split("\\")
            else:
                found = np.frombuffer(found, {4: "<f4", 8: "<f8"}[len(found)])
        several = [found] if isinstance(found, str) or not hasattr(found, "__iter__") else found
        return [float(item) for item in several]
    except (KeyError, TypeError, ValueError):
        return []


def items(header: Dataset, name: Name) -> list[Dataset]:
    """The items of a sequence."""
    return _items(value(header, name))


def private_items(header: Dataset, group: int, creator: str, element: int) -> list[Dataset]:
    """The items of a private sequence, found as :func:`private` finds numbers."""
    return _items(_private(header, group, creator, element))


def _items(found: Any) -> list[Dataset]:
    return list(found) if isinstance(found, Sequence) else []
