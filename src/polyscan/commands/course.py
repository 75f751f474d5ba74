"""Foretell a tumour's volume at the next visit, with and without treatment.

Learn how tumours grow and respond from the volumes of many patients at their
visits, and predict each patient's next one, with an interval that holds the
measured volume in 9 of 10 cases. Writes course.csv, course.html and
population.json. The answer for a treatment that did not happen rests on the
model alone.

Example:
  polyscan course volumes.csv -o course/ --horizon 90
  polyscan course out/cohort.csv --visits visits.csv --region 'whole tumour' -o course/
  polyscan course one_patient.csv -o course/ --population course/population.json

The table has a row a visit: subject, day, volume_ml, and where known volume_sd_ml and treated (1 where the
patient is under treatment from this visit until the next). --visits gives study, day and treated where the
table is cohort.csv of polyscan batch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_output, at_least


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("table", type=Path, help="a CSV file with a row a visit, or cohort.csv of polyscan batch")
    add_output(command)
    command.add_argument("--visits", type=Path, help="a CSV file that tells study, day and treated")
    command.add_argument("--region", help="of a cohort's table, such as 'whole tumour'")
    command.add_argument(
        "--horizon", type=at_least(0, float), default=90, metavar="DAYS", help="days after the last visit (90)"
    )
    command.add_argument("--population", type=Path, help="population.json of an earlier run, instead of learning one")


def run(options: argparse.Namespace) -> None:
    from polyscan.course.run import course

    rows = course(
        options.table,
        options.output,
        visits=options.visits,
        region=options.region,
        horizon=options.horizon,
        population=options.population,
    )
    for row in rows:
        print(f"{row.subject:20} {row.last_ml:8.2f} mL on day {row.last_day:g}; on day {row.day:g} {row.told}")
    print(options.output / "course.html")
