"""Is anything lost, mixed or wrong unsaid? Commands are killed, meet full disks and are given spoiled files.

    python benchmarks/trials.py [--kills 15] [--disks 10] [--manifests 300] [--headers 1000] [--only NAME ...]

Each command runs in a fork of this process, so that nothing is imported twice. After a kill -9 at a random moment, over
a new folder or one that holds results of another setting, the same command is given again: studies that were finished
must stay as they are, nothing may be of the other setting, and the results must be those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.cli import main as polyscan
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.formats.read import read_image
from polyscan.study import Label, Scan, Study
from polyscan.study.manifest import Manifest, write_manifest

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
SHAPE = (24, 24, 12)
RAW = re.compile(r"Traceback|\b(?!PolyscanError)[A-Z]\w*(?:Error|Exception)\b: ")
"""What an exception of Python or a library looks like where a sentence should stand."""


def make(folder: Path, studies: int) -> Path:
    """Write CT, T1 and the mask of a ball in it, and their manifest."""
    x = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    affine, listed = torch.diag(torch.tensor([2.0, 2.0, 4.0, 1.0])), []
    for number in range(studies):
        generator = torch.Generator().manual_seed(number)
        body = x.square().sum(0) < 0.8
        ball = (x - 0.2 * torch.rand(3, 1, 1, 1, generator=generator)).square().sum(0) < 0.1
        noise = torch.randn(SHAPE, generator=generator)
        values = {"CT": body * 1040 - 1000 + 60 * ball + 5 * noise, "T1": (100 + 50 * x[1] + 40 * ball + noise) * body}
        home = folder / f"patient{number}"
        for name, image in [*values.items(), ("mask", ball.to(torch.uint8))]:
            write_nifti(home / f"{name}.nii.gz", MetaTensor(image[None], affine=affine))
        scans = {name: Scan(str(home / f"{name}.nii.gz")) for name in values}
        label = Label(str(home / "mask.nii.gz"), drawn_on="CT")
        listed.append(Study(f"{number}", scans=scans, label=label))
    manifest = folder.parent / "scans.json"
    write_manifest(manifest, Manifest(training=listed, roots={"scans": str(folder)}))
    return manifest


def hashes(folder: Path) -> dict[str, str]:
    """Of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass
class Ended:
    """How a command ended: its status, -9 where it was killed, and what it printed."""

    status: int
    printed: str
    seconds: float


def run(
    command: list[str], *, largest_file: int | None = None, meanwhile: Callable[[int], None] = lambda process: None
) -> Ended:
    """Run a command in a fork, in a session of its own."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as printed:
        process = os.fork()
        if process == 0:
            os.setsid()
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            if largest_file is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            status = 70
            try:
                status = polyscan(command)
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 2
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.write(2, f"Traceback: {type(error).__name__}: {error}".encode())
            finally:
                os._exit(status)
        meanwhile(process)
        _, ended = os.waitpid(process, 0)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(ended), text, time.perf_counter() - start)


def kill_after(seconds: float) -> Callable[[int], None]:
    """Kill a command and all of its processes."""

    def kill(process: int) -> None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)

    return kill


def kill_a_worker(seconds: float) -> Callable[[int], None]:
    """Kill one process that a command's forkserver has begun."""

    def kill(process: int) -> None:
        time.sleep(seconds)
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                parent, session = int(fields[1]), int(fields[3])
                if session == process and parent != process and int(entry.name) != process:
                    os.kill(int(entry.name), signal.SIGKILL)
                    return

    return kill


@dataclass
class Task:
    """A command that writes a folder, and the same with another setting.

    Attributes:
        command, other: without the folder.
        record: which files say that a study is done.
        result: which files an undisturbed run has too, with the same content.
    """

    command: list[str]
    other: list[str]
    record: str
    result: str

    def of(self, out: Path, command: list[str] | None = None) -> list[str]:
        """What to run to write a folder."""
        return [*(command or self.command), "-o", str(out)]

    def results(self, out: Path) -> dict[str, str]:
        """Hashes of its results; of weights, those of their values."""
        found = {name: hashed for name, hashed in hashes(out).items() if re.search(self.result, name)}
        for name in found:
            if name.endswith(".pt"):
                weights = torch.load(out / name, map_location="cpu", weights_only=True)
                values = b"".join(name.encode() + value.numpy().tobytes() for name, value in weights.items())
                found[name] = hashlib.sha256(values).hexdigest()
        return found

    def made(self, out: Path) -> dict[str, str]:
        """Study to what it was made from, of those that are done."""
        found = {}
        for path in out.glob(self.record):
            found[str(path.relative_to(out))] = str(json.loads(path.read_text()).get("made_from"))
        return found


def disturbed(task: Task, work: Path, trials: int, disturb: Callable[[Task, Path, float], Ended], *, old: bool) -> str:
    """Disturb a command many times and give it again; returns the line of the table."""
    whole, other, counts = work / "whole", work / "other", Counter[str]()
    for folder in (whole, other):
        shutil.rmtree(folder, ignore_errors=True)
    undisturbed = run(task.of(whole))
    assert undisturbed.status == 0, undisturbed.printed
    expected, made = task.results(whole), task.made(whole)
    if old:
        assert run(task.of(other, task.other)).status == 0
    for _ in range(trials):
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        if old:
            shutil.copytree(other, out)
        before = task.made(out)
        ended = disturb(task, out, undisturbed.seconds)
        counts["cut short"] += ended.status != 0
        counts["raw sentences"] += bool(RAW.search(ended.printed))
        now = task.made(out) if out.is_dir() else {}
        listed = (out / "manifest.json").is_file() and now != before
        counts["mixed"] += listed and len({now[name] == made.get(name) for name in now}) > 1
        kept = {name: (out / name).stat().st_mtime_ns for name in now if now[name] == made.get(name)}
        again = run(task.of(out))
        counts["not mended"] += again.status != 0 or bool(RAW.search(again.printed))
        redone = [name for name, when in kept.items() if (out / name).stat().st_mtime_ns != when]
        counts["finished studies"] += len(kept)
        counts["of them redone"] += len(redone)
        counts["other results"] += task.results(out) != expected
        counts["parts left"] += any(".part-" in name for name in hashes(out))
    names = "cut short", "raw sentences", "mixed", "finished studies", "of them redone", "not mended", "other results"
    return " | ".join(str(counts[name]) for name in (*names, "parts left"))


def killed(task: Task, out: Path, seconds: float) -> Ended:
    return run(task.of(out), meanwhile=kill_after(random.uniform(0, seconds)))


def worker_killed(task: Task, out: Path, seconds: float) -> Ended:
    return run(task.of(out), meanwhile=kill_a_worker(random.uniform(0.3, 1) * seconds))


def disk_full(task: Task, out: Path, seconds: float) -> Ended:
    return run(task.of(out), largest_file=int(10 ** random.uniform(2, 4.3)))


def quietly(command: list[str]) -> Ended:
    """Run a command here; what is no PolyscanError is raised as a user would see it."""
    printed = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = polyscan(command)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 2
        except Exception as error:
            status = 70
            print(f"Traceback: {type(error).__name__}: {error}")
    return Ended(status, printed.getvalue(), time.perf_counter() - start)


ODD = [
    None,
    True,
    0,
    -1,
    1e99,
    "",
    "x",
    [],
    [1],
    {},
    {"a": 1},
    "../../etc",
    "T1#0",
    "\u0000",
    "sub-1",
    [None],
    [[]],
    "NaN",
]


def spoil_json(content: object, rng: random.Random) -> object:
    """Replace, drop, double or rename one entry anywhere."""
    places: list[tuple[object, object]] = []

    def walk(node: object) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])  # type: ignore[index]

    walk(content)
    node, key = rng.choice(places)
    how = rng.randrange(4)
    if how == 0:
        node[key] = rng.choice(ODD)  # type: ignore[index]
    elif how == 1:
        del node[key]  # type: ignore[attr-defined]
    elif isinstance(node, dict):
        node[rng.choice(["", "x", "T2", "label", "training"])] = node[key] if how == 2 else node.pop(key)  # type: ignore[index]
    else:
        node.append(node[key])  # type: ignore[index]
    return content


def spoiled_manifests(manifest: Path, work: Path, trials: int, rng: random.Random) -> list[str]:
    """Give spoiled manifests to prepare; returns what was printed where it was no sentence."""
    bad, text = [], manifest.read_text()
    for _ in range(trials):
        if rng.random() < 0.2:
            spoilt = bytearray(text.encode())
            for _ in range(rng.randint(1, 3)):
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            (work / "spoilt.json").write_bytes(spoilt)
        else:
            (work / "spoilt.json").write_text(json.dumps(spoil_json(json.loads(text), rng)))
        shutil.rmtree(work / "fuzzed", ignore_errors=True)
        ended = quietly(
            ["prepare", str(work / "spoilt.json"), "-o", str(work / "fuzzed"), "--registered", "--jobs", "1"]
        )
        if RAW.search(ended.printed) or (ended.status not in (0, 3) and not ended.printed.strip()):
            bad.append(ended.printed.strip().splitlines()[-1][:200])
    return bad


def spoiled_tables(ward: Path, work: Path, trials: int, rng: random.Random) -> list[str]:
    """Give spoiled tables of clinical variables to scan."""
    bad, whole = [], "participant_id,age,sex,note\npatient0,61,M,a\npatient1,62,F,\n"
    parts = [",", ";", "\t", '"', "\n", "\r\n", "\0", "é", "1e999", "patient0", "split", "fold", "-", "=", " "]
    for _ in range(trials):
        letters = list(whole)
        for _ in range(rng.randint(1, 8)):
            letters[rng.randrange(len(letters))] = rng.choice(parts)
        encoding = rng.choice(["utf-8", "utf-8-sig", "utf-16", "cp1252", "utf-16-le"])
        (work / "t.csv").write_bytes("".join(letters).encode(encoding, errors="replace"))
        ended = quietly(["scan", str(ward), "-o", str(work / "m.json"), "--clinical", str(work / "t.csv")])
        if RAW.search(ended.printed) or ended.status not in (0, 1):
            bad.append(ended.printed.strip().splitlines()[-1][:200])
    return bad


def spoiled_headers(work: Path, trials: int, rng: random.Random) -> tuple[Counter[str], list[str]]:
    """Spoil 1 to 4 bytes of a NIfTI header; what is read without a word must lie where ITK puts it too."""
    import SimpleITK as sitk

    sitk.ProcessObject_SetGlobalWarningDisplay(False)
    nibabel.imageglobals.logger.setLevel("CRITICAL")
    path, counts, bad = work / "a.nii", Counter[str](), []
    affine = torch.tensor([[2.0, 0, 0, -20], [0, 3, 0, -30], [0, 0, 4, 5], [0, 0, 0, 1]])
    write_nifti(path, MetaTensor(torch.arange(6 * 5 * 4.0).reshape(1, 6, 5, 4), affine=affine))
    clean = path.read_bytes()
    for _ in range(trials):
        content = bytearray(clean)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(348)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        path.write_bytes(content)
        try:
            image = read_image(str(path), "T1")
        except PolyscanError:
            counts["refused"] += 1
            continue
        if image.meta["problems"]:
            counts["said"] += 1
            continue
        try:
            other = sitk.ReadImage(str(path))
        except RuntimeError:
            counts["ITK refuses"] += 1
            continue
        lps = np.diag([-1.0, -1, 1])
        matrix = lps @ np.array(other.GetDirection()).reshape(3, 3) @ np.diag(other.GetSpacing())
        same = np.allclose(matrix, image.affine[:3, :3], atol=1e-3) and np.allclose(
            lps @ other.GetOrigin(), image.affine[:3, 3], atol=1e-3
        )
        counts["as ITK" if same else "unlike ITK"] += 1
        if not same:
            bad.append(f"{[k for k in range(348) if content[k] != clean[k]]}")
    return counts, bad


def odd_outputs(manifest: Path, ward: Path, prepared: Path, work: Path) -> list[str]:
    """Name every odd place with -o; returns the commands that changed a file or ended without a sentence."""
    (ward / "link").symlink_to(ward / "patient1")
    odd = [
        ward,
        ward.parent,
        ward / "patient0",
        ward / "patient0" / "new",
        ward / "link",
        ward / "patient0" / "CT.nii.gz",
    ]
    commands = [
        ["scan", str(ward)],
        ["prepare", str(manifest), "--registered", "--jobs", "1"],
        ["infer", BUNDLE, str(prepared / "manifest.json")],
        ["train", BUNDLE, str(prepared / "manifest.json")],
        ["plan", str(prepared / "manifest.json"), "--bundle", BUNDLE],
        ["phantom", "--subjects", "1"],
        ["batch", BUNDLE, str(ward), "--jobs", "1"],
    ]
    before, bad = {folder: hashes(folder) for folder in (ward, prepared)}, []
    for command in commands:
        for out in [*odd, prepared, prepared / "sub-0"]:
            where = [command[0], str(out), *command[1:]] if command[0] == "phantom" else [*command, "-o", str(out)]
            ended = run(where)
            changed = [folder for folder in before if not before[folder].items() <= hashes(folder).items()]
            if changed or RAW.search(ended.printed):
                bad.append(f"{' '.join(where)}: {ended.printed[-200:]}")
            for folder in before:  # a manifest that was asked for in a folder of scans is new, and goes again
                for name in hashes(folder).keys() - before[folder].keys():
                    (folder / name).unlink()
    (ward / "link").unlink()
    return bad


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--manifests", type=int, default=300)
    parser.add_argument("--headers", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=("prepare", "worker", "infer", "train", "fuzz", "headers", "odd"))
    options = parser.parse_args()
    wanted = set(options.only or ("prepare", "worker", "infer", "train", "fuzz", "headers", "odd"))
    torch.set_num_threads(1)
    random.seed(options.seed)
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        ward = work / "ward"
        manifest = make(ward, 4)
        scans = hashes(ward)
        prepared = work / "prepared"
        ended = run(["prepare", str(manifest), "-o", str(prepared), "--registered", "--jobs", "1"])
        assert ended.status == 0, ended.printed
        ready = str(prepared / "manifest.json")
        prepare = ["prepare", str(manifest), "--registered", "--jobs"]
        image, mask, weights = r"\.nii\.gz$", r"_pred\.nii\.gz$", r"(model|last)\.pt$"
        tiny = ["--set", "roi_size=[16,16,16]", "--set", "max_epochs=2"]
        tasks = {
            "prepare": Task([*prepare, "1"], [*prepare, "1", "--protocol", "brain_mri"], "*/study.json", image),
            "worker": Task([*prepare, "2"], [*prepare, "2", "--protocol", "brain_mri"], "*/study.json", image),
            "infer": Task(["infer", BUNDLE, ready], ["infer", BUNDLE, ready, "--without", "T1"], "*_study.json", mask),
            "train": Task(["train", BUNDLE, ready, *tiny], [], "no-record", weights),
        }
        if wanted & set(tasks):
            print(
                "| disturbed | trials | cut short | raw sentences | mixed | finished studies | of them redone |", end=""
            )
            print(" not mended | other results | parts left |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for name, task in tasks.items():
            if name not in wanted:
                continue
            kill = worker_killed if name == "worker" else killed
            who = "its worker killed" if name == "worker" else "killed"
            plan = [(f"{name}, {who}, new folder", options.kills, kill, False)]
            if task.other:
                plan.append((f"{name}, {who}, over other results", options.kills, kill, True))
            if name != "worker":
                plan.append((f"{name}, disk full", options.disks, disk_full, False))
            for what, trials, disturb, old in plan:
                print(f"| {what} | {trials} | {disturbed(task, work, trials, disturb, old=old)} |", flush=True)
        if "fuzz" in wanted:
            bad = spoiled_manifests(manifest, work, options.manifests, rng)
            print(f"\n{options.manifests} spoiled manifests: {len(bad)} raw sentences", *sorted(set(bad)), sep="\n  ")
            bad = spoiled_tables(ward, work, options.manifests, rng)
            print(f"{options.manifests} spoiled tables: {len(bad)} raw sentences", *sorted(set(bad)), sep="\n  ")
        if "headers" in wanted:
            counts, bad = spoiled_headers(work, options.headers, rng)
            print(f"{options.headers} spoiled NIfTI headers: {dict(counts)}", *bad[:20], sep="\n  ")
        if "odd" in wanted:
            bad = odd_outputs(manifest, ward, prepared, work)
            print(f"odd outputs: {len(bad)} that changed a scan or ended raw", *bad, sep="\n  ")
        assert hashes(ward) == scans, "a scan was changed"


if __name__ == "__main__":
    main()
