"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; torch's threads would wait for each other

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real sample studies; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("POLYSCAN_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "sarcoma_ct_mr_pet").is_dir():
        pytest.skip(f"real sample data not found at {folder}; set POLYSCAN_DATA to try this")
    return folder
