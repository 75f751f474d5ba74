"""Tables as tensors, survival as pairs, and a network of vectors that reads them."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
import torch

from polyscan.errors import PolyscanError
from polyscan.evaluation import ConcordanceIndex
from polyscan.fusion import AttentionWeighted, Concatenation, Sum
from polyscan.networks import CoxHead, FusionNet, SurvivalNet, VectorEncoder
from polyscan.study import TaskPrediction
from polyscan.transforms import ExplainRiskd, LoadTablesd, SaveRiskd, SurvivalFromLabeld
from polyscan.transforms.tables import width_of

TABLES = {"clinical": {"age": [50, 10], "sex": ["F", "M"]}, "genes": ["TP53", "EGFR"]}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "genes.json").write_text(json.dumps({"EGFR": 2.0, "other": 9.0}))
    return {"study": "sub-1", "image": {"genes": str(tmp_path / "genes.json")}, "clinical": {"age": 60, "sex": "M"}}


def test_numbers_words_and_what_was_not_recorded(study):
    nan = float("nan")
    image = LoadTablesd("image", TABLES)(study)["image"]
    assert width_of(TABLES) == 4
    torch.testing.assert_close(image, torch.tensor([[1, 1, 0, 1], [nan, 2, nan, nan]]), equal_nan=True)
    study["clinical"] = {"sex": "F"}
    image = LoadTablesd("image", TABLES)(study)["image"]
    torch.testing.assert_close(image[0], torch.tensor([nan, 0, 1, 0]), equal_nan=True)
    study["clinical"] = {}
    assert LoadTablesd("image", TABLES)(study)["image"][0].isnan().all()


def test_what_is_left_out_is_absent_and_nothing_at_all_is_refused(study):
    assert LoadTablesd("image", TABLES, absent=["clinical"])(study)["image"][0].isnan().all()
    assert LoadTablesd("image", TABLES, absent=["genes"])(study)["image"][1].isnan().all()
    with pytest.raises(PolyscanError, match="sub-1 has no value in a table; expected at least one of genes"):
        LoadTablesd("image", TABLES, absent=["clinical"])({**study, "image": {}})
    with pytest.raises(PolyscanError, match="Table scans cannot be left out"):
        LoadTablesd("image", TABLES, absent=["scans"])


def test_a_file_of_other_columns_is_refused_and_an_empty_one_is_absent(study, tmp_path):
    (tmp_path / "genes.json").write_text(json.dumps({"tp53": 2.0, "egfr": 9.0}))
    with pytest.raises(PolyscanError, match="sub-1: genes has none of the columns TP53, EGFR; name them so"):
        LoadTablesd("image", TABLES)(study)
    (tmp_path / "genes.json").write_text("{}")
    assert LoadTablesd("image", TABLES)(study)["image"][1].isnan().all()


def test_a_word_that_was_never_learnt_is_taken_as_not_recorded_where_that_is_noted(study):
    study |= {"clinical": {"age": 60, "sex": "X"}, "unread": []}
    image = LoadTablesd("image", TABLES)(study)["image"]
    torch.testing.assert_close(image[0], torch.tensor([1.0, 1, 0, 0]))
    assert study["unread"] == ["sex"]
    study["clinical"] = {"sex": "X"}
    assert LoadTablesd("image", TABLES)(study)["image"][0].isnan().all()


def test_tables_of_any_length_have_the_weight_of_one_number(study):
    scaled = LoadTablesd("image", TABLES, block_scaling=True)(study)["image"]
    plain = LoadTablesd("image", TABLES)(study)["image"]
    torch.testing.assert_close(scaled, plain / torch.tensor([[4.0], [2.0]]).sqrt(), equal_nan=True)


@pytest.mark.parametrize(
    ("clinical", "said"),
    [
        ({"age": "old"}, "age is no number"),
        ({"age": 12 * 60}, r"age lies more than 20 standard deviations \(10\) from .* 50; correct it, or its unit"),
        ({"sex": "X"}, "F, M"),
    ],
)
def test_values_that_are_not_known_are_refused(study, clinical, said):
    with pytest.raises(PolyscanError, match=f"sub-1: .*{said}"):
        LoadTablesd("image", TABLES)({**study, "clinical": clinical})


@pytest.mark.parametrize(("fuse_at", "fusion"), [("output", Sum), ([0], AttentionWeighted), ("input", Concatenation)])
def test_vectors_are_modalities_of_any_fusion(fuse_at, fusion):
    torch.manual_seed(0)
    encoder = partial(VectorEncoder, size=6, channels=(8, 4))
    net = FusionNet(["a", "b", "c"], encoder, fuse_at, fusion, CoxHead, spatial_dims=1).eval()
    x = torch.randn(5, 3, 6)
    whole = net(x)
    assert whole.shape == (5, 1)
    x[:, 1] = torch.nan
    without = net(x)
    assert without.isfinite().all()
    assert not torch.allclose(whole, without)
    with pytest.raises(ValueError, match="set spatial_dims=1"):
        VectorEncoder(1, 2, size=6)


def test_some_channels_stay_linear_so_that_the_linear_model_is_within_reach():
    torch.manual_seed(0)
    encoder = VectorEncoder(1, 1, size=6, channels=(8, 5), linear=3).eval()
    a, b = torch.randn(2, 1, 6), torch.randn(2, 1, 6)
    additive = [encoder(x)[-1] - encoder(torch.zeros_like(x))[-1] for x in (a, b, a + b)]
    same = torch.isclose(additive[0] + additive[1], additive[2], atol=1e-6).flatten(2).all(2).all(0)
    assert not same.all()
    first = [encoder(x)[0] - encoder(torch.zeros_like(x))[0] for x in (a, b, a + b)]
    torch.testing.assert_close(first[0][:, :3] + first[1][:, :3], first[2][:, :3])
    assert (encoder(a)[-1][:, 3:] >= 0).all()
    with pytest.raises(ValueError, match="expected 0 to 5"):
        VectorEncoder(1, 1, size=6, channels=(8, 5), linear=6)


def test_survival_is_a_pair_and_a_risk_is_written(tmp_path):
    data = {"study": "sub-1", "label": {"survival": {"time": 12.5, "event": 1}}}
    assert SurvivalFromLabeld("label")(data)["label"].tolist() == [12.5, 1]
    assert SurvivalFromLabeld("label")({**data, "label": {"grade": "2"}})["label"].isnan().all()
    for wrong in ({"time": -1, "event": 0}, {"time": 3, "event": 2}, {"time": "long", "event": 1}, {"time": 3}):
        with pytest.raises(PolyscanError, match=r"sub-1: survival is .* expected a time"):
            SurvivalFromLabeld("label")({**data, "label": {"survival": wrong}})
    told = {"survival": {"12": [0.9, 0.8, 0.95]}, "contributions": {"genes": 0.25}}
    risk = {"pred": torch.tensor([0.25, -2.25]), "explanation": told}
    out = SaveRiskd("pred", tmp_path)({**SurvivalFromLabeld("label")(data), **risk})
    written = json.loads((tmp_path / "sub-1_answer.json").read_text())
    assert written["answers"] == {"survival": {"risk": 0.25, "truth": {"time": 12.5, "event": 1}, **told}}
    assert out["prediction"].answers == {
        "survival": TaskPrediction(risk=0.25, truth={"time": 12.5, "event": 1}, **told)
    }


def test_chances_fall_with_time_and_contributions_sum_to_the_log_risk():
    torch.manual_seed(0)
    encoder = partial(VectorEncoder, size=6, channels=(8,))
    head = partial(CoxHead, dropout=0.5)
    network = SurvivalNet(FusionNet(["a", "b"], encoder, "output", Sum, head, spatial_dims=1), [12, 36])
    network.centre[3], network.baseline[:] = 0.5, torch.tensor([-2.0, -1.0])
    image = torch.randn(1, 2, 6)
    explain = ExplainRiskd("pred", network, [12, 36])
    whole = network.eval()(image)[0]
    told = explain({"image": image[0], "pred": whole})["explanation"]
    assert sum(told["contributions"].values()) == pytest.approx(float(whole[0]), abs=1e-3)
    for time, log_hazard in (("12", -2.0), ("36", -1.0)):
        chance, low, high = told["survival"][time]
        assert chance == pytest.approx(math.exp(-math.exp(float(whole[0]) + log_hazard)), abs=1e-3)
        assert low < chance < high
    unsampled = ExplainRiskd("pred", network, [12, 36], 0)({"image": image[0], "pred": whole})["explanation"]
    assert unsampled["survival"] == {time: [chance] for time, (chance, *_) in told["survival"].items()}
    assert "standard_deviation" not in unsampled
    image[0, 1] = torch.nan
    alone = explain({"image": image[0], "pred": network(image)[0]})["explanation"]
    assert alone["contributions"] == {"a": pytest.approx(float(network(image)[0, 0]), abs=1e-3)}


def test_concordance_gathers_over_batches_and_leaves_out_what_is_not_known():
    metric = ConcordanceIndex()
    metric(torch.tensor([[2.0], [1.0]]), torch.tensor([[1.0, 1.0], [2.0, 1.0]]))
    metric(torch.tensor([[9.0], [0.0]]), torch.tensor([[torch.nan, torch.nan], [3.0, 0.0]]))
    assert metric.aggregate() == 1.0
