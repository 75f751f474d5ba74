"""What a person looks at: a page a study and one for all of them.

Each name is imported when it is first used, so that what draws studies is imported by the processes that do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscan.report.cohort_page import write_cohort_page, write_report
    from polyscan.report.study_page import write_study_page

_HOMES = {"write_cohort_page": "cohort_page", "write_report": "cohort_page", "write_study_page": "study_page"}

__all__ = ["write_cohort_page", "write_report", "write_study_page"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polyscan.report' has no attribute {name!r}")
    return getattr(importlib.import_module(f"polyscan.report.{_HOMES[name]}"), name)
