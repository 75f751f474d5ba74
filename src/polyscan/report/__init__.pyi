from polyscan.report.cohort_page import write_cohort_page as write_cohort_page, write_report as write_report
from polyscan.report.study_page import write_study_page as write_study_page
