"""``polyscan features``: what a network makes of a cohort, as a table and a picture."""

from __future__ import annotations

from dataclasses import replace

import pandas
import pytest
from PIL import Image
from prepared import BUNDLES, make_manifest

from polyscan.bundle.features import cohort_features
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.study import ModelRecord, PredictionRecord, Study, TaskPrediction
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


@pytest.mark.parametrize("name", ["drifa_multitask_classification", "petct_staging"])
def test_table_and_picture(name, tmp_path, capsys):
    manifest = read_manifest(make_manifest(BUNDLES / name, tmp_path / "prepared"))
    studies = [replace(study, centre=f"site {k % 2}") for k, study in enumerate(manifest.studies)]
    said = tmp_path / "said" / "answer.json"
    said.parent.mkdir()
    said.write_text("{}")
    if "drifa" in name:
        for study in studies:
            task = TaskPrediction("low", contributions={"MRI": 0.3, "CT": -0.1})
            study.prediction = PredictionRecord(str(said), list(study.scans), answers={"mri": task})
    path, out = tmp_path / "all" / "manifest.json", tmp_path / "out"
    write_manifest(path, Manifest(testing=studies))
    assert main(["features", str(BUNDLES / name), str(path), "-o", str(out)]) == 0
    table = pandas.read_csv(out / "features.csv")
    first, second = studies[0].scans
    assert table.groupby("features").size().to_dict() == {"fused": 7, first: 6, second: 7}
    assert set(table["site"]) == {"site 0", "site 1"}
    assert set(table["pattern"]) == {f"{first} + {second}", second}
    assert table[["t-SNE 1", "t-SNE 2"]].notna().all().all()
    assert Image.open(out / "features_t-sne.png").width > 1000
    used = "used: MRI 0.75, CT 0.25" in capsys.readouterr().out
    assert used == (out / "utilisation.json").is_file() == ("drifa" in name)


def test_few_studies_are_refused(tmp_path, capsys):
    bundle = BUNDLES / "drifa_multitask_classification"
    manifest = make_manifest(bundle, tmp_path / "prepared")
    assert main(["features", str(bundle), str(manifest), "-o", str(tmp_path / "out")]) == 1
    assert "needs 5 studies at least; there are 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_features_of_other_weights_than_those_that_answered_are_refused():
    model = ModelRecord("drifa_multitask_classification", weights=["0" * 64])
    study = Study("a", prediction=PredictionRecord("a_answer.json", ["MRI"], model=model))
    with pytest.raises(PolyscanError, match=r"were not given by .*model.pt; name their weights by --weights"):
        next(cohort_features(BUNDLES / "drifa_multitask_classification", Manifest(testing=[study])))
