"""What a name of a folder or a file says of whose the scans in it are, and what it says of them instead."""

from __future__ import annotations

import re
from functools import lru_cache

from polyscan.dicom.words import told
from polyscan.discovery.bids import visit_of

# Words of a folder's name that say what lies in it and not whose it is.
_OF_A_SERIES = re.compile(
    r"(?:mr|mri|mrt|irm|pt|petct|pet|nac|ac|dicom|dcm|dicoms|images?|scans?|series|study|session|raw|data|export|anat|"
    r"ax|axial|tra|cor|coronal|sag|sagittal|[23]d|head|brain|body|wb|gd|ce|post|pre|rt|rtstruct|seg|struct|"
    r"left|right|lt|rt|bilateral|neck|thorax|chest|breast|heart|cardiac|abdomen|abd|liver|pelvis|prostate|spine|knee|"
    r"lungs?|mamma\w*|skull|neuro\w*|whole\w*|routine\w*|protocol\w*|staging|therapy|"
    r"(?:19|20)\d{6}|(?:se|ser|series|im|scan)\d+)",
    re.IGNORECASE,
)
# What names say of how, when and where the scans were made and processed, and not whose they are.
_PROCESSED = re.compile(
    r"(?:native|orig(?:inal)?s?|pre|post|(?:pre|post)?-?proc\w*|registered|reg|co-?reg\w*|aligned|bet|(?:skull)?strip\w*|"
    r"skull|n4\w*|bias\w*|norm\w*|resampled|iso\w*|mni\w*|atlas|space|deriv\w*|output|out|results?|nii|nifti|nrrd|mha|gz|"
    r"backup|old|new|tmp|temp|copy|masks?|labels?|deface\w*|cropped|final|converted|fsl|spm\d*|ants|freesurfer|fs|"
    r"v\d+|run\d*|acq\d*|\d*mm|fr?fse|[tf]se|gre|flash|cube|vista|spgr|bravo|tfe|ffe|haste|blade|propeller|vibe|epi|"
    r"fat\w*|nofs|dyn\w*|art|arterial|ven|venous|portal|delayed|early|late|"
    r"(?:mri?|ct|pet|pt|exam\w*|examination|visit|week|wk|month|mo|day|year|yr|fu|time|tp)\d+|before|after|op|initial|"
    r"(?:pre|post)(?:op\w*|rt|rx|tx|treat\w*|ther\w*|surg\w*|biops\w*|chemo\w*|contrast)|first|second|third|last|"
    r"baseline|follow\w*|diagnos\w*|relapse|recurren\w*|progress\w*|retest|rescan|repeat\w*|good|bad|week|month|day|exam|"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\d{2,4}|(?:hospital|site|cent(?:er|re)|scanner)\w?)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:hospital|site|cent(?:er|re)|scanner)\w?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")


@lru_cache(maxsize=4096)
def tells_whom(folder: str) -> bool:
    """Whether a folder's name may be a patient's: it does not say which scans lie in it, when or how they were made."""
    said = told(folder)
    return said.modality is None and not said.other and not visit_of(folder) and bool(words_of_person(folder))


def names_place(folder: str) -> bool:
    """Whether a name says where scans were made, which tells patients of two places apart that have one name."""
    return _PLACE.fullmatch(folder) is not None


def is_word(folder: str) -> bool:
    """Whether a name that may be a patient's has letters, unlike a number, which may count anything."""
    return any(map(_WORD.search, words_of_person(folder)))


def words_of_person(name: str) -> tuple[str, ...]:
    """Those words of :func:`words_of_whom` that do not say how a scan was made or processed."""
    return tuple(word for word in words_of_whom(name) if not _PROCESSED.fullmatch(word))


def words_of_whom(name: str) -> tuple[str, ...]:
    """The words of a folder's name that do not say which scan lies in it: ``anna_CT`` and ``PET-anna`` are anna's."""
    words = re.split(r"[\W_]+", bare(name))
    return tuple(word for word in words if word and not _OF_A_SERIES.fullmatch(word) and told(word).modality is None)


def bare(subject: str) -> str:
    """A subject's name without the prefix that BIDS gives it and the ending of an archive."""
    plain = subject.removeprefix("sub-")
    return plain[: -len(".zip")] if plain.lower().endswith(".zip") and len(plain) > len(".zip") else plain
