"""What a person looks at: one page with pictures of what was done."""

from polyscan.report.page import write_report

__all__ = ["write_report"]
