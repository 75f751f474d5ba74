"""CCA as a layer, beside scipy's and cca-zoo's solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import against
from scipy.linalg import eigh, inv, sqrtm

from polyscan.fusion import CanonicalCorrelation
from polyscan.fusion.canonical_correlation import total_correlation


def cohort(rows=400, seed=0):
    """Two views of four channels that share two sources, strongly and weakly."""
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(rows, 2))
    views = [sources @ rng.normal(size=(2, 4)) * [2, 1, 1, 1] + rng.normal(size=(rows, 4)) * s for s in (0.3, 1.0)]
    return torch.tensor(np.stack(views, axis=1)), torch.ones(rows, 2, dtype=torch.bool)


def correlations_by_hand(x, y):
    """Singular values of Sxx^-1/2 Sxy Syy^-1/2 (Hotelling 1936)."""
    x, y = x - x.mean(0), y - y.mean(0)
    half = [inv(np.real(sqrtm(v.T @ v / (len(v) - 1)))) for v in (x, y)]
    return np.linalg.svd(half[0] @ (x.T @ y / (len(x) - 1)) @ half[1], compute_uv=False)


def test_projects_and_averages():
    def by_hand(there, w):
        return np.mean([w["projection"][m] @ (x - w["centre"][m][:, None]) for m, x in there.items()], axis=0)

    against(CanonicalCorrelation(3, 4), by_hand)


def test_two_views_give_hotellings_correlations():
    features, available = cohort()
    net = CanonicalCorrelation(2, 4, regularisation=0).double()
    found = net.fit(features, available).numpy()
    expected = correlations_by_hand(features[:, 0].numpy(), features[:, 1].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    variates = net.project(features).detach().numpy()
    for k in range(4):
        assert np.corrcoef(variates[:, 0, k], variates[:, 1, k])[0, 1] == pytest.approx(expected[k], abs=1e-6)
    loss = net.auxiliary_loss(features, available, net(features, available))["correlation"]
    assert float(loss.detach()) == pytest.approx(-expected.sum(), abs=0.02), "the same sum, a little regularised"


def test_equals_cca_zoo():
    zoo = pytest.importorskip("cca_zoo.linear", reason="cca-zoo is not installed")
    features, available = cohort()
    views = [features[:, m].numpy() for m in range(2)]
    net = CanonicalCorrelation(2, 4, regularisation=0).double()
    net.fit(features, available)
    theirs = zoo.CCA(n_components=4).fit(views).transform(views)
    ours = net.project(features).detach().numpy()
    for view in range(2):
        for k in range(4):
            assert abs(np.corrcoef(ours[:, view, k], theirs[view][:, k])[0, 1]) == pytest.approx(1, abs=1e-4)


def test_regularisation_shrinks_what_small_cohorts_pretend():
    rng = np.random.default_rng(0)
    noise, available = torch.tensor(rng.normal(size=(12, 2, 5))), torch.ones(12, 2, dtype=torch.bool)
    fitted, regular = (CanonicalCorrelation(2, 5, regularisation=r).double() for r in (0, 1))
    assert fitted.fit(noise, available)[0] > 0.9 > regular.fit(noise, available)[0]


def test_a_channel_that_never_changes_is_no_reason_for_nan():
    rng = np.random.default_rng(0)
    features, available = torch.tensor(rng.normal(size=(12, 2, 3))), torch.ones(12, 2, dtype=torch.bool)
    features[:, :, 0] = 1.0
    net = CanonicalCorrelation(2, 3).double()
    net.fit(features, available)
    assert net.projection.isfinite().all()
    torch.testing.assert_close(net.centre.detach(), features.mean(0))


def test_rows_that_lack_a_modality_are_left_out_of_the_fit():
    features, available = cohort()
    whole = CanonicalCorrelation(2, 4).double()
    whole.fit(features[:300], available[:300])
    holes = available.clone()
    holes[300:, 0] = False
    partly = CanonicalCorrelation(2, 4).double()
    partly.fit(torch.where(holes[:, :, None], features, torch.nan), holes)
    torch.testing.assert_close(partly.projection, whole.projection)
    holes[2:, 0] = False
    with pytest.raises(ValueError, match="2 of 400 rows have every modality"):
        partly.fit(features, holes)
    with pytest.raises(ValueError, match="expected 0 or more"):
        CanonicalCorrelation(2, 4, regularisation=-1)


def test_deep_cca_finds_a_relation_that_is_not_linear():
    torch.manual_seed(0)
    hidden = torch.rand(256, 1) * 2 - 1
    views = [torch.cat([hidden, 0.3 * torch.randn(256, 1)], 1), torch.cat([hidden**2, 0.3 * torch.randn(256, 1)], 1)]
    encoders = [torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)) for _ in views]
    layer, there = CanonicalCorrelation(2, 1), torch.ones(256, 2, dtype=torch.bool)
    optimizer = torch.optim.Adam([p for e in encoders for p in e.parameters()], lr=0.02)
    for _ in range(150):
        features = torch.stack([e(v) for e, v in zip(encoders, views, strict=True)], dim=1)
        loss = layer.auxiliary_loss(features, there, layer(features, there))["correlation"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert correlations_by_hand(*[v.numpy() for v in views])[0] < 0.3
    assert loss < -0.9


def test_total_correlation_needs_no_order():
    x = torch.randn(50, 3, dtype=torch.float64)
    assert float(total_correlation(x, x @ torch.randn(3, 3, dtype=torch.float64))) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(("rows", "spatial"), [(3, ()), (5, ()), (1, (5,))])
def test_a_batch_too_small_to_say_anything_is_left_out(rows, spatial):
    """With no more samples than channels any two views correlate perfectly, so that noise would look solved."""
    torch.manual_seed(0)
    net, features = CanonicalCorrelation(2, 6), torch.randn(rows, 2, 6, *spatial)
    loss = net.auxiliary_loss(features, torch.ones(rows, 2, dtype=torch.bool), features[:, 0])["correlation"]
    assert loss == 0
    loss.backward()


def test_positions_are_samples():
    torch.manual_seed(0)
    net, features = CanonicalCorrelation(2, 3, 2).double(), torch.randn(2, 2, 3, 8, 8, dtype=torch.float64)
    features[:, 1] += features[:, 0]
    views = features.permute(1, 0, 3, 4, 2).flatten(1, 3).numpy()
    loss = net.auxiliary_loss(features, torch.ones(2, 2, dtype=torch.bool), features[:, 0])["correlation"]
    assert float(loss.detach()) == pytest.approx(-correlations_by_hand(*views).sum(), abs=0.01)


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_correlation_does_not_depend_on_the_size_of_features(size):
    torch.manual_seed(0)
    x, y = torch.randn(2, 200, 4, dtype=torch.float64)
    y = y + x
    expected = correlations_by_hand(x.numpy(), y.numpy()).sum()
    assert float(total_correlation(size * x, y)) == pytest.approx(expected, rel=2e-3)


def test_correlation_is_the_same_under_autocast():
    torch.manual_seed(0)
    net, shared = CanonicalCorrelation(2, 8), torch.randn(40, 1)
    features = shared.unsqueeze(2) + 1e-3 * torch.randn(40, 2, 8)
    there = torch.ones(40, 2, dtype=torch.bool)
    whole = net.auxiliary_loss(features, there, features[:, 0])["correlation"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net.auxiliary_loss(features, there, features[:, 0])["correlation"]
    assert half.isfinite()
    assert half.dtype == torch.float32
    assert whole.isfinite()


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("regularisation", [0.01, 0.5])
def test_regularisation_is_a_share_of_the_mean_variance(modalities, regularisation):
    """The generalised eigenvectors of C p = l D p as SciPy finds them, r v on the diagonals of both."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1)) + rng.normal(size=(60, modalities * 3)) * np.linspace(0.5, 3, modalities * 3)
    net = CanonicalCorrelation(modalities, 3, regularisation=regularisation).double()
    found = net.fit(torch.tensor(x).unflatten(1, (modalities, 3)), torch.ones(60, modalities, dtype=torch.bool))
    covariance = np.cov(x.T)
    own = covariance * np.kron(np.eye(modalities), np.ones((3, 3)))
    extra = regularisation * np.diag(own).mean() * np.eye(len(own))
    values, vectors = eigh(covariance + extra, own + extra)
    np.testing.assert_allclose(found, (values[::-1][:3] - 1) / (modalities - 1), rtol=1e-7)
    for k in range(3):
        expected = vectors[:, -1 - k]
        together = net.projection.detach()[:, k].flatten().numpy()
        for m in range(modalities):  # each scaled to a variance of one
            part, mine = expected[3 * m : 3 * m + 3], together[3 * m : 3 * m + 3]
            scaled = part / (x[:, 3 * m : 3 * m + 3] @ part).std(ddof=1)
            np.testing.assert_allclose(mine * np.sign(mine @ scaled), scaled, rtol=1e-6)


def test_regularisation_of_the_loss_is_a_share_of_the_mean_variance():
    x, y = torch.randn(2, 30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = x * torch.tensor([1.0, 2.0, 5.0])
    a, b = (v - v.mean(0) for v in (x.numpy(), (x + y).numpy()))
    for given, r in (({}, 1e-3), ({"regularisation": 0.5}, 0.5)):
        half = [inv(sqrtm(v.T @ v / 29 + r * v.var(0, ddof=1).mean() * np.eye(3))) for v in (a, b)]
        expected = np.linalg.svd(half[0] @ (a.T @ b / 29) @ half[1], compute_uv=False).sum()
        assert float(total_correlation(x, x + y, **given)) == pytest.approx(expected, rel=1e-9)


def test_no_regularisation_is_none_unless_given():
    assert CanonicalCorrelation(2, 4).regularisation == 0.01
    with pytest.raises(ValueError, match="needs three at least"):
        CanonicalCorrelation(2, 4).fit(torch.randn(2, 2, 4), torch.ones(2, 2, dtype=torch.bool))
    CanonicalCorrelation(2, 4).fit(torch.randn(3, 2, 4), torch.ones(3, 2, dtype=torch.bool))
