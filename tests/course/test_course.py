"""Forecasts of tumour volumes: against algebra, against coverage, and as a command."""

import csv

import numpy as np
import pytest
from made_courses import made_courses

from polyscan.cli import main
from polyscan.course.fit import fit_population
from polyscan.course.forecast import forecast
from polyscan.course.population import Population
from polyscan.course.visits import Course, read_courses
from polyscan.errors import PolyscanError


def course(days, volumes, treated=None, deviations=None):
    n = len(days)
    return Course(
        "P1",
        np.array(days, float),
        np.array(volumes, float),
        np.zeros(n) if deviations is None else np.array(deviations, float),
        np.zeros(n, bool) if treated is None else np.array(treated, bool),
    )


def population(**changes):
    values = {
        "mean": np.array([[3.0, 1.0, 2.0]]),
        "covariance": np.diag([1.0, 0.25, 0.25])[None],
        "drift": np.array([0.05]),
        "error": np.array([0.01]),
        "resistance": np.array([1.0]),
        "patients": 100,
        "visits": 400,
        "detection_limit": 0.1,
    }
    return Population(**{**values, **changes})


@pytest.fixture(scope="module")
def learnt():
    return fit_population(made_courses(300, seed=1))


def test_exposure_counts_days_under_treatment():
    seen = course([0, 30, 100], [1, 1, 1], [True, False, True])
    assert seen.exposure([0, 10, 30, 90, 100, 120]).tolist() == [0, 10, 30, 30, 30, 50]
    assert seen.exposure([120], goes_on=False).tolist() == [30]


def test_one_visit_and_no_noise_grow_as_the_equation_says():
    sure = population(covariance=np.diag([1.0, 1e-12, 1e-12])[None], drift=np.array([1e-12]), error=np.array([1e-12]))
    year = 365.25
    grown = forecast(sure, course([0], [10]), [year], treated=False)
    assert grown.median[0] == pytest.approx(10 * np.e, rel=1e-3)
    shrunk = forecast(sure, course([0], [10]), [year], treated=True)
    assert shrunk.median[0] == pytest.approx(10 * np.exp(1 - 2 * (1 - np.exp(-1))), rel=1e-3)


def test_the_forecast_is_the_conditional_normal_distribution():
    # Sampled from the joint distribution and kept where the first two visits are near what was measured.
    known = population()
    days, rng = np.array([0.0, 100.0, 200.0]), np.random.default_rng(0)
    t = days / 365.25
    size, growth = rng.normal(3, 1, 2_000_000), rng.normal(1, 0.5, 2_000_000)
    steps = rng.normal(0, 1, (2, 2_000_000)) * np.sqrt(0.05 * np.diff(t))[:, None]
    walk = np.concatenate([np.zeros((1, 2_000_000)), np.cumsum(steps, axis=0)])
    logs = size + growth * t[:, None] + walk + rng.normal(0, 0.1, (3, 2_000_000))
    near = (abs(logs[0] - np.log(20)) < 0.03) & (abs(logs[1] - np.log(35)) < 0.03)
    found = forecast(known, course(days[:2], [20, 35]), days[2:])
    low, median, high = np.quantile(logs[2][near], [0.05, 0.5, 0.95])
    assert np.log([found.low[0], found.median[0], found.high[0]]) == pytest.approx([low, median, high], abs=0.03)
    progressed = (logs[2][near] > np.log(1.4 * 20)).mean()
    assert found.progression[0] == pytest.approx(progressed, abs=0.02)


def test_each_visit_narrows_the_interval_down():
    known, seen = population(), course([0, 60, 120, 180], [10, 12, 14, 17])
    widths = [float(np.log(f.high / f.low)[0]) for f in (forecast(known, seen.until(n), [240]) for n in (1, 2, 3, 4))]
    assert widths == sorted(widths, reverse=True)
    unsure = course([0, 60], [10, 12], deviations=[5, 6])
    sure = course([0, 60], [10, 12])
    assert np.log(forecast(known, unsure, [120]).high / forecast(known, sure, [120]).high)[0] > 0.1


def test_intervals_hold_what_they_say(learnt):
    held = []
    for each in made_courses(1000, seed=2):
        n = len(each.days) - 1
        found = forecast(learnt, each.until(n), each.days[n:])
        held.append(found.low[0] <= each.volumes[n] <= found.high[0])
    assert 0.87 <= np.mean(held) <= 0.93


def test_without_treatment_is_what_would_have_happened(learnt):
    # Of patients whose treatment stops and of those whose treatment goes on, drawn alike, only the plan differs.
    for treated in (True, False):
        held = []
        for each in made_courses(2000, seed=3):
            n = len(each.days) - 1
            if n and each.treated[n - 2] and bool(each.treated[n - 1]) is treated:
                found = forecast(learnt, each.until(n), each.days[n:], treated=treated)
                held.append(found.low[0] <= each.volumes[n] <= found.high[0])
        assert len(held) > 200
        assert 0.85 <= np.mean(held) <= 0.95


def test_a_tumour_that_is_gone_is_no_logarithm_of_zero(learnt):
    found = forecast(learnt, course([0, 50], [5, 0], [True, True]), [100])
    assert 0 < found.low[0] < found.median[0] < found.high[0] < 50


def test_nothing_is_said_of_a_treatment_that_nobody_had():
    untreated = [
        Course(c.subject, c.days, c.volumes, c.deviations, np.zeros(len(c.days), bool)) for c in made_courses(40, 1)
    ]
    learnt = fit_population(untreated)
    assert not learnt.knows_treatment
    with pytest.raises(PolyscanError, match="cannot say what treatment changes"):
        forecast(learnt, untreated[0], [9999], treated=True)


def test_few_patients_are_no_population():
    with pytest.raises(PolyscanError, match=r"5 patients .* learnt from 20; .* --population"):
        fit_population(made_courses(5, 1))


def test_a_day_before_the_last_visit_is_no_forecast(learnt):
    with pytest.raises(PolyscanError, match="P1: day 40 is not after the last visit, on day 50"):
        forecast(learnt, course([0, 50], [5, 6]), [40])


def test_a_population_is_the_same_after_saving(learnt, tmp_path):
    learnt.save(tmp_path / "population.json")
    again = Population.load(tmp_path / "population.json")
    seen = course([0, 50], [5, 6])
    assert forecast(again, seen, [90]).high == pytest.approx(forecast(learnt, seen, [90]).high, rel=1e-12)
    (tmp_path / "population.json").write_text('{"format_version": 9}')
    with pytest.raises(PolyscanError, match="has format 9"):
        Population.load(tmp_path / "population.json")


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rows = [
        [each.subject, day, round(volume, 3), int(treated)]
        for each in made_courses(25, seed=4)
        for day, volume, treated in zip(each.days, each.volumes, each.treated, strict=True)
    ]
    return write(tmp_path_factory.mktemp("course") / "volumes.csv", [["subject", "day", "volume_ml", "treated"], *rows])


def test_the_command_writes_table_page_and_population(table, tmp_path, capsys):
    assert main(["course", str(table), "-o", str(tmp_path / "out"), "--horizon", "60"]) == 0
    assert "sub-00000" in capsys.readouterr().out
    with (tmp_path / "out" / "course.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25
    assert all(float(row["day"]) == float(row["last_day"]) + 60 for row in rows)
    assert all(float(r["with_treatment_median_ml"]) < float(r["without_treatment_median_ml"]) for r in rows)
    page = (tmp_path / "out" / "course.html").read_text()
    assert page.count("<svg") == 25
    assert "Not for clinical use" in page
    # One patient alone, with what was learnt.
    alone = write(tmp_path / "one.csv", [["subject", "day", "volume_ml"], ["A", 1000, 4], ["A", 1070, 5.5]])
    learnt = ["--population", str(tmp_path / "out" / "population.json")]
    assert main(["course", str(alone), "-o", str(tmp_path / "one"), *learnt]) == 0
    assert "on day 1070; on day 1160 " in capsys.readouterr().out
    page = (tmp_path / "one" / "course.html").read_text()
    assert "day 1000: 4.00 mL" in page
    assert ">1050</text>" in page
    assert main(["course", str(alone), "-o", str(tmp_path / "none")]) == 1
    assert "1 patients have two visits or more" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_cohort_of_a_batch_is_read_with_its_days(tmp_path):
    header = ["study", "subject", "session", "status", "tumour ml", "core ml"]
    done = [["A_1", "A", "1", "done", 4, 1], ["A_2", "A", "2", "done", 6, 2], ["B_1", "B", "1", "failed", "", ""]]
    cohort = write(tmp_path / "cohort.csv", [header, *done])
    visits = write(tmp_path / "visits.csv", [["study", "day", "treated"], ["A_1", 10, 1], ["A_2", 40, 0]])
    (found,) = read_courses(cohort, visits, "tumour")
    assert found.first_day == 10
    assert (found.subject, found.days.tolist(), found.volumes.tolist()) == ("A", [0, 30], [4, 6])
    assert found.treated.tolist() == [True, False]
    with pytest.raises(PolyscanError, match="has no column day; give a table of study, day and treated by --visits"):
        read_courses(cohort, None, "tumour")
    with pytest.raises(PolyscanError, match="name a region by --region: core, tumour"):
        read_courses(cohort, visits)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["A", 0, 4], ["A", 0, 5]], "A has two visits on one day"),
        ([["A", 0, -4]], "A has a volume below zero"),
        ([["A", 0, "large"]], "volume_ml of A is no number"),
        ([["A", "", 4]], "A has a visit without day"),
        ([["A", 5, 4], ["A", 35, "", 1], ["A", 65, 5, 1]], "treatment of A changes on day 35, at a visit without vol"),
    ],
)
def test_odd_tables_are_refused_by_name(tmp_path, rows, told):
    table = write(tmp_path / "t.csv", [["subject", "day", "volume_ml", "treated"], *rows, ["B", 1, 1, 0]])
    with pytest.raises(PolyscanError, match=told):
        read_courses(table)
