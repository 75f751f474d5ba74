"""A folder goes the whole way, and on where it was cut short; whoever does a study, the result is the same."""

from __future__ import annotations

import csv
import errno
import importlib
import json
import pickle
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from polyscan.batch import batch, batch_status, watch, write_cohort
from polyscan.batch.executors import dask, local
from polyscan.batch.job_array import SCHEDULERS, job_array
from polyscan.batch.status import lock
from polyscan.bundle.config import bundle_folder
from polyscan.bundle.inference_options import InferenceOptions
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.tables import rows_in
from polyscan.formats.nifti import write_nifti
from polyscan.parallel import call_packed
from polyscan.study import ModelRecord, PredictionRecord, Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from processes import start, until

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
ALONE = partial(local, jobs=1)


@pytest.fixture
def ward(tmp_path) -> Path:
    return fill(tmp_path)


def fill(folder: Path) -> Path:
    """Three studies of T1 and T2, one of whose files are no images."""
    generator = torch.Generator().manual_seed(0)
    x = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in (28, 24, 12)], indexing="ij"))
    body = (x.square().sum(0) < 0.8).float()
    for subject in ("01", "02", "03"):
        for name in ("T1w", "T2w"):
            path = folder / "ward" / f"sub-{subject}" / f"sub-{subject}_{name}.nii.gz"
            image = body * (200 + 60 * x[0] + 20 * torch.rand(body.shape, generator=generator))
            write_nifti(path, MetaTensor(image[None], affine=torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0]))))
    for file in (folder / "ward" / "sub-03").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    return folder / "ward"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """What one process makes of the ward, which holds the same for every test."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(fill(folder), folder / "out")
    return folder / "out"


def run(ward, out, **options):
    return batch(BUNDLE, ward, out, registered=True, **{"executor": ALONE, **options})


def answers(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "predictions").glob("[!.]*"))}


def test_probabilities_are_kept_where_asked_for(tmp_path, capsys):
    ward, out = fill(tmp_path), tmp_path / "out"
    (ward / "sub-04").mkdir()
    (ward / "sub-04" / "sub-04_T1w.nii.gz").write_bytes(b"no image")  # of which no study comes
    options = ["--registered", "--no-pages", "--jobs", "1"]
    assert main(["batch", BUNDLE, str(ward), "-o", str(out), *options, "--probabilities"]) == 3  # one study is torn
    said = capsys.readouterr().err
    assert "sub-03 failed: " in said
    assert "sub-04/sub-04_T1w.nii.gz: left out: sub-04_T1w.nii.gz cannot be read" in said
    kept = sorted(path.name for path in (out / "predictions").glob("*_prob.nii.gz"))
    assert kept == ["sub-01_prob.nii.gz", "sub-02_prob.nii.gz"]
    (study, _) = read_manifest(out / "manifest.json").studies
    assert study.prediction.probabilities == str(out / "predictions" / kept[0])
    with pytest.raises(PolyscanError, match=r"no regions whose .*; leave --probabilities away"):
        batch("glioma_grading_classification", ward, tmp_path / "classes", options=InferenceOptions(probabilities=True))
    assert not (tmp_path / "classes").exists()
    run(ward, out, pages=False)
    assert not list((out / "predictions").glob("*_prob.nii.gz"))


def test_a_folder_goes_the_whole_way(ward, tmp_path):
    out = tmp_path / "out"
    result = run(ward, out)
    assert [study.key for study in result.studies] == ["sub-01", "sub-02"]
    rows = {row["study"]: row for row in csv.DictReader((out / "cohort.csv").open())}
    assert rows["sub-01"]["modalities"] == "T1"  # the bundle reads no T2
    assert float(rows["sub-01"]["tumour ml"]) >= 0
    assert float(rows["sub-01"]["prepare seconds"]) > 0
    status = batch_status(out)
    assert (status.done, status.running, status.waiting) == (["sub-01", "sub-02"], [], [])
    assert rows["sub-03"]["reason"] == status.failed["sub-03"]
    assert "sub-01" in (out / "pages" / "sub-01.html").read_text()


def test_only_what_changed_is_done_again(ward, tmp_path):
    out = tmp_path / "out"
    run(ward, out)
    records = {path.name: path.stat().st_mtime_ns for path in (out / "records").iterdir()}
    before = answers(out)
    run(ward, out)
    assert {path.name: path.stat().st_mtime_ns for path in (out / "records").iterdir()} == records

    # a scan that was exchanged, a record that was damaged, a failure that is tried again, a study less
    source = ward / "sub-01" / "sub-01_T1w.nii.gz"
    source.write_bytes((ward / "sub-02" / "sub-02_T1w.nii.gz").read_bytes())
    (out / "records" / "sub-02.json").write_text("{")
    run(ward, out)
    changed = {p.name for p in (out / "records").iterdir() if p.stat().st_mtime_ns != records[p.name]}
    assert changed == {"sub-01.json", "sub-02.json"}
    run(ward, out, retry_failed=True)
    assert (out / "records" / "sub-03.json").stat().st_mtime_ns != records["sub-03.json"]
    for file in (ward / "sub-02").iterdir():
        file.unlink()
    result = run(ward, out)
    assert [study.key for study in result.studies] == ["sub-01"]
    assert not [path for path in out.glob("*/sub-02*") if path.parent.name != "locks"]
    assert answers(out)["sub-01_pred.nii.gz"] is not None
    assert len(before) == 2


def test_two_runs_never_do_one_study_twice(ward, undisturbed, tmp_path):
    """While a study is held, another run leaves it alone; shards share the work and end at the same result."""
    out = tmp_path / "out"
    run(ward, out, shard=(1, 2))
    assert batch_status(out).waiting == ["sub-02"]
    result = run(ward, out, shard=(2, 2))
    assert len(result.studies) == 2
    assert answers(undisturbed) == answers(out)

    from filelock import FileLock

    with FileLock(out / "locks" / "sub-01.lock"):
        (out / "records" / "sub-01.json").unlink()
        assert batch_status(out).running == ["sub-01"]
        assert [study.key for study in run(ward, out).studies] == ["sub-02"]
        assert not (out / "records" / "sub-01.json").exists()
    assert len(run(ward, out).studies) == 2


def test_a_killed_run_goes_on(ward, undisturbed, tmp_path):
    """Killed with -9 while it works: what is there is whole, and the next run ends as an undisturbed one."""
    out = tmp_path / "out"
    command = ["batch", BUNDLE, str(ward), "-o", str(out), "--registered", "--jobs", "1"]
    process = start(command, tmp_path / "log")
    until(lambda: list((out / "records").glob("sub-*.json")) or process.exitcode is not None)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    (out / "predictions" / ".part-abc-sub-02_pred.nii.gz").write_bytes(b"half")
    finished = {path.name: path.stat().st_mtime_ns for path in (out / "records").glob("sub-*.json")}
    run(ward, out)
    assert answers(out) == answers(undisturbed)
    assert all((out / "records" / name).stat().st_mtime_ns == when for name, when in finished.items())


def test_what_an_interrupted_run_began_is_cleared_away(ward, tmp_path):
    """Processes that are ended in the middle cannot do it; what another run is at stays."""
    out = tmp_path / "out"
    parts = [out / "records" / f".part-abc-{study}.json" for study in ("sub-01", "sub-02")]

    def interrupted(work, studies):
        for part in parts:
            part.parent.mkdir(exist_ok=True)
            part.write_text("half")
        held.enter_context(lock(out, "sub-02"))
        raise KeyboardInterrupt

    with ExitStack() as held, pytest.raises(KeyboardInterrupt):
        run(ward, out, executor=interrupted)
    assert [part.exists() for part in parts] == [False, True]


def test_on_a_cluster_of_processes(ward, undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    forks = {"distributed.worker.multiprocessing-method": "forkserver"}
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with importlib.import_module("dask").config.set(forks), distributed.LocalCluster(**options) as cluster:
        result = run(ward, tmp_path / "out", executor=dask(cluster.scheduler_address))
    assert len(result.studies) == 2
    assert answers(tmp_path / "out") == answers(undisturbed)
    assert batch_status(tmp_path / "out").failed == batch_status(undisturbed).failed


def test_who_hands_studies_on_has_nothing_heavy_to_import():
    """A scheduler, which answers nobody while it imports, unpickles what it hands on; the command makes the plan."""
    light = (
        "import sys, polyscan.parallel; assert not {'torch', 'monai', 'numpy'} & sys.modules.keys()\n"
        "import polyscan.batch.run; assert not {'torch', 'monai'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", light], check=True)
    assert call_packed.__module__ == "polyscan.parallel"
    assert call_packed(pickle.dumps((len, "abc"))) == 3


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_no_cluster_answers(address, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    once = partial(distributed.Client, timeout=0.2)  # nothing listens there: no need to knock for ten seconds
    monkeypatch.setattr(distributed, "Client", lambda address, **_: once(address))
    with pytest.raises(PolyscanError, match=f"No Dask scheduler answers at {address}"):
        dask(address)


def test_a_scheduler_that_goes_away_is_named_and_costs_no_study():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    options = {"n_workers": 1, "processes": False, "protocol": "tcp", "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        work = dask(cluster.scheduler_address)(time.sleep, [3])
        threading.Timer(0.5, cluster.close).start()
        with pytest.raises(PolyscanError, match="went away; start it again"):
            list(work)


def test_a_process_that_is_killed_costs_its_study(ward, tmp_path):
    def dies(work, studies):
        for study in studies:
            yield study, PolyscanError("the process was killed") if study.key == "sub-01" else work(study)

    result = run(ward, tmp_path / "out", executor=dies)
    assert [study.key for study in result.studies] == ["sub-02"]
    assert batch_status(tmp_path / "out").failed["sub-01"] == "the process was killed"
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["bundle"] == BUNDLE


def test_other_weights_redo_the_answers_and_keep_what_was_prepared(ward, tmp_path):
    out, weights = tmp_path / "out", tmp_path / "model.pt"
    run(ward, out)
    before = answers(out)
    prepared = {path: path.stat().st_mtime_ns for path in (out / "prepared").rglob("*") if path.is_file()}
    state = torch.load(bundle_folder(BUNDLE) / "models" / "model.pt", weights_only=True)
    torch.save({name: value * 1.5 if value.is_floating_point() else value for name, value in state.items()}, weights)
    run(ward, out, weights=weights)
    assert {path: path.stat().st_mtime_ns for path in (out / "prepared").rglob("*") if path.is_file()} == prepared
    assert answers(out).keys() == before.keys()
    assert answers(out) != before


def test_answers_of_another_bundle_are_not_replaced(ward, tmp_path):
    out = tmp_path / "out"
    answered = PredictionRecord(str(out / "predictions" / "sub-01_pred.json"), model=ModelRecord("petct_staging"))
    write_manifest(out / "records" / "sub-01.json", Manifest(testing=[Study("01", None, prediction=answered)]))
    with pytest.raises(PolyscanError, match=rf"holds answers of petct_staging, which those of {BUNDLE} would replace"):
        run(ward, out)
    assert [path.name for path in out.iterdir()] == ["records"]


def test_a_scan_that_comes_late_updates_the_answer(ward, tmp_path):
    files = {name: ward / "sub-01" / f"sub-01_{name}.nii.gz" for name in ("ct", "T1w")}
    files["T1w"].with_name("sub-01_T2w.nii.gz").rename(files["ct"])
    late = files["T1w"].rename(tmp_path / "late.nii.gz")
    out = tmp_path / "out"
    run(ward, out, options=InferenceOptions(keep_features=True))
    late.rename(files["T1w"])
    result = run(ward, out, options=InferenceOptions(keep_features=True))
    said = next(study for study in result.studies if study.key == "sub-01").prediction
    assert (sorted(said.present), said.reused) == (["CT", "T1"], ["CT"])
    (earlier,) = said.earlier
    assert (earlier.present, Path(earlier.path).name) == (["CT"], "sub-01_earlier1_pred.nii.gz")
    assert Path(earlier.path).is_file()
    assert f"Before, {earlier.at}, from CT" in (out / "pages" / "sub-01.html").read_text()
    run(ward, tmp_path / "once")
    assert answers(out)["sub-01_pred.nii.gz"] == answers(tmp_path / "once")["sub-01_pred.nii.gz"]


def test_a_tree_is_read_once_and_watched(ward, tmp_path):
    """A study that comes while a folder is watched is done once it has settled; the tables follow from the records."""
    out, stop = tmp_path / "out", threading.Event()
    late = tmp_path / "late"
    (ward / "sub-02").rename(late)
    options = {"settle": 0.5, "pause": 0.1, "stop": stop, "registered": True, "executor": ALONE, "pages": False}
    thread = threading.Thread(target=watch, args=(BUNDLE, ward, out), kwargs=options)
    thread.start()
    try:
        until(lambda: (out / "records" / "sub-01.json").exists())
        done = (out / "records" / "sub-01.json").stat().st_mtime_ns
        late.rename(ward / "sub-02")
        for file in (ward / "sub-02").iterdir():
            file.touch()
        until(lambda: (out / "records" / "sub-02.json").exists())
    finally:
        stop.set()
        thread.join()
    assert (out / "index.sqlite").is_file()
    assert (out / "records" / "sub-01.json").stat().st_mtime_ns == done
    table = (out / "cohort.csv").read_bytes()
    (out / "cohort.csv").unlink()
    write_cohort(out)
    assert (out / "cohort.csv").read_bytes() == table
    rated = {"sub-01": {"rating": "bad", "time": "2026-01-02T03:04:05Z"}}
    (out / "ratings.json").write_text(json.dumps({"ratings": rated}))  # as the page of the cohort saves it
    assert main(["status", str(out), "--table"]) == 0
    rows = {row["study"]: row for row in csv.DictReader((out / "cohort.csv").open())}
    assert [rows[key]["rating"] for key in ("sub-01", "sub-02")] == ["bad", ""]


def test_a_damaged_record_stands_in_the_table(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "sub-1.json").write_text("{")
    write_cohort(tmp_path)
    (row,) = rows_in(tmp_path / "cohort.csv")
    assert (row["study"], row["status"]) == ("sub-1", "failed")
    assert "its record is damaged" in row["reason"]


def test_a_job_array_does_what_one_run_does(ward, tmp_path, capsys):
    """Its command, called as the scheduler calls it for each task."""
    out = tmp_path / "out"
    arguments = ["batch", BUNDLE, str(ward), "-o", str(out), "--registered", "--no-pages", "--mirror"]
    arguments += ["--attribution", "gradcam"]
    assert main([*arguments, "--job-array", "slurm:2"]) == 0
    script = out / "job_array.sh"
    assert capsys.readouterr().out.split() == ["sbatch", str(script)]
    (command,) = [line for line in script.read_text().splitlines() if "--shard" in line]
    words = shlex.split(command)
    assert words[:3] == [sys.executable, "-m", "polyscan"]
    assert {"--mirror", "--attribution", "gradcam"} < set(words)
    assert [main([w.replace("$SLURM_ARRAY_TASK_ID", task) for w in words[3:]]) for task in ("1", "2")] == [3, 3]
    assert batch_status(out).done == ["sub-01", "sub-02"]
    assert not batch_status(out).waiting


@pytest.mark.parametrize("more", [["--shard", "1/2"], ["--watch", "5"], ["--dask", "tcp://10.0.0.1:8786"]])
def test_a_job_array_is_not_given_what_it_would_pass_over(more, tmp_path, capsys):
    arguments = ["batch", BUNDLE, str(tmp_path), "-o", str(tmp_path / "out"), "--job-array", "slurm:2", *more]
    assert main(arguments) == 1
    assert f"leave {more[0]} away" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_each_scheduler_has_a_script_for_its_shell(scheduler, tmp_path):
    submitted, _, _, number = SCHEDULERS[scheduler]
    lines = job_array(scheduler, 20, 4, ["batch", "petct_staging", "a folder"], tmp_path / "my logs")
    script = "\n".join(lines)
    assert submitted in ("sbatch", "qsub", "bsub <")
    (log,) = [line for line in lines if "my logs" in line]
    assert f"{tmp_path}/my logs/" in shlex.split(log)[-1]
    assert f"'a folder' --jobs 4 --shard \"${number}/20\"" in script
    assert "20" in script.partition("export")[0]
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)


def test_a_full_disk_or_a_device_that_is_not_there_is_no_fault_of_a_study(ward, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def no_room(*_, **__):
        raise PolyscanError("cannot be written") from OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("polyscan.batch.one_study.prepare_study", no_room)
        with pytest.raises(PolyscanError, match="is full; make room"):
            run(ward, out)
    with pytest.raises(PolyscanError, match="cuda:99 cannot be used here"):
        run(ward, out, devices=["cuda:99"])
    assert batch_status(out).waiting == ["sub-01", "sub-02", "sub-03"]
    assert len(run(ward, out).studies) == 2
