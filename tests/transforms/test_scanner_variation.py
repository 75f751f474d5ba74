"""What another scanner might have made of a patient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyscan.transforms import RandScannerd


def head(seed=0):
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(rng.normal(2, 1, (1, 24, 24, 24)).astype(np.float32))
    values[:, :4] = float("nan")
    return values


def test_same_seed_same_variation_and_the_input_stays():
    image = head()
    before = image.clone()
    first, second = (RandScannerd(["T1"], prob=1.0).set_random_state(3)({"T1": image})["T1"] for _ in range(2))
    assert torch.equal(torch.nan_to_num(first), torch.nan_to_num(second))
    assert torch.equal(torch.nan_to_num(image), torch.nan_to_num(before))
    assert not torch.equal(torch.nan_to_num(first), torch.nan_to_num(before))


def test_what_was_not_measured_stays_so_and_absent_scans_too():
    absent = torch.full((1, 8, 8, 8), float("nan"))
    out = RandScannerd(["T1", "T2"], prob=1.0).set_random_state(0)({"T1": head(), "T2": absent})
    assert torch.equal(torch.isnan(out["T1"]), torch.isnan(head()))
    assert torch.isnan(out["T2"]).all()


def test_calibrated_scans_keep_their_mean():
    vary = RandScannerd(["CT"], ["CT"], prob=1.0).set_random_state(0)
    image = head()
    for _ in range(5):
        out = vary({"CT": image})["CT"]
        assert float(torch.nanmean(out)) == pytest.approx(float(torch.nanmean(image)), abs=0.02)


def test_of_one_image_only_channels_without_a_unit_change_their_gain():
    vary = RandScannerd("image", ["CT", "T1", "PET"], prob=1.0, point_spread=0, contrast=0, bias=0, noise=0)
    stack = torch.cat([head()] * 3)
    out = vary.set_random_state(0)({"image": stack})["image"]
    changed = [not torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) for a, b in zip(out, stack, strict=True)]
    assert changed == [False, True, False]


def test_gain_varies_within_its_range():
    vary = RandScannerd(["T1"], prob=1.0, point_spread=0, contrast=0, bias=0, noise=0).set_random_state(0)
    image = head()
    low = image[torch.isfinite(image)].min()
    ratios = [float((torch.nanmean(vary({"T1": image})["T1"]) - low) / (torch.nanmean(image) - low)) for _ in range(40)]
    assert np.exp(-0.2) - 0.01 < min(ratios) < 0.92
    assert 1.08 < max(ratios) < np.exp(0.2) + 0.01


def test_no_probability_no_change():
    image = head()
    out = RandScannerd(["T1"], prob=0.0)({"T1": image})["T1"]
    assert torch.equal(torch.nan_to_num(out), torch.nan_to_num(image))


def noise_of(image, seed=3, modalities=()):
    vary = RandScannerd(["x"], modalities, prob=1.0, point_spread=0, gain=0, contrast=0, bias=0, noise=0.07)
    out = vary.set_random_state(seed)({"x": image})["x"]
    return (out - image)[torch.isfinite(image)].std()


def test_noise_does_not_depend_on_what_was_not_measured_nor_on_other_channels():
    image = torch.from_numpy(np.random.default_rng(0).normal(100, 1, (1, 24, 24, 24)).astype(np.float32))
    image[0, 0, 0, 0] = 90
    part = image.clone()
    part[:, 12:] = float("nan")
    assert float(noise_of(part, modalities=["CT"])) == pytest.approx(float(noise_of(image, modalities=["CT"])), rel=0.1)
    stack = torch.cat([image, 1e4 * image])
    out = RandScannerd(["x"], ["CT", "PET"], prob=1.0, point_spread=0).set_random_state(3)({"x": stack})["x"]
    assert float((out[0] - image[0]).std()) == pytest.approx(float(noise_of(image, modalities=["CT"])), rel=0.1)


def test_suv_does_not_turn_negative_and_hu_may():
    suv = torch.from_numpy(np.random.default_rng(0).exponential(1, (1, 16, 16, 16)).astype(np.float32))
    vary = RandScannerd(["PET", "CT"], ["PET"], prob=1.0, noise=0.5).set_random_state(0)
    out = vary({"PET": suv, "CT": suv * 100 - 1000})
    assert float(out["PET"].min()) >= 0
    assert float(out["CT"].min()) < -1000
