"""What tissues are to each machine.

MR at 1.5 T: CSF, grey and white matter after BrainWeb (Collins et al., IEEE TMI 17, 1998; Kwan et al., IEEE TMI 18,
1999); fat, muscle and bone plausible beside Stanisz et al., MRM 54, 2005; tumour and oedema in the ranges of Just and
Thelen, Radiology 169, 1988. CT numbers after Kalender, Computed Tomography, 2011. FDG uptake plausible beside Spence et
al., J Nucl Med 45, 2004; diffusion beside Kono et al., AJNR 22, 2001; blood flow beside Law et al., AJNR 24, 2003.
Gadolinium in mmol/L some minutes after 0.1 mmol/kg.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tissue:
    """One tissue.

    Attributes:
        pd: proton density, water 1.
        t1, t2: relaxation times in milliseconds.
        hu: CT number.
        suv: FDG uptake by body weight.
        gadolinium: concentration after injection, in mmol/L.
        adc: apparent diffusion coefficient in 1e-6 mm^2/s.
        cbf: cerebral blood flow in mL/100 g/min.
    """

    pd: float
    t1: float
    t2: float
    hu: float
    suv: float
    gadolinium: float = 0.0
    adc: float = 0.0
    cbf: float = 0.0


TISSUES = {
    "air": Tissue(0.0, 1000, 50, -1000, 0.0),
    "scalp": Tissue(0.90, 350, 70, -40, 0.5, 0.05, adc=1100, cbf=10),
    "muscle": Tissue(0.85, 900, 45, 55, 0.7, 0.08, adc=1500, cbf=8),
    "skull": Tissue(0.05, 500, 40, 900, 0.5),
    "csf": Tissue(1.00, 2569, 329, 8, 0.4, adc=3000, cbf=0),
    "grey": Tissue(0.86, 833, 83, 38, 8.0, 0.03, adc=850, cbf=60),
    "white": Tissue(0.77, 500, 70, 29, 2.8, 0.01, adc=750, cbf=22),
    "oedema": Tissue(0.88, 1050, 135, 22, 2.0, 0.02, adc=1400, cbf=14),
    "core": Tissue(0.88, 1150, 120, 34, 6.0, 0.03, adc=1250, cbf=40),
    "rim": Tissue(0.88, 1150, 120, 36, 9.0, 0.60, adc=1050, cbf=60),
    "necrosis": Tissue(0.93, 1900, 220, 15, 0.8, adc=1900, cbf=3),
    "calcification": Tissue(0.30, 700, 50, 220, 0.8),
}
NAMES = tuple(TISSUES)
