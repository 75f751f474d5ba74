"""Each bundle, from made scans to an answer, through MONAI's own command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import monai
from prepared import is_classification, read_config

from polyscan.discovery.scan import scan
from polyscan.phantom import make_cohort, make_slices
from polyscan.preprocess.prepare import prepare
from polyscan.study.manifest import Manifest, read_manifest


@pytest.fixture
def cohort(bundle, tmp_path):
    """Three subjects with what the bundle reads, as its metadata say they are prepared."""
    metadata, config = read_config(bundle, "metadata"), read_config(bundle, "inference")
    if "protocol" not in metadata:
        make_slices(tmp_path / "c", subjects=6, seed=1)
        return tmp_path / "c" / "manifest.json"
    names = dict.fromkeys(name.partition("@")[0] for name in config["modalities"])
    visits = config.get("times", 1)
    make_cohort(tmp_path / "c", subjects=3, seed=4, modalities=tuple(names), missing=0.0, visits=visits, jobs=1)
    found = scan(tmp_path / "c", labels=tmp_path / "c/derivatives/truth/labels.tsv", join=visits > 1)
    prepare(found, tmp_path / "p", protocol=metadata["protocol"], jobs=1)
    return tmp_path / "p" / "manifest.json"


def test_train_evaluate_infer(bundle, cohort, tmp_path):
    paths = ("--manifest", cohort, "--output_dir", tmp_path / "run")
    quick = ("--max_epochs", 2, "--val_interval", 2)
    monai("run", "--config_file", "configs/train.json", *paths, *quick, cwd=bundle)
    weights = ("--weights", tmp_path / "run" / "model.pt")
    both = "['configs/train.json','configs/evaluate.json']"
    monai("run", "--config_file", both, *paths, *weights, cwd=bundle)
    metric = "val_auroc" if is_classification(bundle) else "val_dice"
    assert metric in (tmp_path / "run" / "metrics.csv").read_text()
    out = ("--manifest", cohort, "--output_dir", tmp_path / "out", *weights)
    monai("run", "--config_file", "configs/inference.json", *out, cwd=bundle)
    answered: Manifest = read_manifest(tmp_path / "out" / "manifest.json")
    assert not answered.failed
    for study in answered.studies:
        assert sorted(study.prediction.present) == sorted(read_config(bundle, "inference")["modalities"])
        for task in read_config(bundle, "inference").get("tasks", {}):
            assert json.loads(Path(study.prediction.path).read_text())["answers"][task]["truth"]
