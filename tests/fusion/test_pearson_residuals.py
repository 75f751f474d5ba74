"""Pearson residuals of counts that were drawn from negative binomials."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyscan.fusion.table import centred_log_ratio, gene_fractions, pearson_residuals

THETA = 10.0


@pytest.fixture(scope="module")
def counts():
    """500 patients of depths that differ tenfold; the last gene is ten times as frequent in every second one."""
    draw = np.random.default_rng(0)
    share = np.append(np.geomspace(1e-4, 1e-1, 40), 5e-3)
    share /= share.sum()
    mean = draw.uniform(5e3, 5e4, 500)[:, None] * share
    mean[::2, -1] *= 10
    return torch.tensor(draw.negative_binomial(THETA, THETA / (THETA + mean)), dtype=torch.float64)


def test_genes_of_few_and_of_many_counts_have_one_variance(counts):
    """Of the model's own overdispersion it is 1; that of the log ratio falls with the mean."""
    spread = pearson_residuals(counts, theta=THETA)[:, :-1].var(0)
    assert spread.mean() == pytest.approx(1, abs=0.15)
    assert spread.max() / spread.min() < 2
    logs = centred_log_ratio(counts)[:, :40].var(0)
    assert logs[:5].mean() / logs[-5:].mean() > 1.5


def test_what_differs_between_patients_stands_out(counts):
    residuals = pearson_residuals(counts, theta=THETA)
    assert int(residuals.var(0).argmax()) == 40
    assert residuals[::2, -1].mean() - residuals[1::2, -1].mean() > 2


def test_depth_drops_out(counts):
    residuals = pearson_residuals(counts, theta=THETA)
    depth = counts.sum(1)
    correlation = np.corrcoef(np.column_stack([depth, residuals[:, :40]]).T)[0, 1:]
    assert np.abs(correlation).max() < 0.2


def test_one_patient_is_what_the_cohort_made_of_it(counts):
    share = gene_fractions(counts)
    whole = pearson_residuals(counts, clip=20.0)
    torch.testing.assert_close(pearson_residuals(counts[3:4], share, clip=20.0), whole[3:4])
    assert pearson_residuals(counts[3:4], share).abs().max() <= 1


def test_genes_that_were_not_measured_change_no_other(counts):
    share = gene_fractions(counts)
    expected = counts.sum(1, keepdim=True) * share  # without noise every residual is 0
    less = expected.clone()
    less[:, :7] = torch.nan
    residuals = pearson_residuals(less, share)
    assert residuals[:, :7].isnan().all()
    assert residuals[:, 7:].abs().max() < 1e-6


def test_by_hand():
    """Depths 4 and 6, fractions 0.5: mu = 2 and 3."""
    found = pearson_residuals(torch.tensor([[1.0, 3.0, 0.0], [4.0, 2.0, 0.0]]), theta=4.0)
    assert found[0].tolist() == pytest.approx([-1 / 3**0.5, 1 / 3**0.5, 0])
    assert found[1].tolist() == pytest.approx([1 / 5.25**0.5, -1 / 5.25**0.5, 0])


def test_nothing_counted_is_zero():
    assert gene_fractions(torch.tensor([[1.0, 3.0], [0.0, 4.0]])).tolist() == [0.125, 0.875]
    assert gene_fractions(torch.zeros(2, 3)).tolist() == [0, 0, 0]
    assert pearson_residuals(torch.zeros(2, 3), theta=0.5).abs().max() == 0


def test_residuals_are_cut_at_the_root_of_the_number_of_patients():
    counts = torch.ones(9, 20)
    counts[0, 0] = 1000.0
    assert float(pearson_residuals(counts, torch.full((20,), 1 / 20)).max()) == 3


def test_what_are_no_counts_is_refused():
    with pytest.raises(ValueError, match="raw counts"):
        pearson_residuals(torch.tensor([[-1.0, 2.0]]))
    with pytest.raises(ValueError, match="more than 0"):
        pearson_residuals(torch.ones(1, 2), theta=0)
    with pytest.raises(ValueError, match="one for each of 2 genes"):
        pearson_residuals(torch.ones(1, 2), torch.ones(3))
