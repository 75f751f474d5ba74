"""Does a spoiled manifest or table end in a sentence? Never in one of Python's or of a library's.

python benchmarks/spoiled_tables.py [--trials 300]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from pathlib import Path

from trial import RAW, hashes, make, quietly

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


def main() -> None:
    """Print what was no sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        manifest = make(work / "ward", 4)
        scans = hashes(work / "ward")
        bad = spoiled_manifests(manifest, work, options.trials, rng)
        print(f"{options.trials} spoiled manifests: {len(bad)} raw sentences", *sorted(set(bad)), sep="\n  ")
        bad = spoiled_tables(work / "ward", work, options.trials, rng)
        print(f"{options.trials} spoiled tables: {len(bad)} raw sentences", *sorted(set(bad)), sep="\n  ")
        assert hashes(work / "ward") == scans, "a scan was changed"


if __name__ == "__main__":
    main()
