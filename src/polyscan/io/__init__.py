"""From files to images and back: DICOM, NIfTI, manifests."""
