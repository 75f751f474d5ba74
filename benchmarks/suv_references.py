"""The digital reference objects of the IBSI's manual of SUV (Vacha et al., 2026), as polyscan reads them.

    git clone https://github.com/oncoray/suv_computation
    python benchmarks/suv_references.py suv_computation/DRO

Printed for each of the 17 objects: the lowest, the middle and the highest SUV inside its body, which should be 0.2, 1
and 4 less what the object itself rounds off, or why it is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from polyscan.dicom.read import read_series
from polyscan.errors import PolyscanError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for folder in sorted(path for path in parser.parse_args().folder.iterdir() if path.is_dir()):
        try:
            values = read_series(folder / "PT").numpy()
            inside = values[values > 0]
            print(f"{folder.name}: {inside.min():.3f} {np.median(inside):.3f} {inside.max():.3f}")
        except PolyscanError as error:
            print(f"{folder.name}: {error}")


if __name__ == "__main__":
    main()
