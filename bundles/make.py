"""Write the configs of every bundle: ``python bundles/make.py``.

A bundle must be whole by itself: MONAI Label and the Model Zoo read one flat file. So what bundles have in common
stands once, in ``parts/every.json`` and in ``parts/segmentation.json`` or ``parts/classification.json``; what makes
a bundle itself stands in ``parts/<bundle>.json``, and names the second as its ``kind``. This lays them over each
other. In each part, ``shared`` goes into train and inference alike. A later part replaces what an earlier one says,
entry by entry; lists are replaced whole.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

BUNDLES = Path(__file__).resolve().parent
PARTS = BUNDLES / "parts"
CONFIGS = ("train", "inference", "evaluate", "multi_gpu_train", "metadata")
COMMON = {"every", "segmentation", "classification"}


def main() -> None:
    """Write every bundle's configs, and the files that are the same in all."""
    for name in names():
        folder = BUNDLES / name
        (folder / "configs").mkdir(parents=True, exist_ok=True)
        for config, content in configs(name).items():
            (folder / "configs" / f"{config}.json").write_text(as_text(content), encoding="utf-8")
        shutil.copyfile(PARTS / "logging.conf", folder / "configs" / "logging.conf")
        shutil.copyfile(BUNDLES.parent / "LICENSE", folder / "LICENSE")


def names() -> list[str]:
    """Every bundle."""
    return sorted(path.stem for path in PARTS.glob("*.json") if path.stem not in COMMON)


def configs(name: str) -> dict[str, Any]:
    """The configs of a bundle, by the name of the file."""
    own = read(name)
    parts = [read("every"), read(own["kind"]), own]
    written: dict[str, Any] = {}
    for config in CONFIGS:
        layers = [part.get(section, {}) for section in sections(config) for part in parts]
        for layer in layers:
            merge(written.setdefault(config, {}), layer)
    return written


def sections(config: str) -> list[str]:
    """What of a part goes into a config."""
    return ["shared", config] if config in ("train", "inference") else [config]


def merge(under: dict[str, Any], over: dict[str, Any]) -> None:
    """Lay one dictionary over another, entry by entry."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict) and "_target_" not in value:
            merge(under[key], value)
        else:
            under[key] = json.loads(json.dumps(value))


def read(part: str) -> dict[str, Any]:
    """A part."""
    content: dict[str, Any] = json.loads((PARTS / f"{part}.json").read_text(encoding="utf-8"))
    return content


def as_text(content: Any) -> str:
    """JSON as people read it: short lists on one line."""
    return _text(content, 0) + "\n"


def _text(value: Any, depth: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or (len(line) + 4 * depth < 100 and isinstance(value, list)):
        return line
    inner, outer = "    " * (depth + 1), "    " * depth
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _text(v, depth + 1) for v in value) + f"\n{outer}]"
    rows = (f"{inner}{json.dumps(k, ensure_ascii=False)}: {_text(v, depth + 1)}" for k, v in value.items())
    return "{\n" + ",\n".join(rows) + f"\n{outer}}}"


if __name__ == "__main__":
    main()
