"""Answers of several networks, mirror images and dropout for one image, and the doubt that they leave by voxel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.inference import sampled_maps, split_entropy


class Says(nn.Module):
    """Everywhere the same logit, on the left, of two halves, another; after dropout where there is any."""

    def __init__(self, logit, left=None, dropout=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([logit if left is None else left, logit]))
        self.dropout = nn.Dropout(dropout)

    def forward(self, image):
        return self.dropout(self.weight.expand(1, 1, 4, 2).clone()) + 0 * image


class Several(nn.Module):
    """What is asked of an ensemble."""

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def dropout_layers(self):
        return [member.dropout for member in self.members if member.dropout.p]


def doubt(*members, axes=()):
    network = Several(members).eval()

    def ask(sample):
        p = sample(torch.zeros(1, 1, 4, 2))[0].sigmoid()
        return torch.stack([p, 1 - p], dim=-1)

    answers = list(sampled_maps(network, axes, ask))
    return answers, [part[0] for part in split_entropy(answers)]


def told(p):
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


@pytest.mark.parametrize(
    ("members", "axes", "count", "aleatoric", "epistemic"),
    [
        ((Says(0.0), Says(0.0)), [], 2, 1.0, 0.0),  # all guess
        ((Says(20.0), Says(-20.0)), [], 2, 0.0, 1.0),  # sure, and of two minds
        ((Says(math.log(3)),), [0], 2, told(0.75), 0.0),  # a mirror image is no other
        ((Says(20.0, left=-20.0),), [1], 2, 0.0, 1.0),  # what it says of the left it says of the right of the other
        ((Says(20.0, left=-20.0), Says(0.0)), [0, 1], 8, 0.5, 0.5),
    ],
)
def test_doubt_is_what_each_leaves_open_and_how_far_they_differ(members, axes, count, aleatoric, epistemic):
    answers, found = doubt(*members, axes=axes)
    assert len(answers) == count
    for part, expected in zip(found, (aleatoric, epistemic), strict=True):
        torch.testing.assert_close(part, torch.full((4, 2), expected), atol=1e-5, rtol=0)


def test_dropout_is_sampled_where_there_is_any_and_the_same_each_time():
    (first, parts), (again, _) = (doubt(Says(2.0, dropout=0.5)) for _ in range(2))
    assert len(first) == 10
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert (parts[1] > 0.05).any()
    network = Says(2.0, dropout=0.5)
    doubt(network)
    assert not network.dropout.training
    assert len(doubt(Says(2.0, dropout=0.5), *(Says(1.0) for _ in range(11)))[0]) == 12


def test_one_answer_tells_no_doubt_apart():
    with pytest.raises(PolyscanError, match="there is one answer, which tells no doubt apart; give --ensemble"):
        doubt(Says(1.0))
