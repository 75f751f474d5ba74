"""A picture, a volume and a table as modalities of one network, each with an encoder of its own."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import cross_entropy

from polyscan.attribution.integrated_gradients import integrated_gradients
from polyscan.attribution.occlusion import occlusion
from polyscan.attribution.target import Target
from polyscan.fusion import Concatenation, MaskedTransformer
from polyscan.fusion.output import MeanProbability
from polyscan.inference import every_subset, shapley_values
from polyscan.networks import CachedFeatures, ClassificationHead, FusionNet, PooledEncoder, UNetEncoder, VectorEncoder
from polyscan.networks.pooled_encoder import pack

NAMES, SHAPES = ["photo", "MRI", "clinical"], ([12, 10], [8, 8, 8], [3])
small = partial(UNetEncoder, channels=(4, 8), norm="batch")
ENCODERS = {
    "photo": partial(PooledEncoder, encoder=small, shape=SHAPES[0], channels=8),
    "clinical": partial(PooledEncoder, encoder=partial(VectorEncoder, size=3), shape=SHAPES[2], channels=8),
    "MRI": partial(PooledEncoder, encoder=small, shape=SHAPES[1], channels=8),
}


def network(fuse_at, layer=Concatenation):
    torch.manual_seed(0)
    return FusionNet(NAMES, ENCODERS, fuse_at, layer, ClassificationHead)


def cohort(count, seed):
    """A class that a finding in the picture, one in the volume and one in the table give together."""
    generator = torch.Generator().manual_seed(seed)
    findings = torch.randn(count, 3, generator=generator)
    images = [torch.randn(count, *shape, generator=generator) for shape in SHAPES]
    images[0][:, 3:6, 3:6] += 2 * findings[:, 0, None, None]
    images[1][:, 2:5, 2:5, 2:5] += 2 * findings[:, 1, None, None, None]
    images[2][:, 1] = findings[:, 2] / 2
    return pack(images), (findings[:, 0] + findings[:, 1] + findings[:, 2] / 2 > 0).long()


@pytest.fixture(scope="module")
def trained():
    net = network([0])
    optimizer = torch.optim.AdamW(net.train().parameters(), lr=0.01)
    image, truth = cohort(256, 0)
    for step in range(80):
        rows = torch.arange(32) + 32 * (step % 8)
        read = image[rows].clone()
        read[torch.rand(32, 3) < 0.2] = torch.nan
        optimizer.zero_grad()
        cross_entropy(net(read), truth[rows]).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def test_all_of_different_shape_are_needed_and_any_can_be_absent(trained):
    image, truth = cohort(256, 1)
    cached, score = CachedFeatures.of(trained, image), {}
    for subset in (s for size in (1, 2, 3) for s in combinations(range(3), size)):
        available = torch.zeros(256, 3, dtype=torch.bool)
        available[:, list(subset)] = True
        score[subset] = roc_auc_score(truth, cached.logits(available).diff(dim=1))
    assert score[0, 1, 2] > 0.9
    assert score[0, 1, 2] > max(score[0, 1], score[0, 2], score[1, 2])
    assert score[0, 1] > max(score[0,], score[1,]) + 0.05
    assert min(score.values()) > 0.6


def test_features_are_kept_and_asked_again(trained):
    image, _ = cohort(1, 2)
    cached = CachedFeatures.of(trained, image)
    assert list(cached.features[0].shape) == [1, 3, 8, 1, 1, 1]
    answers = every_subset(trained, image)
    for names, logits in answers.items():
        alone = image.clone()
        alone[:, [name not in names for name in NAMES]] = torch.nan
        torch.testing.assert_close(logits, trained(alone))
    log_odds = {names: float(logits.diff(dim=1)) for names, logits in answers.items()}

    def value(subset):
        return torch.tensor(log_odds.get(tuple(NAMES[m] for m in sorted(subset)), 0.0))

    torch.testing.assert_close(shapley_values(value, 3)[0].sum(), value(range(3)))


@pytest.mark.parametrize("method", [integrated_gradients, occlusion])
def test_maps_lie_where_the_modality_lies(trained, method):
    image, _ = cohort(1, 3)
    image[0, 2] = torch.nan
    maps = method(trained, image, Target(1))
    assert maps.shape == image.shape
    assert (maps[image.isnan()] == 0).all()
    assert maps[0, 0, :, :, 0].abs().sum() > 0
    assert maps[0, 1, :8, :8].abs().sum() > 0


@pytest.mark.parametrize(("fuse_at", "layer"), [([0], MaskedTransformer), ("output", MeanProbability)])
def test_vectors_or_answers_meet_by_any_layer_and_are_scripted(fuse_at, layer):
    net, (image, _) = network(fuse_at, layer).eval(), cohort(2, 4)
    image[0, 1] = torch.nan
    out = net(image)
    torch.testing.assert_close(torch.jit.script(net)(image), out)
    spoiled = image.clone()
    spoiled[1, 0, :, :, 1:] = 7  # where the picture does not reach
    torch.testing.assert_close(net(spoiled), out, rtol=0, atol=0)
    one = image[:1].clone()
    with torch.no_grad():  # where encoders that differ in their weights alone would run as one call
        torch.testing.assert_close(net(one), out[:1])


def test_images_are_packed_side_by_side():
    picture, row = torch.randn(2, 3, 2), torch.randn(2, 4)
    packed = pack([picture, row])
    assert list(packed.shape) == [2, 2, 4, 2]
    assert torch.equal(packed[:, 0, :3], picture)
    assert torch.equal(packed[:, 1, :, 0], row)
    assert int(packed.isnan().sum()) == 2 * (2 + 4)


@pytest.mark.parametrize(
    ("encoders", "options", "sentence"),
    [
        ({"photo": small}, {}, "encoder names photo; expected photo, MRI, clinical"),
        (ENCODERS, {"shared": True}, "which share none"),
        (
            dict.fromkeys(NAMES, small) | {"MRI": UNetEncoder},
            {},
            r"channels \(4, 8\) of photo, \(16, 32, 64, 128\) of MRI",
        ),
        (ENCODERS, {"fuse_at": "input"}, "fusion at the input has one encoder"),
        (partial(PooledEncoder, encoder=small, shape=[4] * 4), {}, r"shape is \[4, 4, 4, 4\]; it has 1 to 3 sides"),
    ],
)
def test_encoders_that_cannot_meet_are_refused(encoders, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        FusionNet(NAMES, encoders, **{"fuse_at": [0], "fusion": Concatenation, "head": ClassificationHead, **options})
