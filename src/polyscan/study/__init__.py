"""A study, the manifest that lists studies, and the folders that polyscan owns."""

from polyscan.study.record import Source, Study

__all__ = ["Source", "Study"]
