"""Time in a network of log risks: Breslow's estimate, of each subset of modalities its own."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from polyscan.errors import PolyscanError
from polyscan.fusion import MeanProbability, Sum
from polyscan.learning import FitSurvival
from polyscan.networks import CoxHead, FusionNet, SurvivalNet, VectorEncoder

TIMES = [3.0, 5.0, 5.0, 8.0, 9.0, 14.0]
EVENTS = [1, 1, 0, 1, 0, 1]


def network(fusion=Sum, names=("a", "b")):
    torch.manual_seed(0)
    encoder = partial(VectorEncoder, size=4, channels=(4,))
    return SurvivalNet(FusionNet(names, encoder, "output", fusion, CoxHead, spatial_dims=1), [1, 5, 20]).eval()


def cohort():
    torch.manual_seed(1)
    images = torch.randn(6, 2, 4)
    images[1, 1] = torch.nan
    labels = torch.tensor([*zip(TIMES, EVENTS, strict=True)], dtype=torch.float32)
    return images, [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]


def breslow(risks, until, who=range(6)):
    """The cumulative hazard, patient by patient."""
    total = 0.0
    for i in who:
        if EVENTS[i] and TIMES[i] <= until:
            total += 1 / sum(math.exp(risks[j]) for j in who if TIMES[j] >= TIMES[i])
    return total


def test_the_hazard_is_breslows_where_everything_is_there_and_where_one_is_not():
    net, (images, items) = network(), cohort()
    unknown = {"image": images[0], "label": torch.full((2,), torch.nan)}
    FitSurvival(net, [*items, unknown])(None)
    for left_out, who in ((None, [0, 2, 3, 4, 5]), (1, range(6))):
        given = images.clone()
        if left_out is not None:
            given[:, left_out] = torch.nan
        answer = net(given[list(who)])
        risks = dict(zip(who, answer[:, 0].tolist(), strict=True))
        assert sum(risks.values()) == pytest.approx(0, abs=1e-4)
        for k, until in enumerate(net.horizons, start=1):
            hazard = (answer[:, k] - answer[:, 0]).exp().tolist()
            assert hazard == pytest.approx([max(breslow(risks, until, who), 1e-6)] * len(who), rel=1e-3)


def test_log_risks_get_the_slope_of_those_who_were_not_learnt_from():
    torch.manual_seed(0)
    net, true = network(), torch.randn(4000)
    time = -torch.rand(4000).log() / true.exp()
    target = torch.stack([time, torch.ones(4000)], dim=1)
    risk, available = (3 * true)[:, None].repeat(1, 3), torch.ones(4000, 2, dtype=torch.bool)
    net.fit(risk, available, target, held_out=torch.arange(4000) % 2 > 0)
    assert net.slope[1:].flatten().tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert net.baseline[3, 0].exp() == pytest.approx(1, rel=0.1)  # the hazard is 1 at all times
    net.fit(risk / 6, available, target, held_out=torch.arange(4000) % 2 > 0)
    assert net.slope[3] == pytest.approx(2, abs=0.1)
    net.fit(risk, available, target, held_out=torch.zeros(4000, dtype=torch.bool))
    assert net.slope[3] == 1


def test_a_subset_that_nobody_has_is_fitted_to_all():
    net, (images, items) = network(), cohort()
    for item in items:
        item["image"][0 if item["label"][1] else 1] = torch.nan  # who has both has not died
    FitSurvival(net, items)(None)
    assert net.baseline[3].isfinite().all()
    FitSurvival(net, [{**item, "image": images[0]} for item in items])(None)
    assert net(images).isfinite().all()


def test_weights_hold_the_hazard_and_name_what_they_answer(tmp_path):
    net, (images, items) = network(), cohort()
    FitSurvival(net, items)(None)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    other = network()
    other.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    assert torch.equal(other(images), net(images))
    assert net.outputs == ["log risk", *(f"log cumulative hazard at {t}" for t in (1, 5, 20))]
    torch.testing.assert_close(torch.jit.script(net)(images), net(images))


def test_probabilities_of_classes_and_too_many_subsets_are_refused():
    with pytest.raises(PolyscanError, match="log risks are no probabilities"):
        network(MeanProbability)
    with pytest.raises(ValueError, match="11 modalities"):
        network(names=[str(k) for k in range(11)])
