"""Every layer keeps the one promise: what stands in an absent modality's place cannot change the output."""

from __future__ import annotations

import inspect

import pytest
import torch
from hypothesis import given, settings, strategies as st

from polyscan import fusion
from polyscan.fusion.temporal import TemporalFusion

LAYERS = fusion.layers()
each = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


def rows(batch: int, modalities: int, seed: int) -> torch.Tensor:
    """Random availability with at least one True a row."""
    generator = torch.Generator().manual_seed(seed)
    available = torch.rand(batch, modalities, generator=generator) < 0.5
    available[torch.arange(batch), torch.randint(modalities, (batch,), generator=generator)] = True
    return available


def awake(net):
    """The layer with weights that no initial zero hides."""
    for parameter in net.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return net


def test_all_layers_are_found():
    names = [layer.__name__ for layer in LAYERS]
    assert names == sorted(set(names))
    assert {"Concatenation", "DRIFA", "LeanDRIFA", "MeanProbability", "TemporalAttention"} <= set(names)
    assert not {"FusionLayer", "OutputRule", "Pool", "TemporalFusion"} & set(names), "bases are no layers"
    assert all(getattr(fusion, name) is layer for name, layer in zip(names, LAYERS, strict=True))
    with pytest.raises(AttributeError, match=r"has no layer Nonsense; it has AttentionWeighted"):
        fusion.Nonsense  # noqa: B018 - reading it is what is tried


@each
def test_a_layer_says_its_formula(layer):
    assert " = " in (layer.__dict__["__doc__"] or ""), "the first line of its docstring is its formula, F = ..."


@each
def test_a_layer_is_of_volumes_unless_told(layer):
    assert inspect.signature(layer).parameters["spatial_dims"].default == 3


def test_layers_are_told_apart_by_what_they_join():
    kinds = {joins: fusion.layers(joins) for joins in ("features", "logits", "time points")}
    assert sorted((x for kind in kinds.values() for x in kind), key=lambda layer: layer.__name__) == LAYERS
    assert {layer.joins for layer in kinds["logits"]} == {"logits"}
    assert fusion.MajorityVote in kinds["logits"]
    assert fusion.TemporalDifference in kinds["time points"]


@each
@settings(max_examples=15, deadline=None)
@given(
    modalities=st.integers(1, 5),
    spatial=st.sampled_from([(), (5,), (4, 3), (3, 4, 2)]),
    seed=st.integers(0, 1000),
    junk=st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30]),
)
def test_absent_modality_changes_neither_value_nor_gradient(layer, modalities, spatial, seed, junk):
    torch.manual_seed(seed)
    net = awake(layer(modalities, 6, len(spatial)))
    available = rows(3, modalities, seed)
    clean = torch.randn(3, modalities, 6, *spatial)
    spoiled = torch.where(available.reshape(3, modalities, *[1] * (1 + len(spatial))), clean, torch.tensor(junk))
    results = []
    for features in (clean, spoiled):
        torch.manual_seed(seed)
        features = features.clone().requires_grad_()
        net.zero_grad()
        out = net(features, available)
        assert out.shape == (3, 6, *spatial)
        assert out.isfinite().all()
        if out.requires_grad:
            out.square().sum().backward()
        gradient = torch.zeros_like(clean) if features.grad is None else features.grad
        results.append((out.detach(), gradient, [p.grad.clone() for p in net.parameters() if p.grad is not None]))
    (value, gradient, inner), (value2, gradient2, inner2) = results
    torch.testing.assert_close(value, value2, rtol=0, atol=0)
    torch.testing.assert_close(gradient, gradient2, rtol=0, atol=0)
    torch.testing.assert_close(inner, inner2, rtol=0, atol=0)
    assert gradient2.isfinite().all()
    assert gradient2[~available].abs().sum() == 0


@each
def test_every_modality_that_is_there_counts(layer):
    torch.manual_seed(0)
    net, available = awake(layer(3, 6)).eval(), torch.tensor([[True, True, False]])
    features = torch.randn(1, 3, 6, 4, 4, 4)
    before = net(features, available)
    for m in (0, 1):
        other = features.clone()
        other[:, m] = torch.randn(6, 4, 4, 4)
        assert not torch.allclose(net(other, available), before)


@each
def test_half_precision_is_finite_and_close(layer):
    torch.manual_seed(0)
    net, features, available = layer(3, 8).eval(), torch.randn(2, 3, 8, 4, 4, 4), rows(2, 3, 0)
    whole = net(features, available)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(features, available)
    far = (half.float() - whole).abs() > 0.1 + 0.1 * whole.abs()
    assert far.float().mean() < 0.02, "a vote may turn where two classes are as likely"
    assert net.bfloat16()(features.bfloat16(), available).isfinite().all()
    assert net.half()(features.half(), available).isfinite().all()


@each
def test_rows_do_not_see_each_other_and_twice_is_the_same(layer):
    torch.manual_seed(0)
    net, features, available = awake(layer(4, 6, 2)).eval(), torch.randn(6, 4, 6, 3, 3), rows(6, 4, 3)
    together = net(features, available)
    torch.testing.assert_close(net(features, available), together, rtol=0, atol=0)
    alone = torch.cat([net(features[i : i + 1], available[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone)


@each
def test_compiles_to_torchscript(layer):
    net, features, available = layer(3, 4, 2).eval(), torch.randn(2, 3, 4, 5, 5), rows(2, 3, 1)
    torch.testing.assert_close(torch.jit.script(net)(features, available), net(features, available))


@each
def test_wrong_shapes_are_refused_with_what_was_expected(layer):
    net = layer(3, 4)
    with pytest.raises(ValueError, match=r"expected \(batch, 3 modalities, 4 channels"):
        net(torch.randn(2, 3, 5, 8), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected \[2, 3\]"):
        net(torch.randn(2, 3, 4, 8), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least 1"):
        layer(0, 4)
    for features, available in (([torch.randn(2, 4, 8)] * 3, torch.ones(2, 3)), (torch.randn(2, 3, 4, 8), None)):
        with pytest.raises(ValueError, match=r"must be tensors.*torch.stack\(features, dim=1\) makes one of a list"):
            net(features, available)


@each
def test_a_batch_of_none_is_answered_by_none(layer):
    """The last batch of a loader, or of those that a gate chose, may be empty."""
    net = layer(3, 4, 2)
    out = net(torch.randn(0, 3, 4, 5, 5), torch.ones(0, 3, dtype=torch.bool))
    assert out.shape == (0, 4, 5, 5)
    assert all(buffer.isfinite().all() for buffer in net.buffers() if buffer.is_floating_point())


@pytest.mark.parametrize(
    "layer", [layer for layer in LAYERS if not issubclass(layer, TemporalFusion)], ids=lambda layer: layer.__name__
)
def test_order_of_modalities_matters_as_documented(layer):
    torch.manual_seed(0)
    said = " ".join((layer.__doc__ or "").lower().split())
    unchanged = "unchanged by the order" in said or "unchanged by their order" in said
    assert unchanged != ("depends on the order" in said), (
        "its docstring must say unchanged by the order, or depends on the order"
    )
    net = layer(4, 6).eval()
    net, features, available = net if unchanged else awake(net), torch.randn(2, 4, 6, 3, 3, 3), rows(2, 4, 3)
    order = [2, 0, 3, 1]
    other = net(features[:, order], available[:, order])
    assert torch.allclose(other, net(features, available), atol=1e-5) == unchanged


WITH_LOSS = [layer for layer in LAYERS if layer.AUXILIARY_WEIGHTS]
each_with_loss = pytest.mark.parametrize("layer", WITH_LOSS, ids=lambda layer: layer.__name__)


def target_for(net, batch):
    """Two regions that may hold each other for features, one class a position for logits."""
    if net.joins == "logits":
        return torch.nn.functional.one_hot(torch.randint(6, (batch, 4, 4)), 6).movedim(-1, 1).float()
    return torch.randint(2, (batch, 2, 4, 4)).float()


@each_with_loss
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e30])
def test_absent_modality_changes_no_auxiliary_loss(layer, junk):
    torch.manual_seed(0)
    net, available = awake(layer(3, 6, 2)).eval(), rows(6, 3, 0)
    clean = torch.randn(6, 3, 6, 4, 4)
    spoiled = torch.where(available[:, :, None, None, None], clean, torch.tensor(junk))
    target, pyramid = target_for(net, 6), [torch.randn(6, 3, 4, 8, 8)]
    found = []
    for features in (clean, spoiled):
        torch.manual_seed(0)
        features = features.clone().requires_grad_()
        terms = net.auxiliary_loss(features, available, net(features, available), target, pyramid)
        assert set(terms) == set(net.auxiliary_weights)
        assert all(term.dim() == 0 and term.isfinite() for term in terms.values())
        (gradient,) = torch.autograd.grad(sum(terms.values()), features)
        found.append(({name: term.detach() for name, term in terms.items()}, gradient))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert found[1][1].abs().sum() > 0, "a loss without a gradient trains nothing"


@each_with_loss
def test_every_weight_takes_part_in_a_step_with_its_loss(layer):
    """As DistributedDataParallel needs, even where a batch has nothing to compare."""
    torch.manual_seed(0)
    net, features, available = layer(3, 6, 2), torch.randn(1, 3, 6, 4, 4), torch.tensor([[True, False, False]])
    out = net(features.requires_grad_(), available)
    terms = net.auxiliary_loss(features, available, out, target_for(net, 1))
    (out.sum() + sum(terms.values())).backward()
    assert [name for name, weight in net.named_parameters() if weight.requires_grad and weight.grad is None] == []


@each
def test_auxiliary_weights_are_the_papers_unless_given_and_only_of_terms_that_there_are(layer):
    net = layer(3, 6, 2)
    assert net.auxiliary_weights == layer.AUXILIARY_WEIGHTS
    if not layer.AUXILIARY_WEIGHTS:
        assert net.auxiliary_loss(torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool), torch.randn(2, 6)) == {}
        return
    first = next(iter(layer.AUXILIARY_WEIGHTS))
    assert layer(3, 6, 2, auxiliary_weights={first: 0.7}).auxiliary_weights == {**layer.AUXILIARY_WEIGHTS, first: 0.7}
    with pytest.raises(ValueError, match=f"{layer.__name__} has no auxiliary loss nonsense; its terms are .*{first}"):
        layer(3, 6, 2, auxiliary_weights={"nonsense": 1.0})


@each
def test_a_row_that_has_nothing_is_zero_and_disturbs_nothing(layer):
    torch.manual_seed(0)
    net, features = awake(layer(3, 6, 2)).eval(), torch.randn(3, 3, 6, 4, 4)
    features[1] = torch.nan
    features.requires_grad_()
    available = torch.tensor([[True, False, True], [False] * 3, [True] * 3])
    out = net(features, available)
    assert (out[1] == 0).all()
    torch.testing.assert_close(out[[0, 2]], net(features[[0, 2]], available[[0, 2]]))
    inputs = [features, *(p for p in net.parameters() if p.requires_grad)]
    if out.requires_grad:  # a vote has no gradient
        gradients = torch.autograd.grad(out.square().sum(), inputs, allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradients)
        assert (gradients[0][1] == 0).all()
    if layer.AUXILIARY_WEIGHTS:
        terms = net.auxiliary_loss(features, available, out, target_for(net, 3))
        assert all(term.isfinite() for term in terms.values())


@each_with_loss
def test_a_batch_that_has_nothing_at_all_has_a_loss_and_gradients_that_are_finite(layer):
    torch.manual_seed(0)
    net, features = awake(layer(3, 6, 2)), torch.full((2, 3, 6, 4, 4), torch.nan, requires_grad=True)
    available = torch.zeros(2, 3, dtype=torch.bool)
    out = net(features, available)
    assert (out == 0).all()
    terms = net.auxiliary_loss(features, available, out, target_for(net, 2))
    assert all(term.isfinite() for term in terms.values())
    (out.sum() + sum(terms.values())).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in [features, *net.parameters()])
