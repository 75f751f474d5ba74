"""Classification of studies: targets, tables, scores, explanations."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.evaluation import TaskAUROC
from polyscan.files.schema import encoded
from polyscan.fusion import Concatenation
from polyscan.inference import (
    FeatureDistance,
    TaskCalibration,
    entropy,
    load_calibration,
    monte_carlo,
    shapley_values,
)
from polyscan.inference.calibration import AvailabilityTemperature
from polyscan.inference.conformal import ConformalSets
from polyscan.networks import CachedFeatures, ClassificationHead, FusionModel, FusionNet, UNetEncoder, VectorEncoder
from polyscan.networks.fusion_model import split_missing
from polyscan.transforms import (
    DaysOfStudyd,
    ExplainPredictiond,
    SaveClassesd,
    TableFromClinicald,
    TargetsFromLabeld,
    TaskProbabilitiesd,
)

NAN = float("nan")
TASKS = {"grade": ["2", "3", "4"], "IDH": ["wildtype", "mutated"]}


def test_targets_are_indices_and_nan_where_not_known():
    turn = TargetsFromLabeld("label", TASKS)
    np.testing.assert_array_equal(turn({"study": "s", "label": {"grade": 4, "IDH": "wildtype"}})["label"], [2, 0])
    np.testing.assert_array_equal(turn({"study": "s", "label": {"mask": "m", "IDH": "mutated"}})["label"], [NAN, 1])
    with pytest.raises(PolyscanError, match="sub-1: grade is none of the classes that this bundle knows: 2, 3, 4"):
        turn({"study": "sub-1", "label": {"grade": 1}})


def test_a_table_is_standardised_and_says_what_was_not_recorded():
    turn = TableFromClinicald("clinical", {"age": [50, 10]}, {"sex": ["F", "M"]})
    rows = [turn({"study": "s", "clinical": c})["clinical"].tolist() for c in ({"age": 65, "sex": "M"}, {})]
    assert rows[0] == [1.5, 1.0]
    np.testing.assert_array_equal(rows[1], [NAN, NAN])
    for age, said in (
        ("old", "is no number"),
        (12 * 65, "lies more than 20 standard deviations"),
        (float("inf"), "lies"),
    ):
        with pytest.raises(PolyscanError, match=f"sub-1: age {said}"):
            turn({"study": "sub-1", "clinical": {"age": age}})


def test_a_category_that_was_never_learnt_is_refused_unless_it_is_noted():
    turn = TableFromClinicald("clinical", {}, {"sex": ["F", "M"]})
    with pytest.raises(PolyscanError, match="sub-1: sex is none of what this bundle knows: F, M; correct it"):
        turn({"study": "sub-1", "clinical": {"sex": "O"}})
    noted = turn({"study": "sub-1", "clinical": {"sex": "O"}, "unread": []})
    assert (noted["clinical"].isnan().tolist(), noted["unread"]) == ([True], ["sex"])


def test_days_that_are_not_known_are_nan():
    turn = DaysOfStudyd("days", 2)
    days = [turn({"days": days})["days"].tolist() for days in ([0, 84], [], [0])]
    np.testing.assert_array_equal(days, [[0, 84], [NAN, NAN], [0, NAN]])


def test_probabilities_sum_to_one_in_each_task():
    found = TaskProbabilitiesd("pred", TASKS)({"pred": torch.tensor([1.0, 2, 3, 0, 0])})["pred"]
    torch.testing.assert_close(found, torch.tensor([0.0900, 0.2447, 0.6652, 0.5, 0.5]), atol=1e-4, rtol=0)


def test_area_is_that_of_scikit_learn_over_known_targets():
    torch.manual_seed(0)
    pred = torch.cat([torch.rand(40, 3).softmax(1), torch.rand(40, 2).softmax(1)], dim=1)
    target = torch.stack([torch.randint(0, 3, (40,)), torch.randint(0, 2, (40,))], dim=1).float()
    target[:7, 0], target[30:, 1] = NAN, NAN
    metric = TaskAUROC(TASKS)
    for p, t in zip(pred.split(8), target.split(8), strict=True):
        metric(p, t)
    areas = [roc_auc_score(target[7:, 0] == k, pred[7:, k]) for k in range(3)]
    idh = roc_auc_score(target[:30, 1], pred[:30, 4])
    assert metric.aggregate() == pytest.approx((np.mean(areas) + idh) / 2, abs=1e-6)
    metric.reset()
    metric(pred[:2], torch.full((2, 2), NAN))
    assert np.isnan(metric.aggregate())
    metric.reset()
    metric(torch.full_like(pred, NAN), target)  # a network whose training ran away is worth nothing
    assert np.isnan(metric.aggregate())


def test_shapley_values_of_a_known_game():
    """Players 0 and 1 are worth 1 only together, player 2 is worth 3 always, player 3 nothing."""
    values, errors = shapley_values(lambda s: torch.tensor([float({0, 1} <= s) + 3 * (2 in s), 0.0]), 4)
    assert not errors.any()
    torch.testing.assert_close(values[:, 0], torch.tensor([0.5, 0.5, 3.0, 0.0]))
    assert values.shape == (4, 2)


class ByHand(FusionModel):
    """Logits of grade by the first modality and the table, of IDH by the second."""

    def __init__(self):
        super().__init__(["T1", "T2"], [], [3])
        self.dropout = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, image, table):
        features, available = self.encode(image)
        return self.head(self.fuse(features, available, table), available, self.image_size(image))

    def encode(self, image):
        filled, available = split_missing(image)
        return [filled.flatten(2).mean(2, keepdim=True)], available

    def fuse(self, features, available, table):
        a, b = (features[0][:, :, 0] * available).unbind(1)
        return [torch.stack([a, b, torch.nan_to_num(table)[:, 0]], dim=1)]

    def pre_logits(self, fused):
        return fused[0]

    def logits(self, pre_logits, available):
        a, b, table = pre_logits.unbind(1)
        first = self.dropout(torch.stack([a * 0, a, table], dim=1))
        return torch.cat([first, torch.stack([b * 0, b], dim=1)], dim=1) * self.weight

    def dropout_layers(self):
        return [self.dropout]


def test_an_explanation_names_what_drove_the_answer(tmp_path):
    net, image = ByHand().eval(), torch.ones(2, 4, 4) * torch.tensor([3.0, 2.0])[:, None, None]
    data = {"study": "sub-1", "image": image, "clinical": torch.tensor([1.0]), "label": torch.tensor([NAN, 1.0])}
    data["pred"] = net(image[None], data["clinical"][None])[0].detach()
    logits = data["pred"]
    uncorrected = load_calibration("", TASKS, net.modalities)
    data = ExplainPredictiond("pred", net, uncorrected, ["clinical"], monte_carlo_samples=50)(data)
    torch.testing.assert_close(data["pred"], TaskProbabilitiesd("pred", TASKS)({"pred": logits})["pred"])
    grade, idh = (data["explanation"][task] for task in TASKS)
    assert list(grade["contributions"]) == ["T1", "T2", "clinical"]
    assert grade["contributions"]["T2"] == 0
    assert grade["contributions"]["T1"] > 0.3
    assert sum(grade["contributions"].values()) == pytest.approx(float(data["pred"][1]) - 1 / 3, abs=1e-3)
    assert idh["contributions"] == {"T1": 0, "T2": pytest.approx(float(data["pred"][4]) - 0.5, abs=1e-3), "clinical": 0}
    assert grade["standard_deviation"] > 0.05
    assert idh["standard_deviation"] == 0
    assert 0 < grade["uncertainty"] < 1
    assert grade["aleatoric"] + grade["epistemic"] == pytest.approx(grade["uncertainty"], abs=2e-4)
    assert grade["epistemic"] > 0
    assert idh["epistemic"] == pytest.approx(0, abs=1e-4)
    assert list(grade["interactions"]) == ["T1 + T2", "T1 + clinical", "T2 + clinical"]
    assert grade["interactions"]["T1 + T2"] == 0
    assert grade["interactions"]["T1 + clinical"] != 0
    assert 0 < grade["conflict"] < 1  # the first modality says 3, the table 4
    saved = SaveClassesd("pred", TASKS, tmp_path)(data)["prediction"]
    content = json.loads((tmp_path / "sub-1_answer.json").read_text())
    assert {task: encoded(answer) for task, answer in saved.answers.items()} == content["answers"]
    assert content["answers"]["grade"]["predicted_class"] == "3"
    assert "truth" not in content["answers"]["grade"]
    assert content["answers"]["IDH"]["truth"] == "mutated"
    data["image"] = data["image"].clone()
    data["image"][1] = NAN
    data = ExplainPredictiond("pred", net, uncorrected, ["clinical"])({**data, "clinical": torch.tensor([NAN])})
    assert list(data["explanation"]["grade"]["contributions"]) == ["T1"]
    assert "conflict" not in data["explanation"]["grade"]
    untaught = {"IDH": ["FLAIR", "T1"]}
    saved = SaveClassesd("pred", TASKS, tmp_path, untaught)(data)["prediction"]
    assert (list(saved.answers), saved.unanswered) == (["grade"], ["IDH"])
    assert json.loads((tmp_path / "sub-1_answer.json").read_text())["unanswered"] == ["IDH"]
    with pytest.raises(PolyscanError, match="sub-1 has only T1, from which none of grade, IDH was learnt; give"):
        SaveClassesd("pred", TASKS, tmp_path, untaught | {"grade": ["T1"]})(data)


def test_contributions_of_more_than_are_asked_for_in_every_subset_sum_to_the_answer_too(monkeypatch):
    monkeypatch.setattr("polyscan.inference.shapley.EXACT_PLAYERS", 2)
    net, image = ByHand().eval(), torch.ones(2, 4, 4) * torch.tensor([3.0, 2.0])[:, None, None]
    data = {"image": image, "clinical": torch.tensor([1.0]), "pred": net(image[None], torch.ones(1, 1))[0].detach()}
    data = ExplainPredictiond("pred", net, load_calibration("", TASKS, net.modalities), ["clinical"])(data)
    grade = data["explanation"]["grade"]
    assert sum(grade["contributions"].values()) == pytest.approx(float(data["pred"][1]) - 1 / 3, abs=1e-3)
    assert grade["contributions"]["T2"] == 0
    assert grade["interactions"] == {}
    assert grade["conflict"] > 0


def test_a_calibrated_explanation_is_softer_and_names_what_is_not_ruled_out(tmp_path):
    """Temperature 2, and e more without T2; the contributions sum to the calibrated probability less a guess."""
    net, image = ByHand().eval(), torch.ones(2, 4, 4) * torch.tensor([3.0, 2.0])[:, None, None]
    temperature = AvailabilityTemperature(("T1", "T2"), float(np.log(2)), (0.0, 1.0))
    sets = ConformalSets(0.9, {"11": 0.2, "10": 0.3})
    TaskCalibration(TASKS, net.modalities, {"grade": temperature}, {"grade": sets}, "w").save(tmp_path / "c.json")
    calibration = load_calibration(tmp_path / "c.json", TASKS, net.modalities, "w")
    for absent, divisor, threshold in ((False, 2.0, 0.2), (True, 2 * np.e, 0.3)):
        given = image.clone()
        given[1] = NAN if absent else 2.0
        logits = net(given[None], torch.tensor([[1.0]]))[0].detach()
        data = {"study": "sub-1", "image": given, "clinical": torch.tensor([1.0]), "pred": logits}
        data = ExplainPredictiond("pred", net, calibration, ["clinical"])(data)
        expected = (logits[:3] / divisor).softmax(0)
        torch.testing.assert_close(data["pred"][:3], expected)
        torch.testing.assert_close(data["pred"][3:], logits[3:].softmax(0))
        grade = data["explanation"]["grade"]
        assert sum(grade["contributions"].values()) == pytest.approx(float(expected.max()) - 1 / 3, abs=1e-3)
        held = [name for name, p in zip(TASKS["grade"], expected.tolist(), strict=True) if p >= threshold]
        assert grade["prediction_set"] == held
        assert "prediction_set" not in data["explanation"]["IDH"]
    names = ["T1", "T2"]
    for tasks, modalities, weights in (({"x": ["a"]}, names, "w"), (TASKS, names[::-1], "w"), (TASKS, names, "v")):
        with pytest.raises(PolyscanError, match="was made for other"):
            load_calibration(tmp_path / "c.json", tasks, modalities, weights)


@pytest.mark.parametrize(("dropout", "samples"), [(0.0, 20), (0.2, 0)])
def test_without_samples_of_dropout_the_prediction_tells_its_own_entropy(dropout, samples):
    torch.manual_seed(0)
    head = partial(ClassificationHead, out_channels=2, dropout=dropout)
    encoder = partial(VectorEncoder, size=4, channels=(6,))
    net = FusionNet(["CT", "PET"], encoder, [0], Concatenation, head, spatial_dims=1).eval()
    calibration = TaskCalibration({"found": ["no", "yes"]}, net.modalities, {}, {})
    image = torch.randn(2, 4)
    explain = ExplainPredictiond("pred", net, calibration, monte_carlo_samples=samples)
    with torch.inference_mode():
        data = explain({"image": image, "pred": net(image[None])[0]})
    told = data["explanation"]["found"]
    assert told["uncertainty"] == pytest.approx(float(entropy(data["pred"][None])), abs=1e-4)
    assert not {"aleatoric", "epistemic", "standard_deviation"} & set(told)
    with pytest.raises(ValueError, match=r"no dropout to sample|expected 2 or more"):
        monte_carlo(net, image[None], samples)


def test_a_noisy_scan_is_unlike_smooth_ones():
    """Both have a mean of 0 and a deviation of 1, and instances are normalised: only how fine it is tells."""
    torch.manual_seed(0)
    head = partial(ClassificationHead, out_channels=2)
    net = FusionNet(["CT", "MR"], partial(UNetEncoder, channels=(4, 8)), [1], Concatenation, head, spatial_dims=2)

    def described(count, noise):
        smooth = nn.functional.avg_pool2d(torch.randn(count, 2, 28, 28), 5, stride=1)
        image = smooth / smooth.std() + noise * torch.randn(count, 2, 24, 24)
        with torch.inference_mode():
            return CachedFeatures.of(net.eval(), image / image.std((2, 3), keepdim=True)).described()[:, 0].numpy()

    distance = FeatureDistance.fit(described(40, 0.0), [str(k) for k in range(40)])
    assert all(distance.p_value(x) <= 0.05 for x in described(10, 1.0))
    assert np.mean([distance.p_value(x) <= 0.1 for x in described(40, 0.0)]) < 0.3
