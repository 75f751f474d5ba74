"""Six sources of which none tells more than 75 % and all together more than 90 %."""

from polyscan.phantom.tasks.gaussian import GaussianTask

TASK = GaussianTask(
    "Grade from a whole glioma protocol: no single source tells more than 75 %, all together 93 %.",
    {"T1c": 1.3, "FLAIR": 1.2, "DWI": 1.25, "CBV": 1.3, "MRS": 1.2, "T2": 1.1},
    classes=("low", "high"),
)
