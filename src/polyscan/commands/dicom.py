"""Write predictions as DICOM segmentations, reports and registrations.

Write each prediction as DICOM objects that refer to the series of the
reference scan, and lie voxel for voxel on it. The objects hold the patient's
name and number, as the series do.

Example:
  polyscan dicom out/ -o dicom/ --objects seg sr registration
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_output, progress_bar, tell_failed
from polyscan.export import OBJECTS


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder that polyscan infer or batch wrote")
    add_output(command)
    command.add_argument(
        "--objects",
        nargs="+",
        choices=OBJECTS,
        default=["seg", "sr", "registration"],
        help="seg: binary segmentation; labelmap: the newer label map, which few readers know; "
        "rtstruct: contours, for planning systems; probabilities, uncertainty: parametric maps, where infer or batch "
        "was asked to keep probabilities; sr: measurements and "
        "classes (with the seg that it measures); registration: how scans were moved; "
        "seg, sr and registration where not given",
    )
    command.add_argument("--sources", type=Path, help="the sources.json that polyscan prepare wrote, if it moved")


def run(options: argparse.Namespace) -> int:
    from polyscan.export.dicom import write_dicom
    from polyscan.study.manifest import MANIFEST, read_manifest
    from polyscan.study.sources import find_sources, read_sources

    manifest = read_manifest(options.folder / MANIFEST)
    sources = read_sources(options.sources or find_sources(options.folder))
    with progress_bar("writing") as progress:
        result = write_dicom(manifest, sources, options.output, options.objects, progress=progress)
    print(f"{result} in {options.output}")
    return tell_failed(result)
