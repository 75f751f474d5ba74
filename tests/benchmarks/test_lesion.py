"""What is measured of a lesion is what was put into it, whichever way its voxels are stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lesion import measured
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, Preparation, Study, scans_of
from polyscan.study.manifest import Manifest


def stored(path, values, backwards):
    """A file of (x, y, z) values in RAS+, stored with x and y the other way round where that is wanted."""
    signs = [-1.0, -1.0, 1.0] if backwards else [1.0, 1.0, 1.0]
    kept = np.flip(values, [0, 1]).copy() if backwards else values
    write_nifti(path, MetaTensor(torch.from_numpy(kept)[None], affine=torch.diag(torch.tensor([*signs, 1.0]).double())))
    return str(path)


@pytest.fixture(params=[False, True])
def study(request, tmp_path):
    head, lesion = np.zeros((2, 40, 40, 8), dtype=np.float32)
    head[5:36, 5:36] = 1
    lesion[25:31, 28:34, 4:6] = 1
    t1 = np.where(lesion > 0, -1.0, 0.0).astype(np.float32)
    flair, t1c = -2 * t1, np.zeros_like(t1)
    t1c[27:29, 30:32, 4:6] = 3.0
    files = {"T1": t1, "FLAIR": flair, "T1c": t1c, "head": head, "mask": lesion, "none": 0 * lesion}
    paths = {name: stored(tmp_path / f"{name}.nii.gz", values, request.param) for name, values in files.items()}
    scans = scans_of({name: paths[name] for name in ("T1", "FLAIR", "T1c")})
    found = Study("1", scans=scans, label=Label(mask=paths["mask"], tasks={"IDH": "mutated"}))
    found.preparation = Preparation("slices_mri", "FLAIR", foreground=paths["head"])
    return found


def tables(study, answers, tmp_path):
    """The study with what is measured of it, which keeps its section, and its tables."""
    result = measured(Manifest(testing=[study]), answers, tmp_path)
    (found,) = result.testing
    return found, {name: read_json(scan.path) for name, scan in found.scans.items() if scan.is_table}


def test_form_and_look(study, tmp_path):
    found, told = tables(study, {}, tmp_path)
    form, flair, t1, t1c = (told[f"lesion{name}"] for name in ("", "_FLAIR", "_T1", "_T1c"))
    assert form["log_size"] == pytest.approx(np.log(72 / (31 * 31 * 8)), abs=1e-3)
    assert (form["off_middle"], form["front"], form["top"]) == pytest.approx((0.25, 25.5 / 30, 4.5 / 7), abs=1e-3)
    assert form["slices"] == 0.25
    assert form["log_outline"] == pytest.approx(np.log(40 / np.sqrt(72)), abs=1e-3)
    assert (t1["mean"], flair["mean"], flair["standard_deviation"]) == (-1, 2, 0)
    assert flair["edge"] > t1["edge"] > 0.1
    assert t1c["gain_mean"] == pytest.approx(1 + 3 * 8 / 72, abs=1e-3)
    assert t1c["gain_percentile_95"] == 4
    assert found.label == Label(tasks={"IDH": "mutated"})


def test_what_is_not_there_is_not_told(study, tmp_path):
    del study.scans["T1"]
    _, told = tables(study, {}, tmp_path)
    assert told.keys() == {"lesion", "lesion_FLAIR", "lesion_T1c"}
    assert "gain_mean" not in told["lesion_T1c"]
    empty = study.label.mask.replace("mask", "none")
    _, told = tables(study, {study.key: empty}, tmp_path)
    assert {name: list(table) for name, table in told.items()} == {"lesion": ["log_size"]}
    with pytest.raises(PolyscanError, match="has no mask"):
        tables(study, {"sub-other": empty}, tmp_path)
