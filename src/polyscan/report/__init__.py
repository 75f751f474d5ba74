"""What a person looks at: a page a study and one for all of them."""

from polyscan.report.cohort_page import write_cohort_page, write_report
from polyscan.report.study_page import write_study_page

__all__ = ["write_cohort_page", "write_report", "write_study_page"]
