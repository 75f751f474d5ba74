"""Each bundle with a prepared cohort of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepared import BUNDLES, NAMES, make_manifest


@pytest.fixture(params=NAMES)
def bundle(request) -> Path:
    return BUNDLES / request.param


@pytest.fixture
def manifest(bundle, tmp_path) -> Path:
    return make_manifest(bundle, tmp_path / "cohort")
