"""What a name of a folder or a file says of whose the scans in it are, and what it says of them instead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

from polyscan.dicom.words import told
from polyscan.discovery.visits import is_visit, without_visit

# Words of a folder's name that say what lies in it and not whose it is.
_OF_A_SERIES = re.compile(
    r"(?:mr|mri|mrt|irm|pt|petct|pet|nac|ac|dicom|dcm|dicoms|images?(?:tr|ts|val?)?|scans?|resources?|files?|series|study|"
    r"session|raw|data|export|anat\d*|ax|axial|tra|cor|coronal|sag|sagittal|[23]d|head|brain|body|wb|gd|ce|post|pre|rt|"
    r"rtstruct|segm?|struct(?:ural)?|func(?:tional)?|"
    r"left|right|lt|rt|bilateral|neck|thorax|chest|breast|heart|cardiac|abdomen|abd|liver|pelvis|prostate|spine|knee|"
    r"lungs?|mamma\w*|skull|neuro\w*|whole\w*|routine\w*|protocol\w*|staging|therapy|"
    r"(?:19|20)\d{6}|(?:se|ser|series|im|scan)\d+)",
    re.IGNORECASE,
)
# What names say of how, when and where the scans were made and processed, and not whose they are.
_PROCESSED = re.compile(
    r"(?:native|orig(?:inal)?s?|pre|post|(?:pre|post)?-?proc\w*|registered|reg|co-?reg\w*|aligned|bet|(?:skull|un)?strip\w*|"
    r"skull|n4\w*|bias\w*|norm\w*|resampled|iso\w*|mni\w*|atlas|space|deriv\w*|output|out|results?|nii|nifti|nrrd|mha|gz|"
    r"anon(?:ymi[sz]ed)?|backup|old|new|tmp|temp|copy|masks?|labels?(?:tr|ts|val?)?|deface\w*|cropped|final|converted|fsl|spm\d*|ants|freesurfer|fs|"
    r"v\d+|run\d*|acq\d*|\d*mm|fr?fse|[tf]se|gre|flash|cube|vista|spgr|bravo|tfe|ffe|haste|blade|propeller|vibe|epi|"
    r"t?fl[23]d|(?:hf|ff)(?:s|p|d[lr])|fat\w*|nofs|dyn\w*|art|arterial|ven|venous|portal|delayed|early|late|"
    r"(?:mri?|ct|pet|pt|exam\w*|examination|visit|week|wk|month|mo|day|year|yr|fu|time|tp)\d+|before|after|op|initial|"
    r"(?:pre|post|mid)(?:op\w*|rt|rx|tx|treat\w*|ther\w*|surg\w*|biops\w*|chemo\w*|contrast)|first|second|third|last|"
    r"baseline|follow\w*|diagnos\w*|relapse|recurren\w*|progress\w*|retest|rescan|repeat\w*|good|bad|week|month|day|exam|"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\d{2,4}|(?:hospital|site|cent(?:er|re)|scanner)\w?)",
    re.IGNORECASE,
)
# A folder of labels, whatever they are of: cow_seg_labelsTr, tumour_masks, but not images_and_labels.
_LABELS = re.compile(
    r"(?:(?!(?:and|images?|no|or|scans?|with|without)[-_ ])[^\W_]+[-_ ])*"
    r"(?:mas(?:k(?:s|en?)?|ques?|caras?|chere)|labels?(?:tr|ts|val?)?|segs?|(?:manual)?segmentations?|annotations?|delineations?|"
    r"(?:ground[-_ ]?)?truths?|gt)",
    re.IGNORECASE,
)
# sub- of BIDS, which stands first but for letters of SPM's; of sub-P_001_T1w, which is none, P_001.
_SUBJECT = re.compile(
    r"[a-z\d]{0,6}?sub-(?P<subject>[a-z]+[-_](?!(?:19|20)\d{6})(?:\d{3,}|0\d+)(?![a-z\d])|[a-z\d]+)", re.IGNORECASE
)
_PLACE = re.compile(r"(?:hospital|site|cent(?:er|re)|scanner)(?:[-_ ]?\w{1,2})?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}|(?=\d*[a-f])(?=[a-f]*\d)[a-f\d]{8,}", re.IGNORECASE)  # or a hash
# A number that a study gives its patients has a word or a letter before it (case-7, P07), three digits (123), a zero
# (07), or the number of a site (002_S_0295). One of one or two digits may count series, as 301, 401 and 1201 do.
_COUNTED = re.compile(
    r"[^\W\d_]{2,}[-_ ]?\d+|[^\W\d_][-_ ]?\d{2,}|\d{3,}|0\d+|\d{2,}(?:-(?:[^\W\d_]{1,2}|\d{2,}))*-\d{3,}"
)
_MANY = 10  # patients, where all hold one kind of scan: no patient has so many series of it
_SERIES_NUMBER = re.compile(r"[1-9]\d?0\d")
_TIME = re.compile(
    r"(?:19|20)\d\d|(?:19|20)\d\d(?:0[1-9]|1[0-2])\d*|(?:19|20)\d\d[-_. ].*|\d{1,2}[-_. ]\d{1,2}[-_. ]\d{2,4}.*|"
    r"[dmtvwy]\d{1,3}",  # a day, a month, a time point, a visit, a week, a year
    re.IGNORECASE,
)
_GROUP = re.compile(
    r"(?:arm|batch|cent(?:er|re)|class|clinic|cluster|cohort|collection|data\w*|ds|fold|grade|group|hospital|part|project|"
    r"rater|reader|set|site|split|study|test\w*|train\w*|val\w*|ward)"
    r"[-_ ]?\d+",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def tells_whom(folder: str) -> bool:
    """Whether a folder's name may be a patient's: it does not say which scans lie in it, when or how they were made."""
    said = told(folder)
    return (
        said.modality is None
        and not said.other
        and not is_visit(folder)
        and not is_of_labels(folder)
        and bool(words_of_person(without_visit(folder)))
    )


def is_of_labels(folder: str) -> bool:
    """Whether a folder's name says that labels lie in it."""
    return _LABELS.fullmatch(folder) is not None


def is_of_labels_alone(folder: str) -> bool:
    """Whether all that lies in a folder, however deep, is labels by its name; a segmentation may be a whole project."""
    return is_of_labels(folder) and re.search("seg", folder, re.IGNORECASE) is None


def subject_in(name: str) -> str | None:
    """The subject that the name of a file tells as BIDS has it, or nearly so; None where it tells none."""
    found = _SUBJECT.match(name)
    return found["subject"] if found else None


def names_place(folder: str) -> bool:
    """Whether a name says where scans were made, which tells patients of two places apart that have one name."""
    return _PLACE.fullmatch(folder) is not None


def is_word(folder: str) -> bool:
    """Whether a name that may be a patient's has letters, unlike a number, which may count anything."""
    return any(map(_WORD.search, words_of_person(folder)))


def is_counted(folder: str) -> bool:
    """Whether a name is a number such as a study gives its patients: ``0001``, ``case-12``; no date, no group."""
    name = "-".join(words_of_person(folder))
    return bool(_COUNTED.fullmatch(name)) and not (is_time(folder) or names_place(folder) or _GROUP.fullmatch(name))


def counted_alike(folders: Collection[str]) -> bool:
    """Whether names differ only in a number such as a study gives its patients, written in one way."""
    names = {bare(folder).casefold() for folder in folders}
    forms = set(map(without_numbers, names))
    if forms == {"#"}:  # 12 is one where 07 stands beside it, and so is 1 where it goes on to 10 and more
        if len(names) >= _MANY and not any(map(is_time, names)):
            return True
        in_one_way = len(set(map(len, names))) == 1 and not all(map(_SERIES_NUMBER.fullmatch, names))
        return in_one_way and any(map(is_counted, names))
    return len(forms) == 1 and all(map(is_counted, names))


def without_numbers(name: str) -> str:
    """The same for names that differ only in their numbers."""
    return re.sub(r"\d+", "#", name)


def is_time(folder: str) -> bool:
    """Whether a name may be a date, or tell a day, month or visit by a letter and a number."""
    return _TIME.fullmatch(bare(folder)) is not None


def words_of_person(name: str) -> tuple[str, ...]:
    """Those words of :func:`words_of_whom` that do not say how a scan was made or processed."""
    return tuple(word for word in words_of_whom(name) if not _PROCESSED.fullmatch(word))


def words_of_whom(name: str) -> tuple[str, ...]:
    """The words of a folder's name that do not say which scan lies in it: ``anna_CT`` and ``PET-anna`` are anna's."""
    words = re.split(r"[\W_]+", bare(name))
    return tuple(word for word in words if word and not _OF_A_SERIES.fullmatch(word) and told(word).modality is None)


def bare(subject: str) -> str:
    """A subject's name without the prefix that BIDS gives it and the ending of an archive, an accent as one letter."""
    plain = unicodedata.normalize("NFC", subject).removeprefix("sub-")
    return plain[: -len(".zip")] if plain.lower().endswith(".zip") and len(plain) > len(".zip") else plain
