"""Each protocol that comes with polyscan can be read, and names what there is."""

from __future__ import annotations

import pytest

from polyscan.files.resources import resource_folder
from polyscan.modality import modality
from polyscan.preprocess import LoadScansd, RegisterRigidd, Resampled
from polyscan.preprocess.protocol import load_protocol

NAMES = sorted(path.stem for path in (resource_folder("configs") / "protocols").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_reads_and_then_resamples_modalities_that_are_known(name):
    protocol = load_protocol(name)
    first, *others = protocol.steps.transforms
    assert isinstance(first, LoadScansd)
    assert all(modality(key) for key in first.modalities)
    assert set(first.reference) <= set(first.modalities)
    kinds = [type(step) for step in others]
    if RegisterRigidd in kinds and Resampled in kinds:
        assert kinds.index(RegisterRigidd) < kinds.index(Resampled), "a scan is resampled once, where it was laid"
    for step in others:
        for key in getattr(step, "keys", None) or ():
            assert key in first.modalities, f"{type(step).__name__} names what is not read"


def test_the_classes_of_monai_are_looked_through_once(monkeypatch):
    """It takes as long as to prepare a small study."""
    load_protocol("default")
    monkeypatch.setattr("monai.bundle.ComponentLocator._find_classes_or_functions", None)
    assert load_protocol("petct").steps.transforms


def test_there_are_some():
    assert {"default", "brain_mri", "petct"} <= set(NAMES)
