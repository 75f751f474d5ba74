"""Each objective against its formula, what it refuses, and that it moves what it is to move."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from polyscan import objectives
from polyscan.errors import PolyscanError
from polyscan.fusion import Concatenation, GatedSum, MeanProbability, TemporalConcatenation
from polyscan.fusion.table import DAFT, TableTokens, VectorToken
from polyscan.learning import MulticlassLoss, OneHotTasks, WithAuxiliaryLosses, WithDistillation
from polyscan.missing import MeanImputation
from polyscan.networks import (
    CachedFeatures,
    DRIFANet,
    FusionNet,
    MulticlassHead,
    TableNet,
    TemporalNet,
    UNetEncoder,
    VectorEncoder,
)

TASKS = {"grade": ["2", "3", "4"], "IDH": ["no", "yes"]}
OBJECTIVES = [kind for kind in objectives.objectives() if kind is not objectives.TableContrast]
each = pytest.mark.parametrize("kind", OBJECTIVES, ids=lambda kind: kind.__name__)


def vectors(fuse_at=(0,), fusion=Concatenation, modalities=("a", "b", "c")):
    torch.manual_seed(0)
    encoder = partial(VectorEncoder, size=5, channels=(8,))
    head = partial(MulticlassHead, tasks=TASKS, dropout=0.0)
    return FusionNet(list(modalities), encoder, fuse_at, fusion, head, spatial_dims=1)


def encoded_by(network, image):
    return CachedFeatures.of(network, image)


def studies(rows=6):
    """The first has nothing but the first modality, the second no second one."""
    image = torch.randn(rows, 3, 5, generator=torch.Generator().manual_seed(1))
    image[0, 1:] = torch.nan
    image[1, 1] = torch.nan
    return image


def test_objectives_are_found_and_named():
    found = objectives.objectives()
    names = [kind.__name__ for kind in found]
    assert names == sorted({*names, "Consistency", "Contrastive", "MaskedReconstruction", "TableContrast"})
    assert [getattr(objectives, name) for name in names] == found
    with pytest.raises(AttributeError, match="has no objective Nonsense; it has Consistency"):
        objectives.Nonsense  # noqa: B018 - reading it is what is tried


def test_contrastive_compares_studies_that_have_both():
    network = vectors()
    objective = objectives.Contrastive(network, width=4, temperature=0.2)
    encoded = encoded_by(network, studies())
    weight = objective.project.weight.detach().numpy()
    z = np.einsum("moc,bmc->bmo", weight, encoded.features[-1].detach().numpy().mean(3))
    losses = []
    for a, b, rows in ((0, 1, [2, 3, 4, 5]), (0, 2, [1, 2, 3, 4, 5]), (1, 2, [2, 3, 4, 5])):
        p, q = (z[rows, m] / np.linalg.norm(z[rows, m], axis=1, keepdims=True) for m in (a, b))
        scores = p @ q.T / 0.2
        losses.append(-(np.diag(log_softmax(scores, 1)) + np.diag(log_softmax(scores, 0))).mean() / 2)
    np.testing.assert_allclose(objective(encoded).detach(), np.mean(losses), rtol=1e-5)
    objective.log_scale.data.fill_(20.0)
    assert objective(encoded) < 300, "the scale is 100 at most"


def test_reconstruction_is_the_share_of_the_variance_that_the_others_do_not_tell():
    network = vectors()
    objective, encoded = objectives.MaskedReconstruction(network), encoded_by(network, studies(200))
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.01)
    for parameter in objective.generator[2].parameters():
        torch.nn.init.zeros_(parameter)
    varies = (encoded.features[-1].std(0) > 0).float().mean()
    np.testing.assert_allclose(objective(encoded).detach(), varies, rtol=0.1)  # who tells the mean tells nothing
    features = encoded.features[-1].detach()
    copies = CachedFeatures(network, [features[:, :1].repeat(1, 3, 1, 1)], encoded.available, [])
    for _ in range(200):
        optimizer.zero_grad()
        objective(copies).backward()
        optimizer.step()
    assert objective(copies) < 0.2 * varies, "what the others hold can be told"


def test_consistency_is_the_distance_of_the_probabilities_of_two_subsets():
    network = vectors().eval()
    encoded = encoded_by(network, studies(40))
    assert objectives.Consistency(network, drop=0.0)(encoded) == 0
    objective = objectives.Consistency(network, drop=0.5, one_hot=OneHotTasks(TASKS))
    torch.manual_seed(3)
    got = objective(encoded).detach()
    torch.manual_seed(3)
    found = []
    for _ in range(2):
        subset = objectives.consistency.random_subset(encoded.available, 0.5)
        logits = encoded.head(encoded.fuse(subset), subset).detach().numpy()
        found.append(np.concatenate([softmax(logits[:, :3], 1), softmax(logits[:, 3:], 1)], axis=1))
    np.testing.assert_allclose(got, ((found[0] - found[1]) ** 2).mean(), rtol=1e-5)
    assert got > 0


@each
def test_what_is_absent_or_alone_disturbs_nothing(kind):
    network = vectors(fusion=partial(MeanImputation, fusion=GatedSum))
    objective = kind(network)
    image = studies()
    for rows in (image, image[:1], torch.full_like(image, torch.nan)):
        network.zero_grad()
        number = objective(encoded_by(network, rows))
        assert number.dim() == 0
        assert number.isfinite()
        number.backward()
        given = [p.grad for p in [*network.parameters(), *objective.parameters()] if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in given)


@each
@pytest.mark.parametrize("distil", [False, True])
def test_studies_without_a_label_move_the_encoders_and_no_supervised_loss(kind, distil):
    network = vectors()
    loss, one_hot = MulticlassLoss(TASKS), OneHotTasks(TASKS)
    objective = kind(network, weight=2.0)
    make = WithDistillation if distil else WithAuxiliaryLosses
    training = make(network, one_hot, loss, objectives=[objective])
    image, unknown = studies(), torch.full((6, 2), torch.nan)
    torch.manual_seed(0)
    logits, losses = training(image, unknown)
    assert loss(logits, unknown) == 0
    own = losses[f"objective.{kind.__name__}"]
    assert own > 0
    own.backward()
    assert network.body.encoders[0].stages[0].layers[1].weight.grad.abs().sum() > 0
    assert {id(p) for p in objective.parameters()} <= {id(p) for p in training.parameters()}


@each
def test_networks_of_which_there_is_nothing_to_learn_are_refused(kind):
    with pytest.raises(
        PolyscanError, match=f"{kind.__name__} learns modalities from each other; the network has a alone"
    ):
        kind(vectors(modalities=["a"]))
    if not issubclass(kind, objectives.FeatureObjective):
        return
    said = f"{kind.__name__} reads deep features of each modality before it meets the others"
    for place, fusion in (("input", Concatenation), ("output", MeanProbability)):
        with pytest.raises(PolyscanError, match=said):
            kind(vectors(fuse_at=place, fusion=fusion))
    with pytest.raises(PolyscanError, match=said):
        kind(DRIFANet(["a", "b"], {"grade": 2}, in_channels=1, widths=(4, 4, 8, 8)))
    network = DRIFANet(["a", "b"], {"grade": 2}, in_channels=1, widths=(4, 4, 8, 8), fusion=Concatenation)
    with pytest.raises(PolyscanError, match=said):
        kind(network)(encoded_by(network, torch.randn(2, 2, 32, 32)))


@pytest.mark.parametrize("fuse_at", ["input", "output"])
def test_subsets_can_agree_wherever_modalities_meet(fuse_at):
    network = vectors(fuse_at=fuse_at, fusion=MeanProbability if fuse_at == "output" else Concatenation)
    assert objectives.Consistency(network)(encoded_by(network, studies())).isfinite()


def test_modalities_of_several_times_are_compared():
    head = partial(MulticlassHead, tasks={"grade": ["2", "3"]})
    inner = FusionNet(["T1", "T2"], partial(UNetEncoder, channels=(4, 6)), [1], Concatenation, head, spatial_dims=2)
    network = TemporalNet(inner, TemporalConcatenation, times=2)
    image = torch.randn(3, 4, 8, 8)
    image[0, 2:] = torch.nan
    for kind in OBJECTIVES:
        assert kind(network)(encoded_by(network, image)).isfinite()


def beside_a_table(tokens):
    torch.manual_seed(0)
    head = partial(MulticlassHead, tasks=TASKS, dropout=0.0)
    scans = FusionNet(["T1", "T2"], partial(UNetEncoder, channels=(4, 6)), [0], Concatenation, head, spatial_dims=2)
    return TableNet(scans, tokens, DAFT)


def test_tables_are_compared_with_what_scans_show_and_where():
    network = beside_a_table(TableTokens(numeric=3, width=5))
    objective = objectives.TableContrast(network, width=4, temperature=0.2, blocks=2)
    image, table = torch.randn(5, 2, 8, 8), torch.randn(5, 3)
    image[0, 1:], table[1, 0] = torch.nan, torch.nan
    table[2] = torch.nan  # nothing of this study is recorded
    encoded = CachedFeatures.of(network, image, [table])
    finest, deepest = (
        level.detach().numpy() for level in network.network.fuse(list(encoded.features), encoded.available)
    )
    quarters = deepest.reshape(5, 6, 2, 2, 2, 2).mean((3, 5)).reshape(5, -1)
    score = objective.attention.score
    steep = 10 * (
        np.einsum("hc,bcxy->bhxy", score.weight.detach(), finest) + score.bias.detach().numpy()[:, None, None]
    )
    looked_at = softmax(steep.reshape(5, 8, -1), 2)
    places = np.broadcast_to(np.stack(np.meshgrid(*[np.linspace(-3, 3, 8)] * 2, indexing="ij")), (5, 2, 8, 8))
    found = np.concatenate([finest, places], axis=1).reshape(5, 6, -1)
    read = np.concatenate([quarters, np.einsum("bhp,bcp->bhc", looked_at, found).reshape(5, -1)], axis=1)
    scans = objective.scans(torch.as_tensor(read, dtype=torch.float32)).detach().numpy()
    tokens, recorded = network.tokens(table)
    told = objective.table(torch.cat([tokens.flatten(1), recorded.float()], dim=1)).detach().numpy()
    rows = [0, 1, 3, 4]
    a, b = (points[rows] / np.linalg.norm(points[rows], axis=1, keepdims=True) for points in (scans, told))
    scores = a @ b.T / 0.2
    expected = -(np.diag(log_softmax(scores, 1)) + np.diag(log_softmax(scores, 0))).mean() / 2
    np.testing.assert_allclose(objective(encoded).detach(), expected, rtol=1e-4)
    objective.log_scale.data.fill_(20.0)
    assert objective(encoded) < 300, "the scale is 100 at most"


def test_attention_tells_a_small_thing_and_its_place():
    pool = objectives.table_contrast.AttentionPool(channels=2, heads=1)
    pool.score.weight.data = torch.tensor([[1.0, 0.0]])  # looks where the first channel is bright
    features = torch.zeros(1, 2, 7, 7, 4)
    features[0, :, 5, 0, 3] = torch.tensor([2.0, -1.5])
    torch.testing.assert_close(pool(features), torch.tensor([[2.0, -1.5, 2.0, -3.0, 3.0]]), atol=1e-3, rtol=0)


def test_reports_move_the_encoders_without_a_label_and_where_none_is_there_nothing():
    network, image = beside_a_table(VectorToken(7)), torch.randn(4, 2, 8, 8)
    loss = MulticlassLoss(TASKS)
    training = WithAuxiliaryLosses(network, OneHotTasks(TASKS), loss, objectives=[objectives.TableContrast(network)])
    unknown, reports = torch.full((4, 2), torch.nan), torch.randn(4, 7)
    for table, moved in ((reports, True), (torch.full_like(reports, torch.nan), False)):
        network.zero_grad()
        _, losses = training(image, table, unknown)
        losses["objective.TableContrast"].backward()
        gradients = [p.grad for p in network.network.body.encoders.parameters() if p.grad is not None]
        assert any(bool(gradient.abs().sum() > 0) for gradient in gradients) is moved


def test_a_network_without_a_table_is_refused():
    with pytest.raises(
        PolyscanError, match="learns scans and the table beside them from each other; FusionNet reads none"
    ):
        objectives.TableContrast(vectors())
