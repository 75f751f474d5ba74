"""Each bundle, from made scans to an answer: its protocol prepares what its configs read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prepared import apart, few_samples, read_config, reads, small_window

from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.run import infer, train
from polyscan.discovery.scan import scan
from polyscan.phantom import make_cohort, make_slices
from polyscan.phantom.subject import MAPS, MODALITIES
from polyscan.preprocess.prepare import prepare


@pytest.fixture
def cohort(bundle, tmp_path):
    """Three subjects with what the bundle reads, as its metadata say they are prepared.

    Their contrasts are registered where no other test does that by the protocol's steps: ``test_cli.py`` does by those
    of brains, which are those of gliomas, and what is learnt of so few does not depend on it.
    """
    metadata, config = read_config(bundle, "metadata"), read_config(bundle, "inference")
    if "tables" in config:
        pytest.skip("this bundle reads no scans")
    if "protocol" not in metadata:
        make_slices(tmp_path / "c", subjects=6, seed=1)
        return tmp_path / "c" / "manifest.json"
    names = dict.fromkeys(name.partition("@")[0] for name in config["modalities"])
    if unmade := names.keys() - {*MODALITIES, *MAPS}:
        pytest.skip(f"the made cohort has no {', '.join(sorted(unmade))}")
    visits = config.get("times", 1)
    make_cohort(tmp_path / "c", subjects=3, seed=3, modalities=tuple(names), missing=0.0, visits=visits, jobs=1)
    found = scan(tmp_path / "c", labels=tmp_path / "c/derivatives/truth/labels.tsv", join=visits > 1)
    protocol = metadata["protocol"]
    prepare(found, tmp_path / "p", protocol=protocol, jobs=1, registered=protocol in ("brain_mri", "glioma_mri"))
    return tmp_path / "p" / "manifest.json"


def test_train_and_infer(bundle, cohort, tmp_path):
    """MONAI's own commands are tried in test_runs.py, on scans that need no preparation."""
    small = {**apart(bundle), **small_window(bundle, 32)}
    regions = read_config(bundle, "inference").get("regions", {})
    if len(regions) == 1:  # a made head has a tumour of three parts
        small["regions"] = {name: [1, 2, 4] for name in regions}
    if "protocol" not in read_config(bundle, "metadata"):
        small |= read_fragment("made_slices", "train")
    weights = train(bundle, cohort, tmp_path / "run", overrides={"max_epochs": 1, "val_interval": 1, **small})
    few = {**few_samples(bundle), **small}
    answered = infer(bundle, cohort, tmp_path / "out", weights=weights, overrides=few)
    assert answered.studies
    assert not answered.failed
    for study in answered.studies:
        assert sorted(study.prediction.present) == sorted(reads(bundle))
        assert study.prediction.scores or study.prediction.answers
        for task in small.get("tasks", read_config(bundle, "inference").get("tasks", {})):
            assert json.loads(Path(study.prediction.path).read_text())["answers"][task]["truth"]
