"""A comparison from protocol to page, on tasks whose optimum is known."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from polyscan.cli import main
from polyscan.compare import compare, load_cohort, read_protocol
from polyscan.compare.information import shared_information
from polyscan.compare.network import TrainedNetwork, drop_modalities, network_of
from polyscan.compare.page import _pareto, write_page
from polyscan.compare.protocol import CONCATENATION, LOGISTIC, ONE_VALUE, OUTPUT_MEAN, SIMPLE, Protocol, Strategy
from polyscan.compare.run import ALL, MOVED, Cell, Logistic, conditions
from polyscan.compare.table import N_RESAMPLES, summarise
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder
from polyscan.files.tables import rows_in
from polyscan.learning import WithAuxiliaryLosses
from polyscan.networks import FusionNet
from polyscan.phantom.tasks import find_task, write_task
from polyscan.study.manifest import read_manifest


def quick(task, **changes):
    cohort = {"task": task, "subjects": 240, "seed": 0}
    given = {"folds": 2, "seeds": 1, "epochs": 2, "parameters": 800, **changes}
    return Protocol(cohort, {"gated sum": Strategy("GatedSum")}, **given)


def rows_by_fold(cohort, count, seed=0):
    """The rows of each fold."""
    folds = cohort.folds(count, seed)
    return [np.flatnonzero(folds == fold) for fold in range(count)]


COST = {"parameters": 1, "flops": 1, "memory": 1, "seconds": 1.0}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    return out, compare(quick("diagnosis"), out, jobs=1)


def test_baselines_are_always_there(compared):
    _, rows = compared
    alone = {f"{name} alone" for name in ("T1", "T1c", "T2", "FLAIR")}
    assert {row.strategy for row in rows} == {CONCATENATION, OUTPUT_MEAN, *SIMPLE, "gated sum", *alone}
    assert [row.auroc.value for row in rows] == sorted((row.auroc.value for row in rows), reverse=True)


def test_networks_have_as_many_parameters_as_each_other():
    protocol = quick("diagnosis", parameters=5000)
    for strategy in (Strategy(), Strategy("SelfAttention"), Strategy("LowRankBilinear"), Strategy(modality="T1")):
        shape = torch.Size([1 if strategy.modality else 4, 8])
        count = sum(p.numel() for p in network_of(strategy, protocol, shape, 2).parameters())
        assert count == pytest.approx(5000, rel=0.05), strategy


def test_a_vector_of_places_is_read_by_weights_that_places_share():
    protocol = quick("coincidence", parameters=2000)
    torch.manual_seed(0)
    for encoder, shares in (("convolutional", True), ("dense", False)):
        network = network_of(Strategy(encoder=encoder, fuse_at=(0,)), protocol, torch.Size([2, 40]), 2).eval()
        x = torch.zeros(2, 2, 40)
        x[0, :, 18] = x[1, :, 20] = 4.5  # two places further on, a whole step of the coarse level
        one, other = network(x)
        assert torch.allclose(one, other, atol=1e-6) == shares


@pytest.mark.parametrize(
    ("protocol", "strategy", "shape"),
    [
        ("glioma_protocol", "DRIFA", [6, 8]),  # wants more parameters than there are
        ("diagnosis_images", "concatenation at every level", [4, 24, 24]),
        ("misalignment_images", "concatenation", [2, 24, 24]),
    ],
)
def test_no_head_is_a_bottleneck_where_parameters_are_few(protocol, strategy, shape):
    given = read_protocol(protocol)
    network = network_of(given.all_strategies([])[strategy], given, torch.Size(shape), 2)
    assert network.body.head.hidden[0].out_features >= 8


def test_the_page_and_the_table_say_the_same(compared):
    out, rows = compared
    page = (out / "compare.html").read_text()
    assert quick("diagnosis").digest in page
    assert not re.search(r"""(?:src|href)=["']?http""", page)
    with (out / "compare.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [line["strategy"] for line in table] == [row.strategy for row in rows]
    for line, row in zip(table, rows, strict=True):
        assert float(line["auroc"]) == pytest.approx(row.auroc.value, rel=1e-4)
        assert str(row.auroc) in page
    assert page.count("what others are held against") == 1  # and no difference of concatenation from itself
    assert [str(row.difference) in page for row in rows] == [row.strategy != CONCATENATION for row in rows]
    assert ">0.000<" not in page.partition("<h2>")[0]
    assert ("&lt;0.001" in page) == any(min(row.p, row.false_claim) < 0.0005 for row in rows)


def test_the_plot_of_one_gone_leaves_out_what_is_far_below(compared):
    """What reads one modality or one value would squeeze all others into a corner."""
    _, rows = compared
    drawn = _pareto(rows)
    numbers = {number for number in range(1, len(rows) + 1) if f"<!-- {number} -->" in drawn}
    left_out = {ONE_VALUE, *(f"{name} alone" for name in ("T1", "T1c", "T2", "FLAIR"))}
    assert {rows[number - 1].strategy for number in numbers} == {row.strategy for row in rows} - left_out


def test_the_page_tells_what_each_modality_adds(compared):
    out, _ = compared
    page = (out / "compare.html").read_text()
    told = rows_in(out / "information.csv")
    assert [row["modality"] for row in told] == ["T1", "T1c", "T2", "FLAIR"]
    for row in told:
        alone, others, together = (float(row[name]) for name in ("alone", "others", "together"))
        assert together >= max(alone, others)
        assert float(row["redundant_high"]) == min(alone, others)
        assert f"{float(row['redundant_low']):.3f} to {float(row['redundant_high']):.3f}" in page
    assert "Bounds from models, not the truth" in page


@pytest.mark.parametrize(
    ("reader", "a", "b", "both", "where"),
    [
        (CONCATENATION, 0, 0, 1, "synergistic"),
        (CONCATENATION, 1, 1, 1, "redundant"),
        (CONCATENATION, 1, 0, 1, "unique"),
        (LOGISTIC, 0, 1, 1, "unique_of_others"),
        ("CT alone", 0, 0, 1, "unique"),
        ("gated sum", 1, 1, 1, None),  # the strategies of a protocol describe no cohort
    ],
)
def test_information_of_a_modality_is_where_models_have_it(reader, a, b, both, where):
    """One model is certain of the class (1) by what it reads or ignorant (0), all others are ignorant."""
    protocol = quick("interaction")
    cohort = load_cohort(protocol)
    certain = {ALL: both, "without CT": b, "CT alone": a, "without PET": a, "PET alone": b}
    records = {}
    for fold, test in enumerate(rows_by_fold(cohort, 2)):
        for name in (*protocol.all_strategies(cohort.modalities), *SIMPLE):
            right = np.eye(2)[cohort.y[test]] - 0.5
            told = {condition: 0.5 + right * how * (name == reader) for condition, how in certain.items()}
            records[Cell(name, 0, fold)] = {"test": test, "probabilities": told, "cost": COST}
    first, second = shared_information(protocol, cohort, records)
    assert (first.modality, second.modality) == ("CT", "PET")
    for name in ("redundant", "unique", "unique_of_others", "synergistic"):
        assert list(getattr(first, name)) == pytest.approx([float(name == where)] * 2, abs=0.01)
    assert (second.redundant, second.synergistic) == (first.redundant, first.synergistic)
    assert (second.unique, second.unique_of_others) == (first.unique_of_others, first.unique)


def test_the_page_names_whatever_is_better_be_it_a_baseline(compared, tmp_path):
    _, rows = compared
    protocol = quick("diagnosis")
    for best, said in (
        (OUTPUT_MEAN, f"Better than concatenation: {OUTPUT_MEAN} "),
        (None, "Nothing was shown to be better"),
    ):
        told = [replace(row, verdict="better" if row.strategy == best else "") for row in rows]
        write_page(tmp_path / "page.html", protocol, load_cohort(protocol), told, [])
        assert said in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(("studies", "verdict"), [(60, "better"), (24, "")])
def test_nothing_is_claimed_of_folds_with_a_handful_of_patients(studies, verdict, tmp_path):
    """One strategy knows the class but for a little noise, and concatenation guesses."""
    protocol = quick("diagnosis", folds=5)
    cohort = load_cohort(protocol)
    rows = np.sort(np.concatenate([np.flatnonzero(cohort.y == k)[: studies // 2] for k in (0, 1)]))
    cohort = replace(cohort, x=cohort.x[rows], y=cohort.y[rows], patients=cohort.patients[rows], drawn=None)
    chance, records = np.random.default_rng(0), {}
    for fold, test in enumerate(rows_by_fold(cohort, 5)):
        for name, knows in ((CONCATENATION, 0.0), ("oracle", 0.8)):
            second = knows * cohort.y[test] + (1 - knows) * chance.random(len(test))
            told = dict.fromkeys(conditions(cohort, test, [0]), np.stack([1 - second, second], 1))
            records[Cell(name, 0, fold)] = {"test": test, "probabilities": told, "cost": COST}
    found = summarise(protocol, cohort, records)
    assert {row.strategy: row.verdict for row in found} == {"oracle": verdict, CONCATENATION: ""}
    write_page(tmp_path / "page.html", protocol, cohort, found, [])
    assert ("Nothing can be called better or worse" in (tmp_path / "page.html").read_text()) == (not verdict)


def test_a_run_that_was_cut_short_goes_on_to_the_same_end(compared, tmp_path):
    out, rows = compared
    for number, cell in enumerate(sorted((out / "cells").iterdir())):
        if number % 3 == 0:
            cell.unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    again = compare(quick("diagnosis"), out, jobs=1)
    assert [replace(row, seconds=0) for row in again] == [replace(row, seconds=0) for row in rows]
    assert all((out / "cells" / name).stat().st_mtime_ns == time for name, time in kept.items())


def test_a_table_that_no_study_has_is_no_modality(tmp_path):
    write_task(tmp_path / "task", find_task("interaction"), subjects=40, seed=0)
    columns = list(read_json(next((tmp_path / "task").rglob("*CT*.json"))))[:3]
    tables = {name: {column: [0, 1] for column in columns} for name in ("CT", "SPECT", "PET")}
    target = next(iter(read_manifest(tmp_path / "task" / "manifest.json").studies[0].label.tasks))
    told = {"manifest": "task/manifest.json", "config": "tables.json", "target": target}
    protocol = Protocol(told, {}, root=str(tmp_path))
    (tmp_path / "tables.json").write_text(json.dumps({"shared": {"tables": tables}}))
    cohort = load_cohort(protocol)
    assert cohort.modalities == ["CT", "PET"]
    assert cohort.x.isfinite().all()
    (tmp_path / "tables.json").write_text(json.dumps({"shared": {"tables": {"SPECT": tables["SPECT"]}}}))
    with pytest.raises(PolyscanError, match="expected at least one of SPECT"):
        load_cohort(protocol)


def test_the_best_single_value_is_that_of_the_training_studies():
    cohort = load_cohort(quick("diagnosis"))
    x = torch.randn(cohort.x.shape, generator=torch.Generator().manual_seed(0))
    x[:, 2, 1] += 2 * torch.from_numpy(cohort.y)
    train, test = np.arange(160), np.arange(160, 240)
    p = Logistic(replace(cohort, x=x), train, one_value=True).probabilities(x[160:])[:, 1]
    assert np.array_equal(p.argsort(), x[test, 2, 1].numpy().argsort())


def test_another_protocol_is_refused_over_old_results(compared):
    out, _ = compared
    with pytest.raises(PolyscanError, match="by another protocol"):
        compare(quick("diagnosis", epochs=3), out)


def test_other_data_are_refused_over_old_results(compared, tmp_path):
    out, _ = compared
    told = json.loads((out / "protocol.json").read_text())
    (tmp_path / "protocol.json").write_text(json.dumps(told | {"data": "of last week"}))
    (tmp_path / ".polyscan.json").write_bytes((out / ".polyscan.json").read_bytes())
    with pytest.raises(PolyscanError, match="holds a comparison on other data"):
        compare(quick("diagnosis"), tmp_path)


def test_conditions_change_what_they_name():
    cohort = load_cohort(quick("diagnosis"))
    rows = np.arange(20)
    found = conditions(cohort, rows, [0])
    assert torch.equal(found[ALL], cohort.x[:20])
    assert found["without T1"].isnan().all((0, 2)).tolist() == [True, False, False, False]
    assert found["T1 alone"].isnan().all((0, 2)).tolist() == [False, True, True, True]
    changed = (found["T1 spoiled"] != cohort.x[:20]).all((0, 2)).tolist()
    assert changed == [True, False, False, False]


def test_images_are_compared_as_vectors_are(tmp_path):
    protocol = quick("misalignment_images", epochs=1, parameters=4000)
    cohort = load_cohort(protocol)
    assert cohort.x.shape == (240, 2, 24, 24)
    rows = compare(protocol, tmp_path / "out", jobs=1)
    table = rows_in(tmp_path / "out" / "compare.csv")
    page = (tmp_path / "out" / "compare.html").read_text()
    told = read_json(tmp_path / "out" / "cells" / Cell("gated sum", 0, 0).file)
    test = rows_by_fold(cohort, 2)[0]
    assert told["test"] == test.tolist()
    p = {name: np.array(each) for name, each in told["probabilities"].items()}
    assert all(each.shape == (len(test), 2) and np.isfinite(each).all() for each in p.values())
    assert len({p[name].tobytes() for name in (ALL, "without PET", "PET moved 5 mm", "another scanner")}) == 4
    for row, line in zip(rows, table, strict=True):
        assert float(line["moved_10mm"]) == pytest.approx(row.moved_10mm, rel=1e-4)
        assert f"{row.moved_2mm:.3f}, {row.moved_5mm:.3f}, {row.moved_10mm:.3f}" in page
    assert 0.8 < cohort.optimum(test) < 1


def test_an_image_is_moved_by_as_much_as_is_said_and_nothing_else_is():
    cohort = load_cohort(quick("misalignment_images"))
    x = cohort.x[:30]
    found = conditions(cohort, np.arange(30), [0])
    steps = [(k, m) for k in range(-11, 12) for m in range(-11, 12)]
    for distance in MOVED:
        moved = found[f"PET moved {distance} mm"]
        assert torch.equal(moved[:, 0], x[:, 0])
        directions = set()
        for before, after in zip(x[:, 1], moved[:, 1], strict=True):
            known = after.isfinite()
            here = [s for s in steps if torch.equal(before.roll(s, (0, 1))[known], after[known])]
            assert len(here) == 1
            assert float(np.hypot(*here[0])) == pytest.approx(distance, abs=0.71)
            assert int(known.sum()) == (24 - abs(here[0][0])) * (24 - abs(here[0][1]))
            directions |= set(here)
        assert len(directions) > 5
    other = found["another scanner"]
    assert other.isfinite().all()
    assert ((other != x).flatten(2).float().mean(2) > 0.9).all()
    vectors = conditions(load_cohort(quick("diagnosis")), np.arange(2), [0])
    assert not any("moved" in name or "scanner" in name for name in vectors)


def test_what_an_answer_costs_is_that_of_its_products():
    """A linear map of n values to m makes 2 n m operations; of a vector nothing else is counted."""
    protocol = quick("diagnosis", epochs=1)
    cohort = load_cohort(protocol)
    y = torch.from_numpy(cohort.y)
    cost = {}
    for size in (32, 64):
        trained = TrainedNetwork(Strategy(), replace(protocol, batch_size=size), cohort.x, y, 2, seed=0)
        linear = [each.weight.numel() for each in trained.network.modules() if isinstance(each, torch.nn.Linear)]
        assert trained.cost["flops"] == 2 * sum(linear)
        cost[size] = trained.cost
    weights = 16 * cost[32]["parameters"]
    assert cost[32]["memory"] > weights
    assert cost[64]["memory"] - weights == pytest.approx(2 * (cost[32]["memory"] - weights), rel=0.05)
    simple = Logistic(cohort, np.arange(100), one_value=True)
    assert simple.cost["flops"] == 2


def test_records_of_an_earlier_polyscan_are_refused(compared, tmp_path):
    shutil.copytree(compared[0], tmp_path / "out")
    cell = next((tmp_path / "out" / "cells").iterdir())
    cell.write_text(json.dumps({name: of for name, of in json.loads(cell.read_text()).items() if name != "cost"}))
    with pytest.raises(PolyscanError, match="was begun by an earlier polyscan"):
        compare(quick("diagnosis"), tmp_path / "out")


def test_the_law_of_a_task_may_be_another():
    protocol = quick("misalignment_images")
    easier = replace(protocol, cohort={**protocol.cohort, "options": {"amplitude": 2.0, "contrast": 1.0}})
    assert easier.digest != protocol.digest
    every = np.arange(240)
    assert load_cohort(easier).optimum(every) > load_cohort(protocol).optimum(every) + 0.02
    for task, said in (
        ("misalignment_images", "it has amplitude, contrast, shift"),
        ("diagnosis", "it has no options"),
    ):
        with pytest.raises(PolyscanError, match=said):
            load_cohort(replace(protocol, cohort={"task": task, "options": {"angle": 2}}))


@pytest.mark.parametrize("shape", [(2,), (3, 4)])
def test_dropping_modalities_keeps_one(shape):
    x = torch.zeros(400, 3, *shape)
    x[:100, 0] = torch.nan
    x[:50, 1] = torch.nan
    dropped = drop_modalities(x, 0.9, np.random.default_rng(0)).isfinite().flatten(2).any(2)
    assert bool((dropped.sum(1) >= 1).all())
    assert not bool(dropped[:100, 0].any())
    assert 0.05 < float(dropped[100:, 0].float().mean()) < 0.5


@pytest.mark.parametrize(
    ("way", "learnt", "left_out"),
    [
        ("dropout", 0, [False, False, True, True]),
        ("dropout", 100, [False, True, True, True]),
        ("MeanImputation", 0, [False, False, True, True]),
        ("zero", 100, [False] * 4),
    ],
)
def test_modalities_are_left_out_once_something_is_learnt_or_half_of_a_training_is_over(
    way, learnt, left_out, monkeypatch
):
    trained, judged = [], []
    plain_step, plain_network = WithAuxiliaryLosses.forward, FusionNet.forward

    def step(self, image, *inputs):
        trained.append(bool(image.isnan().any()))
        return plain_step(self, image, *inputs)

    def network(self, image):
        judged.append((len(image), bool(image.isnan().any())))
        return plain_network(self, image)

    monkeypatch.setattr(WithAuxiliaryLosses, "forward", step)
    monkeypatch.setattr(FusionNet, "forward", network)
    monkeypatch.setattr("polyscan.compare.network.LEARNT", learnt)
    protocol = quick("diagnosis", epochs=4, batch_size=100, parameters=400)
    cohort = load_cohort(protocol)
    TrainedNetwork(Strategy(missing=way), protocol, cohort.x[:160], torch.from_numpy(cohort.y[:160]), 2, seed=0)
    assert trained == left_out
    assert judged[:4] == [(48, True) if any(left_out) else (24, False)] * 4  # 15 % of 160, whole and not


def test_folds_keep_patients_whole_and_are_drawn_anew():
    cohort = load_cohort(quick("diagnosis"))
    cohort = replace(cohort, patients=np.arange(len(cohort.y)) // 3)
    tests = [rows_by_fold(cohort, 4, seed) for seed in (0, 1)]
    for rows in tests[0]:
        inside = set(cohort.patients[rows])
        assert not inside & set(np.delete(cohort.patients, rows))
    assert not np.array_equal(tests[0][0], tests[1][0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"folds": 1}, "folds is 1"),
        ({"epochs": 0}, "epochs is 0; expected 1 at least"),
        ({"epochs": "ten"}, "epochs is of another kind"),
        ({"strategies": {"concatenation": {"fusion": "GatedSum"}}}, "is called concatenation, as a baseline"),
        ({"strategies": {"PET alone": {"fusion": "GatedSum"}}}, "is called PET alone, as a baseline"),
        ({"strategies": {"a": {"fusion": "Nowhere"}}}, "a: There is no fusion layer 'Nowhere'"),
        ({"strategies": {"a": {"fusion": "Sum", "fuse_at": "deep"}}}, "a: fuse_at is deep"),
        ({"strategies": {"a": {"fusion": "Sum", "fuse_at": [2]}}}, "a: fuse_at is .2.; expected input, output, or"),
        ({"epoch": 3}, "epoch is not known"),
        ({"strategies": {"a": {"fusion": "Sum", "missing": "guess"}}}, "missing is 'guess'"),
        ({"strategies": {"a": {"fusion": "Sum", "encoder": "wide"}}}, "encoder is 'wide'"),
        ({"strategies": {"a": {"layer": "Sum"}}}, "strategies.a.layer is not known"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(tmp_path, change, said):
    file = tmp_path / "protocol.json"
    file.write_text(json.dumps({"cohort": {"task": "diagnosis"}, "strategies": {}, **change}))
    with pytest.raises(PolyscanError, match=said):
        read_protocol(file)


def test_the_command_names_the_page_and_what_is_wrong(tmp_path, capsys):
    assert main(["compare", "nothing", "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "protocol that comes with polyscan: " in said
    assert "diagnosis, " in said
    file = tmp_path / "protocol.json"
    small = {"folds": 2, "seeds": 1, "epochs": 1, "parameters": 300}
    cohort = {"task": "interaction", "subjects": 80}
    file.write_text(json.dumps({"cohort": cohort, "strategies": {"broken": {"fusion": "LogarithmicPool"}}, **small}))
    assert main(["compare", str(file), "-o", str(tmp_path / "out"), "--jobs", "1"]) == 1
    assert "broken: LogarithmicPool joins logits" in capsys.readouterr().err


def test_protocols_of_the_package_can_be_read():
    names = [file.stem for file in (resource_folder("configs") / "compare").glob("*.json")]
    assert {"diagnosis", "interaction", "picai", "misalignment_images"} < set(names)
    for name in names:
        assert read_protocol(name).strategies
    assert N_RESAMPLES >= 300
