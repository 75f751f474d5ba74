"""Answers that come late update the decision."""

from __future__ import annotations

from datetime import datetime

import pytest
import torch

from polyscan.ensemble import LateFusion
from polyscan.errors import PolyscanError
from polyscan.fusion import BayesianProduct, MeanProbability


def day(number):
    return datetime(2026, 3, number)


def test_late_answers_update_the_decision():
    rule = BayesianProduct(3, 2)
    fusion = LateFusion(["CT", "MR", "PET"], rule)
    ct, mr, pet = torch.tensor([[0.7, 0.0], [0.2, 0.1], [1.6, 0.0]])
    first = fusion.update(None, "CT", ct, day(1))
    torch.testing.assert_close(first.logits.softmax(0), ct.softmax(0))
    second = fusion.update(first, "PET", pet, day(3))
    third = fusion.update(second, "MR", mr, day(2))
    assert list(third.based_on) == ["CT", "MR", "PET"]
    assert third.at == day(3)
    assert third.replaced is second
    assert list(first.based_on) == ["CT"], "the earlier decision stays as it was"
    at_once = rule(torch.stack([ct, mr, pet])[None], torch.ones(1, 3, dtype=torch.bool))[0]
    torch.testing.assert_close(third.logits, at_once)
    assert third.to_json()["based_on"]["PET"] == "2026-03-03T00:00:00"
    again = fusion.update(third, "CT", -ct, day(5))
    assert list(again.based_on) == ["MR", "PET", "CT"]
    assert not torch.allclose(again.logits, third.logits)


def test_answers_that_cannot_be_taken_in_are_refused():
    fusion = LateFusion(["CT", "PET"], MeanProbability(2, 2))
    first = fusion.update(None, "CT", torch.zeros(2, 4), day(2))
    for member, logits, when, sentence in [
        ("MR", torch.zeros(2, 4), day(2), "not among the members: CT, PET"),
        ("PET", torch.zeros(2, 5), day(2), "as in"),
        ("PET", torch.zeros(3, 4), day(2), "expected 2 channels"),
        ("PET", torch.full((2, 4), torch.nan), day(2), "not finite"),
        ("CT", torch.zeros(2, 4), day(1), "is older"),
    ]:
        with pytest.raises(PolyscanError, match=sentence):
            fusion.update(first, member, logits, when)
    with pytest.raises(PolyscanError, match="joins 2 different ones"):
        LateFusion(["CT"], MeanProbability(2, 2))
