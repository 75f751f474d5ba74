"""What is in an output folder and was not written by polyscan stays as it is, whatever ``-o`` names."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from polyscan.cli import main
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.files.owned import MARKER, replace_owned
from polyscan.phantom import make_cohort
from polyscan.study import Scan, Study
from polyscan.study.outputs import OutputFolder, check_writable_file, fingerprint, sources_of


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Two made subjects as a hospital's folder, with a note that is somebody's own."""
    folder = tmp_path_factory.mktemp("hospital") / "ward"
    make_cohort(folder, subjects=2, seed=5, missing=0, modalities=("T1", "T1c"), jobs=1)
    (folder / "notes.txt").write_text("call the ward")
    return folder


@pytest.fixture
def ward(heads, tmp_path):
    shutil.copytree(heads, tmp_path / "ward")
    return tmp_path / "ward"


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("out", [".", "..", "sub-001", "sub-001/anat", "sub-001/anat/prepared", "link", "new", "new/a"])
def test_prepare_never_touches_the_scans(ward, out, capsys):
    manifest = ward.parent / "manifest.json" if out == "new" else ward / "manifest.json"
    assert main(["scan", str(ward), "-o", str(manifest)]) == 0
    (ward / "link").symlink_to(ward / "sub-002")
    before = hashes(ward.parent)
    assert main(["prepare", str(manifest), "-o", str(ward / out), "--jobs", "1"]) == 1
    assert "name a folder apart from the scans" in capsys.readouterr().err
    assert hashes(ward.parent) == before


@pytest.mark.parametrize("name", ["native", "sub-009", "derivatives/native"])
def test_an_output_among_the_scans_is_not_scanned(ward, name):
    """A mask in it, as ``native`` writes it, would be taken for the truth."""
    before = scan(ward)
    OutputFolder.claim(ward / name, "native").will_hold(["sub-001_space-T1_dseg.nii.gz"])
    mask = next((ward / "sub-001").rglob("*T1w.nii.gz"))
    shutil.copyfile(mask, ward / name / "sub-001_space-T1_dseg.nii.gz")
    found = scan(ward)
    assert found.studies == before.studies
    (said,) = (each for each in found.left_out if each.series == name)
    assert said.reason.startswith("written by polyscan")


def test_a_prepared_study_that_was_moved_among_the_scans_is_not_scanned(ward):
    before = scan(ward)
    mask = next((ward / "sub-001").rglob("*T1w.nii.gz"))
    with replace_owned(ward / "sub-010") as study:  # without what tells of all prepared studies
        shutil.copyfile(mask, study / "sub-010_T1w.nii.gz")
    found = scan(ward)
    assert found.studies == before.studies
    assert [each.series for each in found.left_out if each.reason.startswith("written by polyscan")] == ["sub-010"]


def test_the_derivatives_of_a_data_set_may_hold_an_output(ward):
    manifest = scan(ward)
    place = ward / "derivatives" / "prepared"
    assert OutputFolder.claim(place, "prepare", sources_of(manifest.studies), manifest.scanned).path == place
    with pytest.raises(PolyscanError, match=r"holds .*/ward, which holds scans"):
        OutputFolder.claim(ward.parent, "prepare", scanned=manifest.scanned)


def test_a_folder_of_something_else_is_refused_by_name(ward, tmp_path, capsys):
    manifest = tmp_path / "manifest.json"
    main(["scan", str(ward), "-o", str(manifest)])
    thesis = tmp_path / "thesis"
    (thesis / "sub-001").mkdir(parents=True)
    (thesis / "sub-001" / "chapter.txt").write_text("one")
    assert main(["prepare", str(manifest), "-o", str(thesis), "--jobs", "1"]) == 1
    assert "(sub-001)" in capsys.readouterr().err
    assert hashes(thesis) == {"sub-001/chapter.txt": hashlib.sha256(b"one").hexdigest()}


def test_prepare_again_replaces_its_own_and_keeps_what_was_added(ward, tmp_path):
    manifest, out = tmp_path / "manifest.json", tmp_path / "prepared"
    main(["scan", str(ward), "-o", str(manifest)])
    assert main(["prepare", str(manifest), "-o", str(out), "--jobs", "1"]) == 0
    (out / "mine.txt").write_text("mine")
    first = hashes(out)
    content = json.loads(manifest.read_text())
    content["validation"] = []  # sub-002
    manifest.write_text(json.dumps(content))
    assert main(["prepare", str(manifest), "-o", str(out), "--jobs", "1"]) == 0
    second = hashes(out)
    assert not any(name.startswith("sub-002") for name in second)  # of the earlier run, and polyscan's own
    assert {n: h for n, h in second.items() if n.startswith(("sub-001", "mine")) and n.endswith((".gz", ".txt"))} == {
        n: h for n, h in first.items() if n.startswith(("sub-001", "mine")) and n.endswith((".gz", ".txt"))
    }


def test_one_command_does_not_write_into_another_ones_folder(tmp_path):
    folder = OutputFolder.claim(tmp_path / "out", "prepare")
    folder.will_hold(["manifest.json"])
    with pytest.raises(PolyscanError, match="was made by polyscan prepare; name another folder for polyscan infer"):
        OutputFolder.claim(tmp_path / "out", "infer")


def test_a_folder_of_outputs_goes_with_its_report_and_its_tensorboard(tmp_path):
    """As the folder of a demo does; what somebody put into it stays."""
    whole = OutputFolder.claim(tmp_path / "demo", "demo")
    whole.will_hold(["run", "answers"])
    run, answers = OutputFolder.claim(whole.path / "run", "train"), OutputFolder.claim(whole.path / "answers", "infer")
    run.will_hold(["model.pt", "tensorboard"])
    answers.will_hold(["sub-1_pred.nii.gz"])
    (run.path / "model.pt").touch()
    (run.path / "tensorboard").mkdir()
    (run.path / "tensorboard" / "events.out.tfevents.1.host").touch()
    (answers.path / "sub-1_pred.nii.gz").touch()
    (answers.path / "report.html").write_text('<meta name="generator" content="polyscan 1">')
    pages = OutputFolder.claim(answers.path / "report", "report")
    pages.will_hold(["sub-1.html"])
    (pages.path / "sub-1.html").touch()
    (answers.path / "notes.txt").write_text("mine")
    whole.remove_others([])
    left = [path.relative_to(whole.path).as_posix() for path in whole.path.rglob("*") if path.name != MARKER]
    assert sorted(left) == ["answers", "answers/notes.txt"]


def test_a_run_cut_short_still_owns_what_it_began(tmp_path):
    OutputFolder.claim(tmp_path / "out", "prepare").will_hold(["sub-1", "sub-2"])
    (tmp_path / "out" / "sub-1").mkdir()
    again = OutputFolder.claim(tmp_path / "out", "prepare")
    again.will_hold(["sub-1"])
    again.remove_others(["sub-1"])
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == [MARKER, "sub-1"]
    (tmp_path / "out" / "sub-3").mkdir()
    with pytest.raises(PolyscanError, match="sub-3 is there already and was not written by polyscan prepare"):
        again.will_hold(["sub-3"])


def test_a_manifest_never_replaces_a_scan_or_its_sidecar(ward, capsys):
    before = hashes(ward)
    for name in (next(n for n in before if n.endswith("T1w.nii.gz")), "notes.txt", "dataset_description.json"):
        target = ward / name
        kept = target.read_bytes()
        assert main(["scan", str(ward), "-o", str(target)]) == 1
        assert "is no manifest that polyscan wrote" in capsys.readouterr().err
        assert target.read_bytes() == kept
    with pytest.raises(PolyscanError, match="is a folder"):
        check_writable_file(ward, "manifest")


def made(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.rglob("*.nii.gz")}


def test_a_run_that_was_cut_short_goes_on(ward, tmp_path):
    manifest, out = tmp_path / "manifest.json", tmp_path / "prepared"
    main(["scan", str(ward), "-o", str(manifest)])
    prepare = ["prepare", str(manifest), "-o", str(out), "--jobs", "1"]
    assert main(prepare) == 0
    whole, first = (out / "manifest.json").read_text(), made(out)
    (out / "manifest.json").unlink()  # as a run leaves it that was killed in its second study
    shutil.rmtree(out / "sub-002")
    (out / ".part-sub-002-abc").mkdir()
    assert main(prepare) == 0
    again = made(out)
    assert {n: t for n, t in again.items() if "sub-001" in n} == {n: t for n, t in first.items() if "sub-001" in n}
    assert again.keys() == first.keys()
    assert not list(out.glob(".part-*"))
    ignored = re.compile(r'"(seconds|read|register|resample|foreground|total|z-score|mask)": .*')
    assert ignored.sub("", (out / "manifest.json").read_text()) == ignored.sub("", whole)


def test_what_changed_is_made_anew_and_nothing_else(ward, tmp_path):
    manifest, out = tmp_path / "manifest.json", tmp_path / "prepared"
    main(["scan", str(ward), "-o", str(manifest)])
    prepare = ["prepare", str(manifest), "-o", str(out), "--jobs", "1"]
    main(prepare)
    first = made(out)
    scan = next((ward / "sub-002").rglob("*ce-gd_T1w.nii.gz"))
    shutil.copyfile(next((ward / "sub-001").rglob("*ce-gd_T1w.nii.gz")), scan)
    assert main(prepare) == 0
    second = made(out)
    assert {name.partition("_")[0] for name, when in second.items() if first.get(name) != when} == {"sub-002"}
    assert main([*prepare, "--registered"]) == 0
    assert all(second.get(name) != when for name, when in made(out).items())


def test_two_runs_do_not_write_one_folder(tmp_path):
    folder = OutputFolder.claim(tmp_path / "out", "prepare")
    folder.will_hold(["manifest.json"])
    other = OutputFolder.claim(tmp_path / "out", "prepare")
    with (
        folder.alone(),
        pytest.raises(PolyscanError, match="is being written by another polyscan prepare"),
        other.alone(),
    ):
        pass


def test_a_number_sign_in_the_name_of_a_folder_is_no_number_of_a_volume(tmp_path):
    file = tmp_path / "ward#3" / "T1.nii.gz"
    file.parent.mkdir()
    file.write_bytes(b"")
    assert sources_of([Study("a", scans={"T1": Scan(f"{file}#2"), "T2": Scan(str(file))})]) == [file, file]
    assert fingerprint([f"{file}#2"]) != fingerprint([str(file)])
