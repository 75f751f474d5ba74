"""Studies that are decoded once, and mapped into memory from then on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad
from prepared import BUNDLES, make_manifest
from test_run_folder import BUNDLE, SMALL

from polyscan.bundle.config import open_config
from polyscan.bundle.items import training_items, validation_items
from polyscan.bundle.mapped_dataset import STUDIES, MappedDataset, claim_cache
from polyscan.bundle.run import train
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study.manifest import read_manifest
from polyscan.transforms import load


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_manifest(BUNDLE, tmp_path_factory.mktemp("studies") / "cohort")


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The files that are decoded."""
    files: list[str] = []
    monkeypatch.setattr(
        load, "read_nifti", lambda path, *a, **k: files.append(Path(path).name) or read_nifti(path, *a, **k)
    )
    return files


def test_training_is_the_same_and_decodes_nothing(manifest, tmp_path, decoded):
    changes = {**SMALL, "max_epochs": 1}
    train(BUNDLE, manifest, tmp_path / "run", overrides=changes)
    every = sorted(decoded)
    decoded.clear()
    claim_cache(tmp_path / "cache", read_manifest(manifest))
    items = [*training_items(manifest), *validation_items(manifest)]
    assert len(list(MappedDataset(items, preprocessing(BUNDLE, **changes), tmp_path / "cache"))) == len(items)
    assert sorted(decoded) == every
    decoded.clear()
    train(BUNDLE, manifest, tmp_path / "mapped", cache=tmp_path / "cache", overrides=changes)
    assert not decoded
    first, other = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("run", "mapped"))
    assert all(torch.equal(first[key], other[key]) for key in first)


def preprocessing(bundle: Path, **changes):
    """What a bundle does to a study before anything is drawn at random."""
    parser = open_config(bundle, "train", changes).parser
    return Compose(parser.get_parsed_content("train#deterministic_transforms"))


@pytest.mark.parametrize("name", sorted(folder.name for folder in BUNDLES.iterdir() if (folder / "configs").is_dir()))
def test_every_bundle_reads_what_it_computed(name, tmp_path):
    file = make_manifest(BUNDLES / name, tmp_path / "cohort")
    parser = open_config(BUNDLES / name, "train", {}).parser
    transform = preprocessing(BUNDLES / name)
    items = training_items(file, parser.get_parsed_content("labels"), parser.get_parsed_content("extra_keys"))[:1]
    expected = transform(dict(items[0]))
    for _ in range(2):
        (found,) = MappedDataset(items, transform, tmp_path / "cache")
        assert_same(found, expected)
    assert len(list((tmp_path / "cache" / STUDIES).iterdir())) == 1


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        np.testing.assert_array_equal(getattr(found, "affine", 0), getattr(expected, "affine", 0))
    else:
        assert found == expected


def test_what_changes_is_computed_anew(manifest, tmp_path, decoded):
    items = training_items(manifest)[:1]

    def read(transform):
        decoded.clear()
        (found,) = MappedDataset(items, transform, tmp_path / "cache")
        return found, len(decoded)

    found, files = read(preprocessing(BUNDLE))
    assert files == 5
    found["image"][:] = 0  # of a page of its own
    again, files = read(preprocessing(BUNDLE))
    assert files == 0
    assert again["image"].nansum() != 0
    assert read(preprocessing(BUNDLE, spacing=[8, 8, 8]))[1] == 5
    image = read_nifti(items[0]["image"]["T1"])
    write_nifti(items[0]["image"]["T1"], image + 1)
    moved, files = read(preprocessing(BUNDLE))
    assert files == 5
    torch.testing.assert_close(moved["image"][0], again["image"][0] + 1, equal_nan=True)


def test_a_folder_of_something_else_and_a_lambda_are_refused(manifest, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").touch()
    with pytest.raises(PolyscanError, match=r"holds what polyscan train --cache did not write \(a.txt\)"):
        train(BUNDLE, manifest, tmp_path / "run", overrides=SMALL, cache=tmp_path / "thesis")
    with pytest.raises(PolyscanError, match="write them as classes"):
        MappedDataset(training_items(manifest), Compose([Lambdad("image", lambda image: image)]), tmp_path / "cache")
