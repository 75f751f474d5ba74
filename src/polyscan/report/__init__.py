"""What a person looks at: a page a study and one for all of them.

Each name is imported when it is first used, so that what draws studies is imported by the processes that do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyscan import lazy

if TYPE_CHECKING:
    from polyscan.report.cohort_page import write_cohort_page, write_report
    from polyscan.report.study_page import write_study_page

__all__ = ["write_cohort_page", "write_report", "write_study_page"]

__getattr__ = lazy.getattr_of(
    __name__,
    {
        "cohort_page": ("write_cohort_page", "write_report"),
        "study_page": ("write_study_page",),
    },
)
