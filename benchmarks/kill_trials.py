"""Is anything lost or mixed where commands are killed or meet full disks?

    python benchmarks/kill_trials.py [--kills 15] [--disks 10] [--only prepare worker parent infer train]

Each command runs in a fork of this process, which imports nothing anew, and its workers begin as they always do, from a
process that imports MONAI. After a kill -9 at a random moment, over a new folder or one that holds results of another
setting, the same command is given again: studies that were finished must stay as they are, nothing may be of the other
setting, and the results must be those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from trial import BUNDLE, RAW, Ended, has_ended, hashes, make, prepared, run


def kill_after(seconds: float) -> Callable[[int], None]:
    """Kill a command and all of its processes."""

    def kill(process: int) -> None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)

    return kill


def processes_of(session: int) -> dict[int, int]:
    """The processes that a command has begun and that live, each with its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            state, parent, _, of, *_ = (entry / "stat").read_text().rpartition(") ")[2].split()
            if state != "Z" and int(of) == session and entry.name != str(session):
                found[int(entry.name)] = int(parent)
    return found


def workers_of(session: int) -> set[int]:
    """The processes that work for a command: forks of the one that it has begun to import MONAI."""
    return {process for process, parent in processes_of(session).items() if parent != session}


def watch_workers(lives: list[float]) -> Callable[[int], None]:
    """Note for how many seconds a command has workers; nothing where it has none."""

    def watch(process: int) -> None:
        times = []
        while not has_ended(process):
            times += [time.monotonic()] if workers_of(process) else []
            time.sleep(0.02)
        lives.extend([times[-1] - times[0]] if times else [])

    return watch


def kill_the_parent(seconds: float) -> Callable[[int], None]:
    """Kill a command so long after its first worker has begun, and none of its processes, which must end by themselves.

    What lives on after ten seconds raises.
    """

    def kill(process: int) -> None:
        while not (workers_of(process) or has_ended(process)):
            time.sleep(0.02)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        until = time.monotonic() + 10
        while processes_of(process):
            assert time.monotonic() < until, "workers outlive their parent"
            time.sleep(0.02)

    return kill


def kill_a_worker(replaced: set[int], seconds: float) -> Callable[[int], None]:
    """Kill one of a command's workers, so long after the first has begun, and note those that begin in its stead."""

    def kill(process: int) -> None:
        while not workers_of(process):
            if has_ended(process):
                return
            time.sleep(0.02)
        time.sleep(seconds)
        found = workers_of(process)
        if found:
            os.kill(random.choice(sorted(found)), signal.SIGKILL)
        while not has_ended(process):
            replaced.update(workers_of(process) - found if found else ())
            time.sleep(0.02)

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
    lives: list[float] = []
    undisturbed = run(task.of(whole), meanwhile=watch_workers(lives))
    seconds = max(lives, default=undisturbed.seconds)  # in which it can be disturbed
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
        ended = disturb(task, out, seconds)
        counts["cut short"] += ended.cut_short
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
    """Kill a worker; what it had goes on in another, so that the run ends well: cut short counts those."""
    replaced: set[int] = set()
    early = random.uniform(0, seconds / 2)  # the run that was timed, the first, takes longest
    ended = run(task.of(out), meanwhile=kill_a_worker(replaced, early))
    return replace(ended, cut_short=bool(replaced))


def parent_killed(task: Task, out: Path, seconds: float) -> Ended:
    return run(task.of(out), meanwhile=kill_the_parent(random.uniform(0, seconds)))


def disk_full(task: Task, out: Path, seconds: float) -> Ended:
    return run(task.of(out), largest_file=int(10 ** random.uniform(2, 4.3)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=("prepare", "worker", "parent", "infer", "train", "restart"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        manifest = make(work / "ward", 4)
        scans = hashes(work / "ward")
        ready = str(prepared(manifest, work / "prepared"))
        prepare = ["prepare", str(manifest), "--registered", "--jobs"]
        # Of infer with probabilities, since masks of a made ward may be empty; not earlier answers, which it keeps.
        image, answer, weights = r"\.nii\.gz$", r"(?<!_earlier\d)_(pred|prob)\.nii\.gz$", r"(model|last)\.pt$"
        infer = ["infer", BUNDLE, ready, "--probabilities"]
        tiny = ["--set", "roi_size=[16,16,16]", "--set", "max_epochs=2"]
        by_two = Task([*prepare, "2"], [*prepare, "2", "--protocol", "brain_mri"], "*/study.json", image)
        tasks = {
            "prepare": Task([*prepare, "1"], [*prepare, "1", "--protocol", "brain_mri"], "*/study.json", image),
            "worker": by_two,
            "parent": by_two,
            "infer": Task(infer, [*infer, "--without", "T1"], "*_study.json", answer),
            "train": Task(["train", BUNDLE, ready, *tiny], [], "no-record", weights),
            "restart": Task(
                ["train", BUNDLE, ready, *tiny, "--restart"],
                ["train", BUNDLE, ready, *tiny[:3], "max_epochs=1"],
                "no-record",
                weights,
            ),
        }
        print("| disturbed | trials | cut short | raw sentences | mixed | finished studies | of them redone |", end="")
        print(" not mended | other results | parts left |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for name, task in tasks.items():
            if options.only and name not in options.only:
                continue
            by_name = {"worker": (worker_killed, "its worker killed"), "parent": (parent_killed, "it alone killed")}
            kill, who = by_name.get(name, (killed, "killed"))
            plan = [(f"{name}, {who}, new folder", options.kills, kill, False)] if name != "restart" else []
            if task.other:
                plan.append((f"{name}, {who}, over other results", options.kills, kill, True))
            if name not in ("worker", "parent", "restart"):
                plan.append((f"{name}, disk full", options.disks, disk_full, False))
            for what, trials, disturb, old in plan:
                print(f"| {what} | {trials} | {disturbed(task, work, trials, disturb, old=old)} |", flush=True)
        assert hashes(work / "ward") == scans, "a scan was changed"


if __name__ == "__main__":
    main()
