"""Blood volume and ratios of metabolites are read where a hospital has them."""

from __future__ import annotations

from dataclasses import replace

from prepared import BUNDLES, make_manifest

from polyscan.bundle.run import infer, train
from polyscan.study.made import prediction_of
from polyscan.study.manifest import read_manifest, write_manifest

GLIOMA = BUNDLES / "glioma_grading_classification"
RATIOS = {"Cho/NAA": 4.5, "Cho/Cr": 3.0, "NAA/Cr": 0.6}


def test_blood_volume_and_metabolites_are_read_where_they_are(tmp_path):
    path = make_manifest(GLIOMA, tmp_path / "cohort")
    found = read_manifest(path)
    for study in found.studies[::2]:
        study.scans["CBV"] = study.scans.pop("CBF")
        study.clinical |= RATIOS
    write_manifest(path, found)
    small = {"max_epochs": 1, "val_interval": 1}
    weights = train(GLIOMA, path, tmp_path / "run", overrides=small, fragments=["glioma_metabolites"])
    first = found.studies[0]
    found.testing += [replace(first, subject="with"), replace(first, subject="without", clinical={"age": 40})]
    answers = infer(GLIOMA, found, tmp_path / "out", weights=weights, overrides={"monte_carlo_samples": 0})
    told = {study.subject: prediction_of(study) for study in answers.testing}
    assert told["with"].present == ["T1", "T1c", "T2", "FLAIR", "ADC", "CBV", "clinical"]
    assert told["5"].present == ["T1", "T1c", "T2", "FLAIR", "ADC", "CBF", "clinical"]
    assert told["with"].answers["IDH"].probabilities != told["without"].answers["IDH"].probabilities
