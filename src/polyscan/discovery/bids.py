"""What the name of a NIfTI file says: by suffix and entities where it follows BIDS, otherwise by its words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from polyscan.dicom.words import dual_energy, told
from polyscan.discovery.whose import is_of_labels, is_of_labels_alone, subject_in, words_of_person
from polyscan.formats.endings import stem_of
from polyscan.modality import MODALITIES

_BIDS = re.compile(r"^sub-[A-Za-z0-9]+(?:_[A-Za-z]+-[A-Za-z0-9]+)*_(?P<suffix>[A-Za-z0-9]+)$")
_ENTITY = re.compile(r"([A-Za-z]+)-([A-Za-z0-9]+)")
_SUFFIXES = {m.suffix: m.name for m in MODALITIES.values()}
_SUFFIXES |= {"T2star": "T2star", "inplaneT1": "T1", "inplaneT2": "T2", "UNIT1": "T1", "ct": "CT", "CT": "CT"}
# Suffixes that seem to name a modality, and entities with which a file is no scan by itself.
_OTHER_SUFFIXES = {
    "MP2RAGE": "an inversion image of MP2RAGE", "IRT1": "an image for a T1 map", "uCT": "a microscopy",
    "PDT2": "two echoes in one file",
}  # fmt: skip
# The subject and session of a name, by BIDS or nearly so, as in SUB-01, PD_001 and PT_001, which otherwise stand for a
# subtraction, proton density and PET; so do PD and PT before a name.
_WHOSE = re.compile(r"(?:sub|ses)-[A-Za-z0-9]+_?|^(?:sub|pd|pt)[-_ ]?[a-z]{0,4}\d+[-_ ]", re.IGNORECASE)
_GROUP = re.compile(r"^(?:pd|pt)[-_ ]+(?P<whose>[^\W\d_]{2,})[-_ ]", re.IGNORECASE)
_NONE_GIVEN = re.compile(r"(?:none|non?|not|pre|without|wo|native?|plain|false|0)(?:ce|gd|gad\w*|contrast\w*)?", re.I)
_PARTS = {"phase", "real", "imag"}
_FREE = ("acq", "rec", "desc")  # entities of BIDS with a text of anybody's choice
_FREE_TEXT = "acq-, rec- or desc-"
_LABEL = {"dseg", "seg", "mask", "msk", "label", "labels", "gtv", "segmentation", "lesion", "roi", "probseg"}
_LABEL_WORDS = re.compile(
    r"(?:^|[_\W])(?:(?:lesion|roi|tumou?r|l(?:ä|ae)sions?)?(?:mas(?:k(?:s|en?)?|ques?|caras?|chera)|d?seg)|segm|label(?:s|maps?)?|"
    r"[gcp]tv[npt]?[-_]?\d?|segment(?:ations?|ierung|azione|acion)|roi|rtstruct|маск\w*|сегмент\w*|(?:lesions?|tumou?rs?)_manual)"
    r"(?:[_\W]|$)|[-_](?:reader|rater)[-_]?\d(?:[_\W]|$)|分割|掩[膜码]|标注|標註|マスク|마스크|\.(?-i:OT)(?:\.|$)|"
    r"(?:[-_]|^)(?:annotations?|consensus|contours?|delineations?|gt|infarct|lesions?|o?edema|truth|tumou?rs?)$|"
    r"[-_]msk$|^wmh$",
    re.IGNORECASE,
)
_UNTOLD = "its name tells no modality"
BY_AGENT = "its name tells a contrast agent and not of which scan, or CT"
_AGENT = re.compile(r"(?:^|[_\W])(?:ct1$|g(?:d|ad|ado\w*)(?=[_\W]|$))", re.IGNORECASE)
_IS_COMPUTED = "a map computed from a scan: its name says so"
BY_FOLDER = "that of its folder does"
# What SPM, FSL, ANTs and others call maps that they compute, and scans that they moved or changed.
_COMPUTED = re.compile(
    r"(?:^|[_\W])(?:prob(?:s|map|abilit\w+)?|jacobian\w*|warp|deformation\w*|displacement\w*|uncertaint\w*|heat_?maps?|entropy|"
    r"preds?|predict\w*|residuals?|pve(?:seg)?|fast_seg|fseg|firstseg)(?:[_\W]|$)|^(?-i:[smrwu]{0,3}c[1-6](?=[A-Z]))",
    re.IGNORECASE,
)
_DERIVED = re.compile(
    r"(?:^|[_\W])(?:mni\w*|t88|normali[sz]ed|warped|reg|registered|co-?reg\w*|aligned|res(?:ampled|liced)|bet|brain|"
    r"(?!un)\w*strip(?:ped)?|n4\w*|bias\w*|denoised|smooth\w*|defaced|(?:pre|post)?-?process\w*|preproc|acpc|restored?|eddy|topup|"
    r"to|in|ctres)(?=[_\W]|$)|^(?-i:[mrwu]{1,3}(?=[A-Z]))",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"fsaverage\w*|cvs_avg\w*|tpl-.+|mni152_t\w+mm\w*|mni_icbm152\w*", re.IGNORECASE)
_DERIVED_FOLDER = re.compile(
    r"derivatives|mni\w*|(?:pre|post)?-?process\w*(?:[-_ ]data)?|preproc|normali[sz]ed|(?:co-?)?registered|"
    r"\w*strip(?:ped)?|atlas(?:[-_ ]space)?",
    re.IGNORECASE,
)
_BY_FOLDER = 8  # which says more than the words in a name
# What labels the anatomy of everybody.
_ANATOMY = re.compile(r"[fs]?mriprep|freesurfer|fastsurfer|synthseg|samseg|mriqc|qsiprep|nibabies", re.IGNORECASE)
# The number that an export gives a series before its name.
_SERIES_NUMBER = re.compile(r"^\d+[-_. ]+")
_NOT_TRUTH = re.compile(
    r"(?<!VSD\.)(?<!SMIR\.)(?:brain|body|head)(?![-_ ]?(?:tumou?r|lesion|met(?:s|astas)|(?:(?:and|&)[-_ ]?)?neck))|"
    r"foreground|hirn(?!tumor|l)|cerveau|мозг|脑(?!肿|病)|preproc|deface|probseg|aseg|aparc|wmparc|ribbon|tissue|anatom(?:y|ical)|"
    r"drawem|atlas-|skull|strip|subcort|(?:^|[_\W])(?:hd-?)?bet(?:[_\W]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """What a file name tells.

    Attributes:
        modality: of an image what it is, of a label what it was drawn on; None where the name does not tell.
        reason: why, or what it is instead.
        label: whether it is a segmentation of what was found, and no mask of the body.
        entities: those of BIDS, by their short names, such as ``{"sub": "01", "run": "1"}``.
        derived: how often its names say that it was resampled or processed; what was least is taken first.
        by_folder: whether it tells nothing, and the name of a folder does.
    """

    modality: str | None
    reason: str
    label: bool = False
    entities: dict[str, str] = field(default_factory=dict)
    derived: int = 0
    by_folder: bool = False

    @property
    def is_untold(self) -> bool:
        """Whether the name says nothing at all of what the file is."""
        return self.by_folder or (self.reason == _UNTOLD and not self.label)


def named_in(folders: Sequence[str], name: str) -> Named:
    """What the name of a file tells, and, where that is nothing, the innermost of its folders that tells something.

    A folder tells a modality where nothing else stands in its name, as in ``T1/0001.nii.gz`` and ``MR_FLAIR/scan.nii``;
    what lies in one called ``masks`` or ``labels`` is a label, and what in ``derivatives`` or ``MNI`` was made
    from a scan. A name that begins with those of its folders says where it lies, and then what it is.

    Args:
        folders: that the file lies in, the outermost first.
        name: of the file.
    """
    found = named(name)
    if not found.entities and name.startswith(where := "_".join((*folders[-2:], ""))):  # P1/T1/P1_T1_FLAIR.nii.gz
        behind = named(name.removeprefix(where))
        found = found if behind.is_untold else behind
    of_labels = [*filter(is_of_labels_alone, folders[:-1]), *filter(is_of_labels, folders[-1:])]
    if of_labels and not found.entities and not found.label:
        return _label(stem_of(name), {}, " ".join(of_labels))
    if found.label and any(map(_ANATOMY.fullmatch, folders)):
        return replace(found, label=False, modality=None, reason="a segmentation of the anatomy, by its folder")
    if any(map(_TEMPLATE.fullmatch, (*folders, stem_of(name)))):
        return Named(None, "a template, by its name", entities=found.entities)
    of_folders = _BY_FOLDER * sum(map(bool, map(_DERIVED_FOLDER.fullmatch, folders)))
    found = replace(found, derived=found.derived + of_folders)
    if not found.is_untold:
        return found
    for folder in reversed(folders):
        said, whose = told(folder), words_of_person(_SERIES_NUMBER.sub("", folder))
        if said.modality not in (None, "PD") and not whose:  # PD is a group of patients mostly
            return replace(found, modality=said.modality, reason=f"{_UNTOLD}, {BY_FOLDER}", by_folder=True)
        if said.other:  # as in T1/localizer/1.nii.gz
            return found
    return found


def named(name: str) -> Named:
    """What a file name tells.

    In BIDS the suffix is the contrast; ``ce-`` tells a contrast agent, ``space-`` the grid, never the contrast, except
    of a label, whose ``space-`` is the scan that it was drawn on.
    """
    stem = stem_of(name)
    found = _BIDS.match(stem)
    entities = dict(_ENTITY.findall(stem)) if stem.startswith("sub-") else {}
    entities |= {"sub": subject_in(stem) or ""} if entities else {}
    derived = len({"space", "desc", "res"} & entities.keys()) + (entities.get("mt") == "on")
    derived += entities.get("rec", "acstat").lower() != "acstat"  # which of PET is the usual image
    label = _LABEL_WORDS.search(stem) if found is None else found["suffix"].lower() in _LABEL or None
    if label or (found and found["suffix"] == "defacemask"):
        return _label(stem, entities)
    if found is None:
        group = _GROUP.match(stem)
        whose = _WHOSE.sub("", stem[group.end() :] if group and words_of_person(group["whose"]) else stem)
        told_of, whole = (_plain(text, entities, derived) for text in (whose, stem))
        return whole if told_of.is_untold and whole.modality else told_of
    suffix = found["suffix"]
    if entities.get("part") in _PARTS:
        return Named(None, f"a phase, real or imaginary image: part-{entities['part']}", False, entities)
    if "inv" in entities and suffix not in ("UNIT1",):
        return Named(None, f"one inversion of several: inv-{entities['inv']}", False, entities)
    if "chunk" in entities:
        return Named(None, f"a part of a volume: chunk-{entities['chunk']}", False, entities)
    if suffix == "pet" and entities.get("rec", "").lower().startswith("nac"):
        return Named(None, f"a PET without attenuation correction: rec-{entities['rec']}", False, entities)
    if suffix in _OTHER_SUFFIXES:
        return Named(None, f"{_OTHER_SUFFIXES[suffix]}: its BIDS suffix is {suffix}", False, entities)
    modality = _SUFFIXES.get(suffix) or told(suffix).modality  # many write T2 or t1ce where BIDS has T2w
    said = told(" ".join(entities.get(name, "") for name in _FREE))
    if modality and said.other:
        return Named(None, f"{said.other}: its {_FREE_TEXT} says so", False, entities)
    if modality == "DWI" and said.modality == "ADC":
        return Named("ADC", f"its {_FREE_TEXT} says so", False, entities)
    if modality is None:
        return Named(None, f"its BIDS suffix is {suffix}, which is no modality that is used", False, entities)
    reason = f"its BIDS suffix is {suffix}"
    if modality == "T1" and not _NONE_GIVEN.fullmatch(entities.get("ce", "none")):
        return Named("T1c", f"{reason}, with contrast agent by ce-{entities['ce']}", False, entities, derived)
    if modality == "T1" and "ce" not in entities and said.contrast:
        return Named("T1c", f"{reason}, with contrast agent by its {_FREE_TEXT}", False, entities, derived)
    return Named(modality, f"its BIDS suffix is {suffix}", False, entities, derived)


def _label(stem: str, entities: dict[str, str], folder: str = "") -> Named:
    if _NOT_TRUTH.search(stem) or _NOT_TRUTH.search(folder):
        return Named(None, "a mask of the body, no label", False, entities)
    if _COMPUTED.search(stem) or _COMPUTED.search(folder):
        return Named(None, _IS_COMPUTED, False, entities)
    bare = _WHOSE.sub("", stem)
    modality = told(entities.get("space", re.sub(_LABEL_WORDS, " ", bare))).modality
    reason = "its name says so" if modality else "its name does not tell which scan it was drawn on"
    return Named(modality, reason, True, entities)


def _plain(stem: str, entities: dict[str, str], derived: int) -> Named:
    said = told(stem)
    if _COMPUTED.search(stem):
        return Named(None, _IS_COMPUTED, False, entities)
    if said.modality == "CT" and (word := dual_energy(stem)):
        return Named(None, f"a dual-energy map: its name says {word}", False, entities)
    derived += len(_DERIVED.findall(stem))
    if not said and _AGENT.search(stem):
        return Named("T1c", BY_AGENT, False, entities, derived)
    if said.modality is None:
        return Named(None, f"{said.other}: its name says so" if said.other else _UNTOLD, False, entities)
    return Named(said.modality, "its name says so", False, entities, derived)
