"""polyscan reads the scans of one patient together: MRI, CT and PET, whichever of them are there."""

__version__ = "0.1.0"
