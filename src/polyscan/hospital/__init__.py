"""A hospital's archive sends studies, a bundle answers, results go back: DICOM in, DICOM out."""

from polyscan.hospital.station import listen

__all__ = ["listen"]
