"""Magnetic resonance: contrasts without a unit, and the maps that are computed from them."""

from polyscan.modality.base import Modality

MODALITIES = (
    Modality("T1", "MR", "arbitrary", "T1w", precedence=2, signed=False),
    Modality("T1c", "MR", "arbitrary", "ce-gd_T1w", precedence=0, signed=False),
    Modality("T2", "MR", "arbitrary", "T2w", precedence=3, signed=False),
    Modality("FLAIR", "MR", "arbitrary", "FLAIR", precedence=4, signed=False),
    Modality(
        "PD",
        "MR",
        "arbitrary",
        "PDw",
        aliases=(
            r"pdw?i?(?:f?s|[ft]?se|sp?ir|spair|fat|tra|ax|sag|cor|hr|iso)?",
            "pd ?w?",
            r"proton ?(?:dens\w*)?",
            "dp",
            r"densi[td]\w* (?:de )?proton\w*|\w*质子密度\w*",
            "rho",
        ),
        signed=False,
    ),
    Modality("STIR", "MR", "arbitrary", "STIR", signed=False),
    Modality("T2star", "MR", "arbitrary", "T2starw", signed=False),
    Modality("SWI", "MR", "arbitrary", "swi", signed=False),
    Modality("DWI", "MR", "arbitrary", "dwi", signed=False),
    Modality(
        "ADC",
        "MR",
        "arbitrary",
        "ADC",
        aliases=(
            "[cd]? ?adc ?(?:map|s)?",
            r"apparent diffusion coeff\w*",
            r"coef\w* (?:di|de)? ?diff?\w* app?are\w*|mapa cda|cda map|\w*表观扩散系数\w*",
            "average dc",
            "avg? ?dc",
            "икд",
        ),
        is_map=True,
    ),
    Modality("CBF", "MR", "arbitrary", "cbf", aliases=("r(?:el)? ?cbf", "cbf", "cerebral blood flow"), is_map=True),
    Modality(
        "CBV",
        "MR",
        "arbitrary",
        "cbv",
        aliases=("r(?:el)? ?cbv", r"c?cbv ?(?:corr\w*|lc)?", "cerebral blood volume"),
        is_map=True,
    ),
    Modality("CINE", "MR", "arbitrary", "cine"),
)
