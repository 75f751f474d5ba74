"""Each strategy keeps the promise of a fusion layer, and imputes what its formula says."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import pytest
import torch

from polyscan import missing
from polyscan.errors import PolyscanError
from polyscan.fusion import Concatenation, Mean, MeanProbability, SharedSpecific
from polyscan.networks import FusionNet, MulticlassHead, VectorEncoder

STRATEGIES = missing.strategies()
each = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)


def rows(batch, modalities):
    available = torch.rand(batch, modalities) < 0.5
    available[torch.arange(batch), torch.randint(modalities, (batch,))] = True
    return available


def awake(net):
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


def test_strategies_are_found_and_their_bases_are_none():
    names = [strategy.__name__ for strategy in STRATEGIES]
    assert {"LearnedTokens", "MeanImputation", "GenerativeImputation", "SubsetEnsemble"} <= set(names)
    assert not {"Imputation", "MissingStrategy", "FusionLayer"} & set(names)
    assert all(getattr(missing, name) is strategy for name, strategy in zip(names, STRATEGIES, strict=True))
    with pytest.raises(AttributeError, match="has no strategy Nonsense; it has Disentanglement"):
        missing.Nonsense  # noqa: B018 - reading it is what is tried


@each
@pytest.mark.parametrize("spatial", [(), (4, 3), (3, 4, 2)], ids=str)
@pytest.mark.parametrize("junk", [float("nan"), float("inf")])
def test_what_stands_in_a_missing_place_changes_no_output_loss_or_gradient(strategy, spatial, junk):
    torch.manual_seed(0)
    net, available = awake(strategy(3, 4, len(spatial))), rows(6, 3)
    clean = torch.randn(6, 3, 4, *spatial)
    spoiled = torch.where(available.reshape(6, 3, *[1] * (1 + len(spatial))), clean, torch.tensor(junk))
    found = []
    for features in (clean, spoiled):
        features = features.clone().requires_grad_()
        once = deepcopy(net)  # it may remember what it has seen
        fused = once(features, available)
        terms = once.auxiliary_loss(features, available, fused)
        assert set(terms) == set(net.auxiliary_weights)
        (gradient,) = torch.autograd.grad(fused.square().sum() + sum(terms.values()), features)
        found.append((fused.detach(), {name: term.detach() for name, term in terms.items()}, gradient))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert found[1][2].isfinite().all()
    assert (found[1][2][~available] == 0).all()


@each
def test_complete_subjects_are_fused_by_the_layer_within(strategy):
    net = awake(strategy(3, 4, 0))
    features, available = torch.randn(5, 3, 4), torch.ones(5, 3, dtype=torch.bool)
    torch.testing.assert_close(net(features, available), net.fusion(features, available))


@each
def test_compiles_to_torchscript(strategy):
    net, features, available = awake(strategy(3, 4, 2)), torch.randn(4, 3, 4, 5, 5), rows(4, 3)
    net(features, torch.ones_like(available))
    net.eval()
    torch.testing.assert_close(torch.jit.script(net)(features, available), net(features, available))


@each
def test_a_batch_that_has_nothing_has_losses_and_gradients_that_are_finite(strategy):
    net, features = awake(strategy(2, 4, 0)), torch.full((3, 2, 4), torch.nan, requires_grad=True)
    available = torch.zeros(3, 2, dtype=torch.bool)
    out = net(features, available)
    assert (out == 0).all()
    total = out.sum() + sum(net.auxiliary_loss(features, available, out).values())
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in [features, *net.parameters()])


@each
def test_only_a_layer_of_features_stands_within(strategy):
    with pytest.raises(PolyscanError, match=f"MeanProbability joins logits; {strategy.__name__} stands around"):
        strategy(2, 4, 0, fusion=MeanProbability)


def fitted(net, features, available, steps=400):
    """Train the auxiliary losses alone."""
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(net.auxiliary_loss(features, available, features[:, 0]).values()).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def correlated():
    """Two modalities of three channels: the second is twice the first, noise of 0.3, about a mean of 1."""
    torch.manual_seed(1)
    first = torch.randn(800, 3)
    second = 1 + 2 * first + 0.3 * torch.randn(800, 3)
    features, available = torch.stack([first, second], dim=1), torch.ones(800, 2, dtype=torch.bool)
    available[:200, 1] = False
    return features, available


def error(net, features, available):
    gone = available & torch.tensor([True, False])
    return float((net.impute(features * gone[..., None], gone)[:, 1] - features[:, 1]).square().mean().detach())


def test_imputations_are_as_good_as_what_they_know(correlated):
    features, available = correlated
    mean = fitted(missing.MeanImputation(2, 3, 0), features, available)
    assert torch.allclose(mean.mean[1], features[200:, 1].mean(0), atol=0.05)
    assert abs(error(mean, features, available) - 4.09) < 0.5  # 2^2 + 0.3^2
    linear = fitted(missing.LinearImputation(2, 3, 0), features, available)
    assert error(linear, features, available) < 0.15  # 0.09 at best
    generative = fitted(missing.GenerativeImputation(2, 3, 0), features, available)
    assert error(generative, features, available) < 0.3
    nearest = missing.NearestImputation(2, 3, 0)
    assert error(nearest, features, available) > 4  # knows nobody yet
    for rows in torch.randperm(800).split(100):
        nearest(features[rows], available[rows])
    assert nearest.kept == 512
    assert error(nearest.eval(), features, available) < 0.6


def test_a_generator_that_knows_nothing_gives_the_mean():
    torch.manual_seed(2)
    features, available = 3 + torch.randn(1500, 2, 2), torch.ones(1500, 2, dtype=torch.bool)
    net = fitted(missing.GenerativeImputation(2, 2, 0), features, available, steps=300)
    gone = available & torch.tensor([True, False])
    imputed = net.impute(features * gone[..., None], gone)[:, 1]
    assert (imputed - 3).abs().mean() < 0.2
    assert imputed.std() < 0.3  # features have 1


def test_a_memory_keeps_the_latest_subjects_who_have_all_and_travels_with_the_weights():
    net = missing.NearestImputation(2, 3, 1, neighbours=1, memory=16)
    old, new = torch.randn(2, 4, 2, 3, 5)
    lacking = torch.tensor([[True, False]] * 4)
    net(old, lacking)
    net(old, lacking & False)
    assert net.kept == 0
    for features in (old, *[new] * 8):
        net(features, lacking | torch.tensor([[False, True]]))
    other = missing.NearestImputation(2, 3, 1, neighbours=1, memory=16).eval()
    other.load_state_dict(net.state_dict())
    seen = {tuple(x) for x in other.memory[:, 1].tolist()}
    assert seen <= {tuple(x) for x in new[:, 1].movedim(1, 2).reshape(-1, 3).tolist()}
    place = other.impute(new * lacking[..., None, None], lacking)[:, 1].movedim(1, 2).reshape(-1, 3)
    assert {tuple(x) for x in place.tolist()} <= seen
    with pytest.raises(ValueError, match="9 neighbours of a memory of 8; expected from 1 to 8"):
        missing.NearestImputation(2, 3, 1, neighbours=9, memory=8)


def test_imputation_does_not_move_with_the_supervised_loss():
    for strategy in (
        missing.MeanImputation,
        missing.LinearImputation,
        missing.GenerativeImputation,
        missing.NearestImputation,
    ):
        net, features, available = strategy(2, 3, 0), torch.randn(4, 2, 3), torch.tensor([[True, False]] * 4)
        net(features, available).square().sum().backward()
        within = {f"fusion.{name}" for name, _ in net.fusion.named_parameters()}
        moved = {name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert moved <= within, strategy


def test_learned_tokens_learn_from_subjects_that_lack_a_modality():
    net, features = missing.LearnedTokens(2, 3, 0), torch.randn(4, 2, 3)
    net(features, torch.tensor([[True, False]] * 4)).square().sum().backward()
    assert net.tokens.grad[1].abs().sum() > 0
    assert net.tokens.grad[0].abs().sum() == 0


def test_each_combination_has_a_layer_of_its_own():
    net, features = awake(missing.SubsetEnsemble(3, 4, 0)), torch.randn(4, 3, 4)
    available = torch.tensor([[True, False, False], [True, True, False], [False, True, True], [True, True, True]])
    out = net(features, available)
    for row, layer in enumerate([net.others[0], net.others[2], net.others[5], net.fusion]):
        masked = features[row : row + 1] * available[row][None, :, None]
        torch.testing.assert_close(out[row : row + 1], layer(masked, available[row : row + 1]))
    with pytest.raises(PolyscanError, match="7 modalities would need 127, expected 6 modalities at most"):
        missing.SubsetEnsemble(7, 4, 0)
    with pytest.raises(
        PolyscanError, match="Mean has no weights, so that a layer for each combination changes nothing"
    ):
        missing.SubsetEnsemble(3, 4, 0, fusion=Mean)


def test_shared_parts_speak_for_a_missing_modality(correlated):
    features, available = correlated
    net = fitted(missing.Disentanglement(2, 3, 0), features, available, steps=600)
    assert error(net, features, available) < 0.4 * 4.09
    whole = net.auxiliary_loss(features, available, features[:, 0])
    assert whole["orthogonality"] < 0.2


def test_a_network_of_vectors_takes_a_strategy_around_a_layer_with_a_loss():
    encoder = partial(VectorEncoder, size=5, channels=(6,))
    fusion = partial(missing.GenerativeImputation, fusion=SharedSpecific)
    net = FusionNet(["a", "b"], encoder, [0], fusion, partial(MulticlassHead, tasks={"c": ["0", "1"]}), spatial_dims=1)
    image = torch.randn(3, 2, 5)
    image[0, 1] = torch.nan
    assert net(image).isfinite().all()
    assert {type(layer) for layer in net.modules()} >= {missing.GenerativeImputation, SharedSpecific}


@pytest.mark.parametrize("layer", [Concatenation, Mean])
def test_any_layer_stands_within(layer):
    net = missing.MeanImputation(2, 3, 1, fusion=layer)
    assert net(torch.randn(2, 2, 3, 5), torch.tensor([[True, False], [True, True]])).shape == (2, 3, 5)
