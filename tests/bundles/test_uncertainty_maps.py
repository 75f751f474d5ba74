"""Where a mask is unsure, and why, is asked for with an option, and told in record, map, table and page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from prepared import BRAIN as BUNDLE, SMALL_BRAIN as SMALL, make_manifest, small_brain_network

from polyscan.cli import main
from polyscan.formats.nifti import read_nifti
from polyscan.report import write_study_page
from polyscan.report.measures import rows_of
from polyscan.study import TaskPrediction, VolumeInterval
from polyscan.study.manifest import read_manifest


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A command that answers for two studies, and two networks as they begin, one of which is sure of nothing."""
    folder = tmp_path_factory.mktemp("doubt")
    network = small_brain_network()
    torch.save(network.state_dict(), folder / "model.pt")
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    torch.save(network.state_dict(), folder / "other.pt")
    manifest = make_manifest(BUNDLE, folder / "cohort")
    options = [f"--set={name}={value}" for name, value in {**SMALL, "threshold": 0.3}.items()]
    return ["infer", BUNDLE.name, str(manifest), *options], [str(folder / "model.pt"), str(folder / "other.pt")]


def test_it_stands_in_record_map_table_and_page_and_changes_no_mask(given, tmp_path):
    out = tmp_path / "out"
    line, networks = given
    both = [*line, "-o", str(out), "--ensemble", *networks]
    assert main(both) == 0
    before = [s.prediction for s in read_manifest(out / "manifest.json").studies]
    masks = [read_nifti(each.path).numpy() for each in before]
    assert main([*both, "--uncertainty"]) == 0
    studies = read_manifest(out / "manifest.json").studies
    for study, mask, plain in zip(studies, masks, before, strict=True):
        told = study.prediction
        assert np.array_equal(read_nifti(told.path).numpy(), mask)
        assert told.model == plain.model
        assert plain.uncertainty == {}
        assert list(told.uncertainty) == [name for name, volume in told.volumes_ml.items() if volume]
        aleatoric, epistemic = (read_nifti(f"{told.entropies}#{part}").numpy() for part in (1, 2))
        assert aleatoric.shape == mask.shape
        # Half of the answers are a guess, by which an entropy of one bit a voxel is half at least of what is left open.
        assert aleatoric.min() > 0.49
        assert (aleatoric + epistemic).max() <= 1 + 1e-4
        assert epistemic.max() > 1e-4
        whole = told.uncertainty["whole tumour"]
        assert whole.aleatoric > 0.49 * mask.size / (mask > 0).sum()
    page = write_study_page(studies[0], tmp_path / "page.html").read_text()
    assert '<option value="epistemic">epistemic</option>' in page
    assert (
        f'<td class="number">{whole.aleatoric:.2f}</td><td class="number">{whole.epistemic:.2f}</td>'
        in write_study_page(studies[-1], tmp_path / "page.html").read_text()
    )
    assert rows_of(studies[-1:], [])[0]["whole tumour epistemic"] == whole.epistemic
    assert main(both) == 0
    assert not list(out.glob("*_entropy.nii.gz"))


def test_where_nothing_varies_it_is_refused(given, tmp_path, capsys):
    line, networks = given
    line = [*line, "-o", str(tmp_path / "out"), "--weights", networks[0]]
    assert main([*line, "--uncertainty", "--set=mirror_axes=[]"]) == 1
    assert "there is one answer, which tells no doubt apart; give --ensemble" in capsys.readouterr().err


def test_what_is_left_open_is_for_a_person_to_decide(given, tmp_path):
    line, networks = given
    assert main([*line, "-o", str(tmp_path / "out"), "--weights", networks[0]]) == 0
    study = read_manifest(tmp_path / "out" / "manifest.json").studies[0]
    intervals = {
        "whole tumour": VolumeInterval(2.0, 9.0, 0.9),
        "tumour core": VolumeInterval(0.0, 3.0, 0.9),
        "enhancing tumour": VolumeInterval(0.0, 0.0, 0.9),
    }
    answers = {
        "IDH": TaskPrediction("mutated", prediction_set=["mutated", "wildtype"]),
        "grade": TaskPrediction("4", prediction_set=["4"]),
        "MGMT": TaskPrediction("methylated", prediction_set=[]),
        "1p19q": TaskPrediction("intact"),
    }
    said = replace(study.prediction, volume_intervals=intervals, answers=answers)
    assert said.undecided == ["IDH", "MGMT", "tumour core"]
    page = write_study_page(replace(study, prediction=said), tmp_path / "page.html").read_text()
    assert "A person should decide: IDH, MGMT, tumour core." in page
    assert rows_of([replace(study, prediction=said)], [])[0]["undecided"] == "IDH; MGMT; tumour core"
    sure = replace(said, volume_intervals={}, answers={"grade": answers["grade"]})
    page = write_study_page(replace(study, prediction=sure), tmp_path / "page.html").read_text()
    assert "A person should decide" not in page
