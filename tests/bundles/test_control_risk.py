"""The threshold of a segmentation is lowered with a command until it misses what was promised, and no more."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from prepared import BRAIN as BUNDLE, BUNDLES, SMALL_BRAIN as SMALL, make_manifest, small_brain_network

from polyscan.bundle.carried import LEARNT, marks_of
from polyscan.bundle.control_risk import control_risk
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.geometry import voxel_ml
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.study.outputs import check_writable_file


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Five studies of four subjects that have a mask, and one that has none."""
    manifest = make_manifest(BUNDLE, tmp_path_factory.mktemp("risk") / "cohort")
    found = read_manifest(manifest)
    a, b = found.validation
    studies = [replace(a, subject="A"), replace(b, subject="B"), replace(a, subject="C"), replace(b, subject="D")]
    studies += [replace(a, subject="B", session="2"), replace(found.testing[0], subject="E")]
    write_manifest(manifest, replace(found, validation=studies))
    return manifest


@pytest.fixture
def make_weights(tmp_path):
    """Save a network as it begins, which says from whom it learnt."""

    def make(**settings):
        network = small_brain_network()
        network.settings = settings
        torch.save(network.state_dict(), tmp_path / "model.pt")
        return tmp_path / "model.pt"

    return make


def test_the_fragment_makes_infer_miss_what_was_promised(given, make_weights, tmp_path, capsys):
    options = ["--weights", str(make_weights()), *(f"--set={name}={value}" for name, value in SMALL.items())]
    assert main(["calibrate", BUNDLE.name, str(given), *options, "--risk", "0.3"]) == 0
    path = tmp_path / "threshold.json"
    assert capsys.readouterr().out.strip() == str(path)
    content, found, tested = json.loads(path.read_text()), read_manifest(given), tmp_path / "tested.json"
    write_manifest(tested, Manifest(roots=found.roots, testing=found.validation[:5]))
    check_writable_file(path, "threshold")  # it takes its own place
    options += ["--config", str(path), "--probabilities", "-o", str(tmp_path / "out")]
    assert main(["infer", str(BUNDLE), str(tested), *options]) == 0
    rows = {name: {} for name in content["regions"]}
    for study in read_manifest(tmp_path / "out" / "manifest.json").studies:
        truth, mask = (read_nifti(file) for file in (study.label.mask, study.prediction.path))
        for channel, (name, labels) in enumerate(study.prediction.regions.items(), start=1):
            true = np.isin(truth, labels)
            before = read_nifti(f"{study.prediction.probabilities}#{channel}").numpy() >= 0.5
            row = [np.mean(~np.isin(mask, labels)[true]), np.mean(~before[true])]
            row += [study.prediction.volumes_ml[name], *(np.array([before.sum(), true.sum()]) * voxel_ml(truth.affine))]
            rows[name].setdefault(study.subject, []).append(row)
    for name, told in content["regions"].items():
        missed, missed_before, *volumes = np.mean([np.mean(each, axis=0) for each in rows[name].values()], axis=0)
        assert told["subjects"] == 4
        assert missed <= told["missed"] + 1e-4  # a region within it that is marked is of it
        assert told["missed_before"] == pytest.approx(missed_before, abs=2e-3)
        assert [told[what] for what in ("volume_ml", "volume_ml_before", "true_ml")] == pytest.approx(volumes, rel=2e-3)
        assert (4 * told["missed"] + 1) / 5 <= 0.3  # one more subject who loses all is within the risk
    assert missed == pytest.approx(told["missed"], abs=1e-4)  # of the innermost
    assert min(told["threshold"] for told in content["regions"].values()) == content["inference"]["threshold"] < 0.5
    assert max((4 * told["missed"] + 1) / 5 for told in content["regions"].values()) > 0.28  # and no more than needed


def test_what_cannot_be_controlled_is_refused(given, make_weights, tmp_path):
    found, other = read_manifest(given), tmp_path / "other.json"
    with pytest.raises(PolyscanError, match="The risk is 10; expected a part"):
        control_risk(BUNDLE, given, risk=10)
    with pytest.raises(PolyscanError, match="segments no regions"):
        control_risk(BUNDLES / "drifa_multitask_classification", given)
    write_manifest(other, Manifest(roots=found.roots, validation=found.validation[5:]))
    weights = make_weights(**{LEARNT: sorted(marks_of(found.validation[1:2]))})
    options = {"weights": weights, "overrides": SMALL}
    with pytest.raises(PolyscanError, match="no study with a mask in the section 'validation'"):
        control_risk(BUNDLE, other, **options)
    with pytest.raises(PolyscanError, match="The weights learnt from sub-B; give studies"):
        control_risk(BUNDLE, given, **options)
    weights.with_name("threshold.json").write_text('{"inference": {"threshold": 0.3}}')
    with pytest.raises(PolyscanError, match=r"threshold\.json is no threshold that polyscan wrote"):
        control_risk(BUNDLE, given, **options)
    weights.with_name("threshold.json").unlink()
    write_manifest(other, Manifest(roots=found.roots, validation=found.validation[:1]))
    with pytest.raises(PolyscanError, match=r"whole tumour: A risk of 0\.1 cannot be promised from 1 subjects"):
        control_risk(BUNDLE, other, **options)
