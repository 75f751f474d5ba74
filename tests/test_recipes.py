"""The recipes of CONTRIBUTING: in a copy of the package, one new file is enough."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.formats.nifti import write_nifti
from processes import FORKS, say_to

ROOT = Path(__file__).resolve().parents[1]
LAYER = '''
"""Half of the sum."""

from torch import Tensor

from polyscan.fusion.base import FusionLayer


class HalvedSum(FusionLayer):
    """F = sum_i M_i / 2; unchanged by the order of the modalities."""

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        return features.sum(1) / 2
'''
MODALITY = '''
"""Ultrashort echo time."""

from polyscan.modality.base import Modality

MODALITIES = (Modality("UTE", "MR", "arbitrary", "UTE", aliases=(r"ute\\w*", "ultrashort"), window=(0.0, 5.0)),)
'''
LAYERS = """
import pytest
from polyscan import fusion
from polyscan.bundle.fusion_option import fusion_option
assert fusion.HalvedSum in fusion.layers("features")
assert fusion_option("HalvedSum")["_target_"] == "polyscan.fusion.HalvedSum"
promises = "HalvedSum and not torchscript"  # which costs more than all others
raise SystemExit(pytest.main(["-q", "tests/fusion/test_layers.py", "-k", promises, "-p", "no:cacheprovider"]))
"""
STUDIES = """
import sys
import polyscan
from polyscan.dicom.words import told
from polyscan.report.display import window
found = {study.key: sorted(study.scans) for study in polyscan.find_studies(sys.argv[1])}
assert found == {"sub-01": ["T1", "UTE"], "sub-knee": ["UTE"]}, found
assert told("sag ute3d tse").modality == told("Ultrashort TE").modality == "UTE"
assert told("ax t1 ute").modality == "T1"
assert window("UTE@2", None) == (0.0, 5.0)
"""


@pytest.fixture
def package(tmp_path) -> Path:
    return Path(shutil.copytree(ROOT / "src", tmp_path / "src")) / "polyscan"


def python(package: Path, code: str, *words: object) -> None:
    """Run it with the copy."""
    log = package.parents[1] / "log"
    process = FORKS.Process(target=_python, args=(package, log, code, list(map(str, words))))
    process.start()
    process.join()
    assert process.exitcode == 0, log.read_text()


def _python(package: Path, log: Path, code: str, words: list[str]) -> None:
    say_to(log)
    os.chdir(package.parents[1])
    for name in [name for name in sys.modules if name.partition(".")[0] == "polyscan"]:
        del sys.modules[name]
    sys.path.insert(0, str(package.parent))
    sys.argv = ["", *words]
    exec(code, {"__name__": "__main__"})


def test_a_layer(package):
    (package / "fusion" / "halved_sum.py").write_text(LAYER)
    shutil.copytree(ROOT / "tests" / "fusion", package.parents[1] / "tests" / "fusion")
    python(package, LAYERS)


def test_a_modality(package, tmp_path):
    (package / "modality" / "ute.py").write_text(MODALITY)
    image = MetaTensor(torch.rand(1, 8, 9, 10) + 1, affine=np.diag([2.0, 2, 2, 1]))
    for name in ("sub-01/sub-01_UTE.nii.gz", "sub-01/sub-01_T1w.nii.gz", "knee/left_ute_iso.nii.gz"):
        write_nifti(tmp_path / "ward" / name, image)
    python(package, STUDIES, tmp_path / "ward")
