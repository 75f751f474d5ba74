"""Is a scan ever changed, whatever is named with ``-o``? Every command that writes is given every odd place.

python benchmarks/odd_outputs.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from trial import BUNDLE, RAW, hashes, interrupt_after, make, prepared, run


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
    ready = str(prepared / "manifest.json")
    answers = work / "answers"
    assert run(["infer", BUNDLE, ready, "-o", str(answers)]).status == 0
    commands = {  # "-o" stands for the place that is tried
        "scan": ["scan", str(ward), "-o"],
        "dataset": ["dataset", "brats_2021", str(ward), "-o"],
        "prepare": ["prepare", str(manifest), "--registered", "--jobs", "1", "-o"],
        "plan": ["plan", ready, "--bundle", BUNDLE, "-o"],
        "train": ["train", BUNDLE, ready, "--set", "roi_size=[16,16,16]", "--set", "max_epochs=1", "-o"],
        "compare": ["compare", str(ward / "patient0"), "-o"],
        "infer": ["infer", BUNDLE, ready, "-o"],
        "native": ["native", str(answers), "-o"],
        "dicom": ["dicom", str(answers), "-o"],
        "report": ["report", str(answers), "-o"],
        "batch": ["batch", BUNDLE, str(ward), "--jobs", "1", "-o"],
        "status": ["status", "--table"],
        "listen": ["listen", BUNDLE, "--port", "0", "-o"],
        "phantom": ["phantom", "--subjects", "1", "--modalities", "T1", "--"],
        "label-app": ["label-app"],
        "check-privacy": ["check-privacy"],
    }
    before, bad = {folder: hashes(folder) for folder in (ward, prepared)}, []
    for command in commands.values():
        for out in [*odd, prepared, prepared / "sub-0"]:
            where = [*command, str(out)]
            ended = run(where, meanwhile=interrupt_after(60))
            changed = [folder for folder in before if not before[folder].items() <= hashes(folder).items()]
            if changed or RAW.search(ended.printed):
                bad.append(f"{' '.join(where)}: {ended.printed[-200:]}")
            for folder in before:  # a manifest that was asked for in a folder of scans is new, and goes again
                for name in hashes(folder).keys() - before[folder].keys():
                    (folder / name).unlink()
    (ward / "link").unlink()
    return bad


def main() -> None:
    """Print the commands that changed a file or ended without a sentence."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        manifest = make(work / "ward", 4)
        prepared(manifest, work / "prepared")
        bad = odd_outputs(manifest, work / "ward", work / "prepared", work)
        print(f"odd outputs: {len(bad)} that changed a scan or ended raw", *bad, sep="\n  ")


if __name__ == "__main__":
    main()
