"""Tasks that were learnt without what a study has."""

from __future__ import annotations

from polyscan.bundle.carried import UNTAUGHT, carried_settings, untaught
from polyscan.bundle.config import bundle_folder
from polyscan.study import Label, Scan, Study


def test_what_never_came_with_a_label_of_a_task_does_not_teach_it():
    def study(name, scans, **tasks):
        return Study(name, scans={m: Scan(f"{m}.png") for m in scans}, label=Label(tasks=tasks))

    studies = [
        study("a", ["MRI"], mri="none"),
        study("b", ["CT"], ct="mass"),
        study("c", ["MRI", "PET"], mri="low"),
        study("d", ["US"]),
    ]
    studies[1].clinical = {"age": 50}
    found = untaught(studies, studies, ["mri", "ct", "us"])
    assert found["mri"] == ["CT", "US", "clinical"]
    assert found["ct"] == ["MRI", "PET", "US"]
    assert found["us"] == ["CT", "MRI", "PET", "US", "clinical"]
    bundle = bundle_folder("drifa_multitask_classification")
    assert carried_settings({UNTAUGHT: found}, "model.pt", bundle, {}) == {UNTAUGHT: found}
