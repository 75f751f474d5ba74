"""DICOM files to images and back: headers, geometry, values, masks."""
