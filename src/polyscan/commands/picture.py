"""Draw several scans of a study in one picture.

Draw scans of each prepared study in one picture: PNG of the axial, coronal and
sagittal plane through what was predicted, or through the middle. Scans are
named as prepare names them, such as CT, T1c or PET.

Example:
  polyscan picture out/ -o pictures/ --overlay CT PET
  polyscan picture prepared/ -o pictures/ --composite T1c FLAIR T2 --gif --study sub-01
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_output, progress_bar, tell_failed

_KINDS: dict[str, tuple[int | str, str | tuple[str, ...], str]] = {
    "overlay": (2, ("BELOW", "ABOVE"), "the second scan in colour over the first, as a PET over a CT"),
    "composite": ("+", "SCAN", "two or three contrasts as red, green and blue"),
    "checkerboard": (2, ("ONE", "OTHER"), "fields of one scan and of another in turn, to see how well they fit"),
    "surgical": (2, ("CT", "MR"), "bone of the CT in the soft tissue of the MR; a volume too, as NIfTI and as DICOM"),
}


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder that polyscan prepare, infer or batch wrote")
    add_output(command)
    kinds = command.add_mutually_exclusive_group(required=True)
    for name, (count, metavar, text) in _KINDS.items():
        kinds.add_argument(f"--{name}", nargs=count, metavar=metavar, help=text)
    command.add_argument("--study", nargs="+", default=[], help="draw these studies only")
    command.add_argument("--gif", action="store_true", help="an animation through the axial slices too")
    command.add_argument("--sources", type=Path, help="the sources.json that polyscan prepare wrote, if it moved")


def run(options: argparse.Namespace) -> int:
    from polyscan.errors import PolyscanError
    from polyscan.export.pictures import write_pictures
    from polyscan.study.manifest import MANIFEST, read_manifest
    from polyscan.study.sources import find_sources, read_sources

    kind = next(name for name in _KINDS if getattr(options, name))
    sources = None
    if kind == "surgical":
        try:
            sources = read_sources(options.sources or find_sources(options.folder))
        except PolyscanError:
            if options.sources:
                raise
    with progress_bar("drawing") as progress:
        pictures = write_pictures(
            read_manifest(options.folder / MANIFEST),
            options.output,
            kind,
            getattr(options, kind),
            gif=options.gif,
            only=options.study,
            sources=sources,
            progress=progress,
        )
    print(f"{pictures} in {options.output}")
    return tell_failed(pictures)
