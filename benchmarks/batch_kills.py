"""Is anything lost where a batch or a listener is killed with -9 at a random moment, or its disk is full?

    python benchmarks/batch_kills.py --trials 30 --work /tmp/kills

Killed are the run, a worker, the scheduler of a Dask cluster that does the run, and the listener. The disk is a small
ext4 file system on a loop device, which another process fills at a random moment (root may mount it). A batch is
disturbed while the kernel's locks say that a study is worked on; where it was done before, the trial counts nothing and
is drawn anew. Then the same is done again, in this process, and all must be as after an undisturbed run; studies that
were finished must not be done again. Meanwhile a thread reads each new file under its own name to the end. What is
killed are forks of this process, so that nothing is imported twice, but for what a cluster runs.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import torch
from batch_runs import BUNDLE, SHAPE, answers_at, at_work, cluster, free_port, make, outcome, start
from trial import RAW, has_ended, run

from polyscan.batch import batch
from polyscan.batch.executors import local
from polyscan.hospital import listen

STUDIES, DISK, QUIET = 10, 96, 2.0  # of a batch; MB; seconds until a study is complete
PACE = 0.1  # seconds from one image to the next


class Reader(threading.Thread):
    """Reads each file under its own name to the end as soon as it is there, over and over, once it is started.

    It is started behind a fork, which must not have two threads.

    Attributes:
        seen: how many files were read.
        half: those that could not be read to the end.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(daemon=True)
        self.out, self.ended = out, threading.Event()
        self.seen, self.half, self._known = 0, list[str](), set[tuple[str, int, int]]()

    def run(self) -> None:
        """Look until told to end, and once more."""
        while not self.ended.wait(0.1):
            self._look()
        self._look()

    def end(self) -> None:
        """Look once more and stop."""
        self.ended.set()
        self.join()

    def _look(self) -> None:
        every = (Path(folder, name) for folder, _, names in os.walk(self.out) for name in names)
        for path in every:  # of folders that go meanwhile too, where rglob ends with an error
            inside = path.relative_to(self.out).parts
            if any(part.startswith(".") for part in inside) or inside[0] == "locks":
                continue
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                state = path.stat()
                known = (str(path), state.st_mtime_ns, state.st_ino)
                if known not in self._known:
                    self._known.add(known)
                    self._read(path)

    def _read(self, path: Path) -> None:
        try:
            if path.name.endswith(".nii.gz"):
                volume = nibabel.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes()))
                assert np.isfinite(np.asarray(volume.dataobj)).any()
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".csv":
                assert path.read_text().endswith("\n")
            elif path.suffix == ".dcm":
                image = pydicom.dcmread(path)
                bits = image.get("Rows", 0) * image.get("Columns", 0) * image.get("NumberOfFrames", 1)
                assert 8 * len(image.get("PixelData", b"")) >= bits * image.get("BitsAllocated", 0)
            else:
                return
            self.seen += 1
        except FileNotFoundError:
            raise
        except Exception as error:
            self.half.append(f"{path.name}: {type(error).__name__}")


def words(ward: Path, out: Path, jobs: int) -> list[str]:
    """The command."""
    return ["batch", BUNDLE, str(ward), "-o", str(out), "--registered", "--no-pages", "--jobs", str(jobs)]


def in_work(out: Path, ended: Callable[[], bool], seconds: float) -> dict[str, int]:
    """Wait for the first study, then so long, then until a study is worked on; which, by whom. Empty: it is done."""
    while not ended() and not at_work(out):
        time.sleep(0.02)
    until = time.monotonic() + seconds
    while not ended() and (time.monotonic() < until or not at_work(out)):
        time.sleep(0.005)
    return {} if ended() else at_work(out)


def kill_run(ward: Path, out: Path, seconds: float, chance: random.Random, reader: Reader) -> int:
    """Kill the run; its workers, if it has any, end by themselves. Returns how many studies were worked on."""
    found: dict[str, int] = {}

    def kill(process: int) -> None:
        reader.start()
        found.update(in_work(out, lambda: has_ended(process), seconds))
        os.kill(process, signal.SIGKILL)

    ended = run(words(ward, out, chance.choice((1, 2))), meanwhile=kill)
    assert ended.status in (-signal.SIGKILL, 3), ended.printed  # a study is faulty
    return len(found)


def kill_worker(ward: Path, out: Path, seconds: float, chance: random.Random, reader: Reader) -> int:
    """Kill the process that works on a study; the run tries that again by itself."""
    found: dict[str, int] = {}

    def kill(process: int) -> None:
        reader.start()
        found.update(in_work(out, lambda: has_ended(process), seconds))
        if found:
            os.kill(chance.choice(list(found.values())), signal.SIGKILL)

    ended = run(words(ward, out, 2), meanwhile=kill)
    assert ended.status == 3, ended.printed
    return min(len(found), 1)


def kill_scheduler(ward: Path, out: Path, seconds: float, _: random.Random, reader: Reader) -> int:
    """Kill the scheduler of a cluster; its workers and the run cannot go on."""
    with cluster() as (address, scheduler):
        started = start(ward, out, "--dask", address)
        reader.start()
        found = in_work(out, lambda: started.poll() is not None, seconds)
        scheduler.kill()
        started.wait(300)
    return len(found)


def fill_disk(ward: Path, out: Path, seconds: float, _: random.Random, reader: Reader) -> int:
    """Leave no byte free on the disk that it writes to; the run must end, and goes on once there is room."""
    found, filler = dict[str, int](), out.parent / "filler"

    def fill(process: int) -> None:
        reader.start()
        found.update(in_work(out, lambda: has_ended(process), seconds))
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    ended = run(words(ward, out, 1), meanwhile=fill)
    filler.unlink()
    assert not RAW.search(ended.printed), ended.printed
    return len(found) if ended.status == 1 else 0


@contextlib.contextmanager
def small_disk(work: Path) -> Iterator[Path]:
    """An ext4 file system of some megabytes."""
    image, place = work / "disk.img", work / "disk"
    with image.open("wb") as file:
        file.truncate(DISK * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        image.unlink()


def disturbed(
    disturb: Callable[..., int], ward: Path, out: Path, seconds: float, chance: random.Random
) -> Counter[str]:
    """A batch that is disturbed and given again: what was counted."""
    reader = Reader(out)
    cut = disturb(ward, out, chance.uniform(0, seconds), chance, reader)
    records = {path: path.stat().st_mtime_ns for path in out.glob("records/[!.]*.json")}
    again(ward, out)
    reader.end()
    redone = sum(path.stat().st_mtime_ns != when for path, when in records.items())
    return Counter(cut=cut, finished=len(records), redone=redone, read=reader.seen, half=len(reader.half))


def again(ward: Path, out: Path) -> None:
    """The same command, in this process."""
    batch(BUNDLE, ward, out, registered=True, pages=False, executor=partial(local, jobs=1))


@contextlib.contextmanager
def listening(out: Path, port: int) -> Iterator[None]:
    """A listener in this process."""
    stop = threading.Event()
    options = {"port": port, "host": "127.0.0.1", "quiet": QUIET, "reserve": 10**6, "stop": stop}
    thread = threading.Thread(target=listen, args=(BUNDLE, out), kwargs=options)
    thread.start()
    try:
        while not answers_at(port):
            assert thread.is_alive()
            time.sleep(0.1)
        yield
    finally:
        stop.set()
        thread.join()


def send(files: list[Path], port: int, confirmed: set[Path]) -> None:
    """Send images one by one, and note those that the listener confirmed; end where it does."""
    from pynetdicom import AE
    from pynetdicom.presentation import StoragePresentationContexts

    entity = AE("SCANNER")
    entity.requested_contexts = StoragePresentationContexts
    association = entity.associate("127.0.0.1", port)
    for file in files:
        try:
            if association.send_c_store(pydicom.dcmread(file)).get("Status") == 0:
                confirmed.add(file)
        except (RuntimeError, ValueError):  # the connection is lost
            return
        time.sleep(PACE)
    association.release()


def delivered(out: Path, studies: int) -> bool:
    """Whether all images came and each study has its objects."""
    found = [json.loads(path.read_text()) for path in out.glob("deliveries/[!.]*.json")]
    whole = len(list(out.glob("spool/*/[!.]*.dcm"))) == studies * SHAPE[2]
    return whole and sum(bool(one.get("objects")) for one in found) == studies and not is_due(out)


def is_due(out: Path) -> bool:
    """Whether an image came after the answer for its study, which is to be made anew."""
    newest = {folder.name: max(file.stat().st_mtime for file in folder.iterdir()) for folder in out.glob("spool/*")}
    return any(path.stat().st_mtime < newest[path.stem] for path in out.glob("deliveries/[!.]*.json"))


def heard(out: Path) -> dict[str, object]:
    """What a listener has in the end: images and masks by their bytes, and what it would send."""
    images = {path.name: path.read_bytes() for path in out.glob("spool/*/[!.]*.dcm")}
    masks = {path.name: path.read_bytes() for path in out.glob("predictions/[!.]*")}
    return {**images, **masks, "objects": sorted(str(path.relative_to(out)) for path in out.glob("objects/*/[!.]*"))}


def kill_listener(files: list[Path], out: Path, seconds: float) -> Counter[str]:
    """Kill a listener so long after the first image; it is started again, and what it did not confirm is sent again."""
    studies, port, confirmed, cut = len(files) // SHAPE[2], free_port(), set[Path](), []
    sending, reader = threading.Thread(target=send, args=(files, port, confirmed)), Reader(out)

    def kill(process: int) -> None:
        reader.start()
        while not answers_at(port):
            assert not has_ended(process)
            time.sleep(0.1)
        sending.start()
        time.sleep(seconds)
        cut.append(not delivered(out, studies))
        os.kill(process, signal.SIGKILL)

    command = ["listen", BUNDLE, "-o", str(out), "--host", "127.0.0.1", "--port", str(port)]
    run([*command, "--quiet", str(QUIET), "--reserve", "0.001"], meanwhile=kill)
    sending.join()
    kept, came = {path.stem for path in out.glob("spool/*/[!.]*.dcm")}, len(confirmed)
    lost = sum(str(pydicom.dcmread(file).SOPInstanceUID) not in kept for file in confirmed)
    with listening(out, port):
        send([file for file in files if file not in confirmed], port, confirmed)
        while not delivered(out, studies):
            time.sleep(0.2)
    reader.end()
    return Counter(cut=sum(cut), finished=came, redone=lost, read=reader.seen, half=len(reader.half))


def main() -> None:
    """Print a line a trial, then the table."""
    kinds: dict[str, Callable[..., int]] = {
        "run": kill_run,
        "worker": kill_worker,
        "scheduler": kill_scheduler,
        "disk": fill_disk,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30, help="that cut something, shared out among the kinds")
    parser.add_argument("--only", nargs="+", default=[*kinds, "listener"], choices=[*kinds, "listener"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, required=True, help="a new folder")
    options = parser.parse_args()
    ward, work, chance = options.work / "ward", options.work, random.Random(options.seed)
    make(ward, STUDIES)
    torch.set_num_threads(1)
    begun = time.time()
    again(ward, work / "whole")
    expected = outcome(work / "whole")
    times = sorted(path.stat().st_mtime for path in (work / "whole").glob("records/[!.]*.json"))
    seconds = times[-1] - times[0]
    print(
        f"undisturbed: {len(times)} records in {time.time() - begun:.0f} s, from first to last {seconds:.1f} s",
        flush=True,
    )
    images = [file for name in ("G0001", "G0003") for file in sorted((ward / name / "CT").glob("*.dcm"))]
    if "listener" in options.only:
        port, ears = free_port(), work / "heard"
        with listening(ears, port):
            begun = time.time()
            send(images, port, set())
            while not delivered(ears, 2):
                time.sleep(0.2)
            of_listener, expected_of_listener = time.time() - begun, heard(ears)
        print(f"undisturbed listener: two studies in {of_listener:.1f} s", flush=True)
    told: dict[str, Counter[str]] = defaultdict(Counter)
    with small_disk(work) if "disk" in options.only else contextlib.nullcontext() as disk:
        for number in range(options.trials):
            kind = options.only[number % len(options.only)]
            while True:
                out = (disk if kind == "disk" else work) / f"{kind}{number}"
                if kind == "listener":
                    counted = kill_listener(images, out, chance.uniform(0, of_listener))
                    same = heard(out) == expected_of_listener
                else:
                    counted = disturbed(kinds[kind], ward, out, seconds, chance)
                    same = outcome(out) == expected
                shutil.rmtree(out)
                if counted["cut"]:
                    break
                told[kind]["void"] += 1
                print(f"  {kind}: cut nothing, drawn anew", flush=True)
            told[kind] += counted + Counter(trials=1, same=same)
            print(f"  {number + 1} {kind}: {'the same' if same else 'OTHER'}, {dict(counted)}", flush=True)
    print(
        "\n| killed | trials | studies cut | drawn anew | finished before | of them lost or redone | files read |",
        end="",
    )
    print(" half files | the same in the end |\n|---|---|---|---|---|---|---|---|---|")
    for kind, count in told.items():
        names = ("trials", "cut", "void", "finished", "redone", "read", "half", "same")
        print(f"| {kind} | {' | '.join(str(count[name]) for name in names)} |")


if __name__ == "__main__":
    main()
