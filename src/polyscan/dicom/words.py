"""What a description, a protocol or a file name says of a scan: words of several languages and vendors' habits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from pydicom import Dataset

from polyscan.dicom import attributes
from polyscan.dicom.agent_words import says_agent
from polyscan.modality import MODALITIES


@dataclass(frozen=True)
class Told:
    """What words tell.

    Attributes:
        modality: the one that they name; None where they name none, or something that is none.
        other: what they name that is no modality, as a noun with its article.
        contrast: whether they say that a contrast agent was given; None where they do not say.
    """

    modality: str | None = None
    other: str | None = None
    contrast: bool | None = None

    def __bool__(self) -> bool:
        return self.modality is not None or self.other is not None


def _words(*patterns: str) -> re.Pattern[str]:
    """Any of these between characters that are no letters and no digits."""
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(patterns)})(?![a-z0-9])")


_BEFORE = r"(?:[23]d|ax|axi|axial|tra|trans|cor|coro|sag|obl|fs|fatsat|se|tse|fse|gre|ir|iso|hr|wip|opt|e|w|s|p|sense)?"
_T1 = re.compile(rf"(?<![a-z]){_BEFORE}t1(?!\d|rho| rho|[ -]*[tl]\d)")
_T2 = re.compile(rf"(?<![a-z]){_BEFORE}t2(?!\d|[ -]*[tl]\d)")
_T2_STAR = re.compile(
    rf"(?<![a-z]){_BEFORE}t2 ?(?:\*|star|stern|etoile|estrella|s(?![a-z])|w?i? ?ffe(?![a-z])|"
    r"w?[^a-z0-9]+(?:(?:gre|eg)(?![a-z])|(?:eco de )?gradient|hemosid))|"
    r"(?<![a-z])gre[^a-z0-9]+t2(?!\d)|"
    r"(?<![a-z])mag images|(?<![a-z])(?:hemo|haemo|hemoflash)(?![a-z])|heme (?:gre|sens)"
)
# On which scan's grid something lies says nothing of what it is.
_ELSEWHERE = re.compile(
    r"(?<![a-z0-9])(?:(?:space|reg|registered|coreg|aligned|resampled)?[ -]*(?:to|onto|on|in)[ -]+|space-|ref[ -]?|"
    r"reg2[ -]?)(?:t[12]\w*|flair|ct|pet|dwi|adc)(?![a-z])|"
    # And nor does what it is for, as of a T1 for fMRI.
    r"(?<![a-z0-9])(?:for|fur|pour|para|per|voor)[ -]+(?:f ?mri|mrs|spe[ck]tro\w*|dti|bold|asl|perf\w*)(?![a-z])"
)

REFORMATTED = "a reformatted series"
# MPR is an MPRAGE where T1w stands before it (HCP), or corrections of an acquired image behind it (ADNI, OASIS).
_CORRECTED = r"(?=(?: ?-?r)?[ -]+(?:(?:\d )?(?:anon|nifti)|n[34]|grad ?warp))"
_REFORMAT = _words(rf"mpr ?range|(?<!t1w )mprs?(?!{_CORRECTED})|reformat\w*|re?fmt")
# What is no contrast of its own, whatever else is said.
_NEVER = {
    "a localizer": _words(
        r"locali[sz]er[s0-9]*|loc|scout|locator|topo(?:gram\w*)?|ubersicht\w*|scanogram|"
        r"(?<!skeletal )(?<!trauma )survey|"
        r"surview|3 ?-?plane(?: loc)?|aa ?h(?:ead)? ?scout|smart ?brain|lokali[sz]er|lokalisator|localisateur|reperage|"
        r"localizador|haste loc|plan scan|tri ?-?pilot|3 ?-?pl\w*|localizzatore|локала[ий]зер|定位|位置決め"
    ),
    "a projection, not a volume": _words(
        r"m ?ips?|m(?:in|n|ax) ?ip|mini ?p|vrt|volume render\w*|(?:re ?)?projections?"
    ),
    "a subtraction of two scans": _words(
        r"subs?\d*(?!-(?:mm|\d\d))|post ?- ?pre|(?:sure ?)?subtr\w*|subtrakt\w*|soustraction|sustraccion|minus|"
        r"difference|t1w?[^a-z0-9]+diff|diff[^a-z0-9]+t1w?"
    ),
    REFORMATTED: re.compile(rf"{_REFORMAT.pattern}|{_words('cpr|curved').pattern}"),
    "a phase image": re.compile(
        r"(?<![a-z])(?:pha|ph)(?![a-z]| ?\d| (?:enc|ap|pa|rl|lr)(?![a-z]))|(?<![a-z])phase ?(?:map|image|diff)|"
        r"phasediff|unwrap|(?:(?:swi?|swan)(?: \w+)*|filt\w*|corr\w*|raw) ?(?:phase|fa[sz]e)(?![a-z])|fa[sz]e swi|"
        r"imagen de fase|^phase\d?$|part-phase"
    ),
    "a real or imaginary image": _words(r"real(?!\W*time)|imag(?:inary)?"),
    "a spectroscopy": _words(r"csi|svs|mrs|mrsi|spectro\w*|spektro\w*|press|steam|semi ?laser|epsi"),
    "a screen capture or report": _words(
        r"screen ?saves?|screen ?shots?|(?:screen|secondary) ?capture|key ?images?|^report|functool|dyna ?cad|"
        r"dose (?:report|info\w*)|(?:exam|rapid) summary|patient protocol"
    ),
    "a monitoring of the contrast agent": _words(
        r"smart ?prep\w*|(?:care ?|test ?|timing ?)bolus|bolus ?(?:track|tim)\w*|^(?:pre ?)?monitoring|sure ?start|"
        r"^tracker"
    ),
    "a mask": _words(r"\w*mask|defacemask|brain ?mask"),
}
_MAPS = {each.name: _words(*each.aliases) for each in MODALITIES.values() if each.is_map}
# Those first that stand for no study: a "PET/CT" that is no CT is the PET.
_ALIASES = {m.name: _words(*m.aliases) for m in reversed(MODALITIES.values()) if m.aliases and not m.is_map}
_EXPONENTIAL = _words("e ?adc|adc ?exp\\w*|exp(?:onential)? ?(?:adc|apparent.*)|exponential.*")
ATTENUATION_MAP = "an attenuation map for PET"
TRANSMISSION = "a transmission scan for PET"
KINETIC = "a map of the kinetics of a tracer"
UNCORRECTED = "a PET without attenuation correction"
UNWEIGHTED = "the unweighted (b = 0) image of a diffusion series"
_B = r"(?<!calc )b ?(?:-?val(?:ue)?s?|-?wert|-?faktor)? ?[=-]? ?"
SEVERAL_B = "a diffusion image of several b-values, b = 0 among them, of which nothing tells this one's"
_OTHERS = {
    UNCORRECTED: re.compile(
        r"(?<![a-z])pe?t[^a-z](?:.*[^a-z])?(?:nac|non? ?-?ac|(?<!motion )un ?-?[ck]orr\w*|ac ?(?:off|-(?= *$))|"
        r"(?:non?|not|nicht|niet|nao|without|w ?/ ?o|wo ?/?|ohne|sans|sin|senza|sem|bez|без)[ -]?"
        r"(?:ac|att\w*|schw\w*|(?:ge)?[ck]orr?[ei]\w*|корр\w*))(?![a-z0-9])|"
        r"(?<![a-z])nac[^a-z0-9]+pe?t|[未非无無](?:衰[减減])?校正"
    ),
    "a B0 field map": _words(
        r"field ?map\w*|fmap|gre field mapping|b0 ?-?maps?|db0|delta ?b0|b0 shim\w*|shim\w*|b0rf|freq\w* map|"
        r"off ?resonance"
    ),
    "a B1 map": _words(r"[rt]?b1 ?\+?-? ?maps?|[rt]b1\w*|b1(?! ?corr)|tfl b1map|flip angle map|afi|bloch ?-?siegert"),
    "a calibration scan": _words(
        r"calib\w*|asset ?cal\w*|^asset$|sense ?ref\w*|ref ?scan|coil ?(?:survey|sens\w*)|prescan(?! ?norm)|setter"
    ),
    ATTENUATION_MAP: _words(
        r"(?:[uµμ]|mu)[ -]?map|(?:linear )?attenuation[ -]?(?:map|coeff\w*|values?)|mr ?ac(?!.* pet$)|ac ?map"
    ),
    TRANSMISSION: _words(r"transmission\w*(?! ?(?:corr|ac(?![a-z])|atten))|tx ?scans?"),
    "a quantitative map": _words(
        r"r?t[12] ?(?:star|\*)?[- ]?maps?|t[12] images|r[12] ?(?:s|star|\*|maps?)|t[12] ?(?:star|\*)?[- ]?mapping|"
        r"t1 ?-?rho|vfa|ratio|"
        r"(?:multi|variable) ?-?flip\w*(?: angles?)?|despot\d?|qsm|chi ?map|mtr(?: ?asym)?|mtsat|(?:pd|"
        r"proton dens\w*) ?maps?|ecv|std ?dev\w*|stdev|goodness of fit|molli|shmolli|mwf|"
        r"suscept\w* map\w*|myomaps?|qmap|relax\w*|mrf|fingerprint\w*"
    ),
    "a CT computed from MR": _words(r"(?:pseudo|synth?(?:etic)?) ?-?ct|mr ?cat"),
    "an image computed from a quantitative scan": _words(
        r"magi ?c\w*|sy ?mri|mdme|qrapmaster|qalas|synthetic|(?:t[12]w?)?synth?\w*|syt[12]\w*"
    ),
    "a diffusion tensor map": _words(
        r"(?:col)?fa(?! ?\d)|col ?fa|(?:axial|radial) diffusiv\w*|eigen\w*|colou?r map|tensor ?(?:b0)?(?= *$| map)|"
        r"fract\w* ?aniso\w*|fractional|mean diff\w*|rgb|ivim|kurtosis map|[mr]d map|"
        r"d[tk]i[^a-z0-9]+(?:\w+[^a-z0-9]+)?(?:[amr][dk]|tr|mo|s0|[lv][123])"
    ),
    "an arterial spin labelling series": _words(
        r"p?c?p? ?casl\w*|pasl|asl\w*|3d ?p?c?asl|\w*pcasl|spin label\w*|m0scan"
    ),
    "an angiography": _words(
        r"(?<!pet )(?<!pt )tof(?! pe?t)\w*|\d+d ?tof\w*|mra|ce ?-?mra|mrv|angio\w*|venogra\w*|arteriogra\w*|pca|"
        r"pc ?-?mr[av]?|"
        r"[23]d ?-?pc|inhance|trance|tricks|twist|time of flight|fl3d ?tof|phase contrast|qflow|q ?-?flow|"
        r"4d ?-?flow|(?<!blood )flow(?! ?comp)|vénc\w*|venc\w*"
    ),
    "a perfusion series or map": _words(
        r"perf(?!or)\w*|vpct\w*|pwi|dsc\w*|dce\w*|(?:rel|r)?mtt|ttp|t ?max|tmip|pbp|gbp|ktrans|k ?trans|kep|i ?auc\w*|"
        r"v[ep]|permeab\w*|(?:blood )?flow ?extr\w*|blood ?flow|mean ?transit\w*|wash ?-?(?:in|out)|(?:neg|"
        r"pos)(?:ative|itive)? enhance\w*|enhance\w* map|time to peak|tt0"
    ),
    "a functional series": re.compile(
        rf"{_words('(?<!ven )(?<!veno )bold|t ?-?(?:maps?|test)|sbref|moco ?series').pattern}|"
        rf"^(?!.*{_T1.pattern}).*{_words('(?:rs )?f ?mri|resting ?state|rest|task').pattern}"  # else its head
    ),
    "a double inversion recovery series": _words(
        r"double ?-?inversion\w*|"
        r"(?<! \d )(?<!\d\d )(?<!diff )(?<!dti )(?:[23]d ?)?dir(?!-| ?\d+(?!d)| (?:ap|pa|lr|rl)(?![a-z]))"
    ),
    "a tagged series": _words(r"tagging|tagged|spamm"),
    "an elastography": _words(r"mre|elasto\w*|stiffness\w*"),
    "an image of fluid alone": _words(r"mrcp\w*|cholangio(?:gra\w*|pancr\w*)?|myelo(?:gra\w*)?|mr ?-?uro\w*"),
    "an image of fat and water apart": _words(
        r"m? ?dixon\w*|wfi|ideal\w*|t1\w*(?: \w+)? in(?= *$| (?:tra|cor|sag|ax)(?![a-z]))|"
        r"water(?! ?(?:exc|sat|sup|sel))|wasser|eau|agua|acqua|fat(?!\W*(?:sat|sup|nav|free))|"
        r"fett(?!\W*(?:sat|unt|sup))|in ?-?phase|t1w?i? (?:ip|op)(?= *$)|out ?-?(?:of ?-?)?phase|"
        r"opp(?:osed)? ?-?phase|opp|inphase|outphase|lava ?-?flex|pdff|fat ?frac\w*|"
        r"(?:w|f|water|fat) ?-?only|ip ?/ ?op",
        # Of a gradient echo a letter at the end, as dual echoes and Dixon have it.
        r"(?:vibe|lava|e?-?thrive|quick3d)(?: \w+)* (?:[wf]|ip|opp?|in|out)(?= *$)",
        r"m?ffe [io]p(?= *$)|[io]p t1\w* m?ffe",
    ),
    KINETIC: _words(
        r"patlak\w*|logan (?:plot|map|vt|dvr)|influx\w*|k[1i] (?:map|image|slope)|parametric k[1i]|"
        r"(?<=pet )parametric\w*|cmr ?gl\w*|dvr|suvr|bpnd"
    ),
    "a fusion of two scans": _words(r"fused|(?:pet|ct|image) fusion|overlay|blended"),
    "an inversion image of MP2RAGE": re.compile(r"(?<![a-z])inv ?-?[12](?!\d)"),
    "a balanced steady-state series": _words(r"fiesta\w*|ciss|tru ?fi\w*|true ?fisp|s?b ?-?[ft]fe|b?ssfp|balanced"),
    "a magnetisation transfer or CEST series": _words(r"cest|apt\w*|mtc|magneti[sz]ation transfer"),
    SEVERAL_B: re.compile(
        rf"(?<![a-z0-9]){_B}0+(?:[^a-z0-9]+(?:{_B})?\d{{2,5}}(?![0-9a-z]))+|"
        r"(?<![a-z])(?:dwi|diff\w*|dti) +0(?: +\d{2,5}(?![0-9a-z]))+|"
        rf"(?<![a-z0-9]){_B}\d{{2,5}}(?:[^a-z0-9]+{_B}\d{{2,5}})*[^a-z0-9]+{_B}0+(?![0-9a-z])"
    ),
    UNWEIGHTED: re.compile(rf"(?<![a-z0-9]){_B}0+(?![0-9a-z])|low ?b(?![a-z])"),
}
_DWI = _words(
    r"dwi\w*|dti\w*|diff\w*|d ?mri|trace\w*|difu\w*|dw|(?<!deep )resolve|b ?[=-]? ?[1-9]\d{2,3}|hbv|ep b[1-9]\d+t?",
    r"(?:拡散|弥散|扩散|확산|диффуз)\w*|дви",
)
_SWI = _words(r"swi(?!ft)\w*|swan\w*|swip|suscept\w*|veno? ?bold|sus ?w\w*|磁敏感\w*")
_STIR = _words(r"(?:[23]d|ax|cor|sag)? ?stir\w*|t2 ?stir|short tau")
_TIRM = _words(r"\w*tirm\w*")  # Siemens' word for both: STIR, where no other says that it nulls fluid
_FLAIR = _words(
    rf"{_BEFORE} ?(?:t2)?w? ?flair\w*|"
    r"fla|dark ?-?fluid|dunkel ?-?fl\w*|da ?-?fl|\w*flair|t2f|fluid ?-?atten\w*|spcir\w*|\w*[压抑]水\w*|水抑制|"
    r"фл[аэе]ир"
)
_T1_FLAIR = re.compile(
    r"(?<![a-z])(?:[23]d|ax|tra|cor|sag)?t1(?!\d)\w*[^a-z0-9]+(?:\w+[^a-z0-9]+){0,2}(?:flair|dark ?-?fluid)|"
    r"(?<![a-z0-9])t1w?flair|flair[^a-z0-9]+t1"
)
_T1_NAMES = _words(
    r"mp ?-?rage\w*|mp2rage\w*|me ?-?mprage|bravo|vibrant|i?r? ?-?f?spgr\w*|vibe\w*|lava\w*|e? ?-?thrive|tfl3d\w*|"
    r"ir ?-?f?spgr|mdeft|mpr ?age|uni ?(?:den)?",
    rf"(?:mpr|mt1){_CORRECTED}",
)
_DUAL_ENERGY = re.compile(
    r"(?<![a-z])(?:iodin[a-z]*(?! contrast)(?![a-z])|[ij]od(?:karte|bild)?(?![a-z])|vnca?(?![a-z])|virtual non|"
    r"z ?eff(?:ective)?(?![a-z])|eff(?:ective)? z(?![a-z])|electron density|mono(?: ?e\w*|\+| ?plus| ?\d\d|chrom\w*)|"
    r"vmi(?![a-z])|material density|gsi(?![a-z])|spectral|uric|calcium suppr|pure ?(?:calcium|lumen)|virtual unenh|"
    r"rho(?![a-z])|(?:attenuation|hu) curve|hu\*|(?:sbi|vue)(?![a-z])|pbv|blood volume|overlay|(?:fat|edema) map|"
    r"(?:fat|water) ?\()|kev(?![a-z])|(?<=[a-z])\((?:water|iodine|calcium|fat|hap|uric\w*)\)"
)
_T2_NAMES = _words(r"haste\w*|ssfse\w*|ss ?-?tse")

_CONTRASTS = (
    ("SWI", _SWI),
    ("DWI", _DWI),
    ("STIR", _STIR),
    ("FLAIR", _FLAIR),
    ("STIR", _TIRM),
    ("T2star", _T2_STAR),
    ("T1", _T1),
    ("T2", _T2),
    ("T1", _T1_NAMES),
    ("T2", _T2_NAMES),
)
"""In which order they are looked for: what says more goes first."""


@lru_cache(maxsize=4096)
def told(text: str) -> Told:
    """What a text says, as ``"ep2d_diff_3scan_trace_ADC"`` says ADC and ``"t1_mprage_tra_p2_iso_KM"`` T1c."""
    plain = _plain(text)
    never = _first(_NEVER, plain)
    if never:
        return Told(other=never)
    if _EXPONENTIAL.search(plain):
        return Told(other="an exponential ADC map")
    parametric_map = _first(_MAPS, plain)
    if parametric_map:
        return Told(parametric_map)
    other = _first(_OTHERS, plain)
    if other:
        return Told(other=other)
    name, given = _contrast_of(plain), says_agent(plain)
    return Told("T1c" if name == "T1" and given else name, contrast=given)


def said_of(header: Dataset, as_acquired: bool = False) -> Told:
    """What was written of the series; where that says nothing of the protocol, often named after the examination.

    Args:
        header: of one of its slices.
        as_acquired: whether the slices are said to be those that were acquired: then ``t1_mpr_sag`` of a turboFLASH
            sequence (tfl) is Siemens' short word for MPRAGE, and no reformat.
    """
    mprage = as_acquired and attributes.text(header, "SequenceName").lstrip("*").startswith("tfl")
    silent = Told()  # of the contrast agent at most
    for name in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName"):
        found = told(attributes.text(header, name))
        if mprage and found.other == REFORMATTED:
            found = told(without_reformat(attributes.text(header, name)))
        if found:
            return found
        silent = found if silent.contrast is None else silent
    return silent


def dual_energy(text: str) -> str | None:
    """The word of a text that says that a CT is a map of dual energy, in no Hounsfield units."""
    found = _DUAL_ENERGY.search(text.lower().replace("_", " ").replace("-", " "))
    return found[0] if found else None


def is_agent_by_pass(text: str) -> bool:
    """Whether the number of a pass alone says that a contrast agent was given, as in ``"Ph2/DYN LAVA"`` of GE."""
    plain = _plain(text)
    return bool(says_agent(plain)) and not says_agent(re.sub(r"^ph ?\d+", "", plain))


def without_reformat(text: str) -> str:
    """A text without the words that say that a series was cut anew out of another one in plane sections."""
    return _REFORMAT.sub(" ", _plain(text))


def _first(known: dict[str, re.Pattern[str]], plain: str) -> str | None:
    """The first name whose pattern is found."""
    return next((name for name, pattern in known.items() if pattern.search(plain)), None)


def _contrast_of(plain: str) -> str | None:
    if _T1_FLAIR.search(plain) and not _T2.search(plain):
        return "T1"
    weightings = [pattern for pattern in (_T1, _T2, _ALIASES["PD"]) if pattern.search(plain)]
    nulled = bool(_FLAIR.search(plain) or _STIR.search(plain))
    # A double echo, whose volumes differ, is called after several, and so is a scan for one of another contrast.
    if (len(weightings) > 1 and not nulled) or (_DWI.search(plain) and (weightings or nulled)):
        return None
    return next((name for name, pattern in _CONTRASTS if pattern.search(plain)), None) or _first(_ALIASES, plain)


def _plain(text: str) -> str:
    """Lower case, without accents, words parted: ``"AxT1_Post"`` is ``"ax t1 post"``."""
    parted = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])", " ", unicodedata.normalize("NFC", text))
    decomposed = unicodedata.normalize("NFKD", parted)
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    # Characters of other alphabets that were taken apart come together again.
    spaced = re.sub(r"[_.,;:\s\\^]+", " ", unicodedata.normalize("NFC", bare).lower()).strip()
    spaced = re.sub("т(?=[12])", "t", spaced)  # Cyrillic
    return _ELSEWHERE.sub(" ", spaced)
