"""Write the configs of every bundle: ``python bundles/make.py``.

A bundle must be whole by itself: MONAI Label and the Model Zoo read one flat file. So what bundles have in common
stands once, in ``parts/every.json`` and in that of its ``kind``, ``segmentation.json``, ``classification.json`` or
``survival.json``; what makes a bundle itself stands in ``parts/<bundle>.json``, and names it. This merges them. In
each part, ``shared`` goes into train and inference alike. A later part replaces what an earlier one says, entry by
entry; lists are replaced whole.

So that a bundle need not repeat a list to change one transform, lists are put together from named ``groups``:
``{"_group_": "load"}`` in a list stands for the entries of the group ``load``, each with what else stands beside
``_group_``. A bundle that replaces a group changes every list that names it. Written configs hold no groups.

What metadata say of channels and labels is derived from modalities, and from regions, tasks or horizons.

A name that a part misspells would change nothing and be missed by nobody, so that what nothing reads is refused: a
section, a group that no list names, an entry that no other refers to.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

BUNDLES = Path(__file__).resolve().parent
PARTS = BUNDLES / "parts"
CONFIGS = ("train", "inference", "evaluate", "multi_gpu_train", "metadata")
KINDS = ("segmentation", "classification", "survival")


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
    return sorted(path.stem for path in PARTS.glob("*.json") if path.stem not in ("every", *KINDS))


def configs(name: str) -> dict[str, Any]:
    """The configs of a bundle, by the name of the file."""
    own = read(name)
    if own.get("kind") not in KINDS:
        raise ValueError(f"parts/{name}.json is of the kind {own.get('kind')!r}; expected one of {', '.join(KINDS)}.")
    parts = [read("every"), read(own["kind"]), own]
    written: dict[str, Any] = {}
    for config in CONFIGS:
        layers = [part.get(section, {}) for section in sections(config) for part in parts]
        for layer in layers:
            merge(written.setdefault(config, {}), layer)
        written[config] = expand(written[config], written[config].pop("groups", {}))
    describe(written["metadata"], written["inference"])
    check(f"parts/{name}.json", own, parts[:2], written)
    return written


def check(file: str, own: dict[str, Any], common: list[dict[str, Any]], written: dict[str, Any]) -> None:
    """Refuse what a part says and nothing reads.

    Raises:
        ValueError: there is such a section, group or entry.
    """
    known = ("kind", "shared", *CONFIGS)
    if unknown := sorted(set(own) - set(known)):
        raise ValueError(f"{file} has the section {', '.join(unknown)}; expected some of {', '.join(known)}.")
    changeable = {entry for part in common for section in known[1:] for entry in part.get(section, {})}
    named = set(re.findall(r'"_group_": "(\w+)"', json.dumps([*common, own])))
    referred = set(re.findall(r"@(\w+)", json.dumps(written)))
    for section in own.keys() - {"kind", "metadata"}:
        if unread := sorted(set(own[section].get("groups", {})) - named):
            raise ValueError(
                f"{file} has the group {', '.join(unread)}, which no list names: {', '.join(sorted(named))}."
            )
        if unread := sorted(set(own[section]) - changeable - referred - {"groups"}):
            raise ValueError(f"{file} has the entry {', '.join(unread)} under {section}, to which nothing refers.")


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


def expand(value: Any, groups: dict[str, list[Any]]) -> Any:
    """A copy with the entries of groups in place of ``{"_group_": name}``."""
    if isinstance(value, dict):
        return {key: expand(each, groups) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    entries: list[Any] = []
    for each in value:
        if isinstance(each, dict) and "_group_" in each:
            beside = {key: other for key, other in each.items() if key != "_group_"}
            if each["_group_"] not in groups:
                raise ValueError(f"a list names the group {each['_group_']}; there are {', '.join(sorted(groups))}.")
            members = expand(groups[each["_group_"]], groups)
            entries += [{**member, **beside} if beside else member for member in members]
        else:
            entries.append(expand(each, groups))
    return entries


def describe(metadata: dict[str, Any], config: dict[str, Any]) -> None:
    """Add to metadata what follows from the modalities, and the regions, tasks or horizons, of a bundle's config."""
    channels = [name for name in config["modalities"] for _ in range(config["network_def"].get("in_channels", 1))]
    outputs = [f"{task} {name}" for task, names in config.get("tasks", {}).items() for name in names]
    outputs += config.get("regions", {})
    if "horizons" in config:
        outputs += ["log risk", *(f"log cumulative hazard at {time:g}" for time in config["horizons"])]
    formats = metadata.pop("network_data_format")  # comes last, as it is long
    for part, names in ((formats["inputs"]["image"], channels), (formats["outputs"]["pred"], outputs)):
        part["num_channels"], part["channel_def"] = len(names), {str(k): name for k, name in enumerate(names)}
    absent = "a channel of NaN is a modality that was not acquired"
    metadata.setdefault("image_classes", f"{_numbered(channels)}; {absent}")
    metadata["pred_classes"] = _numbered(outputs)
    labels = metadata.pop("label_names", None) or label_names(config.get("regions", {}))
    if labels:
        metadata["label_classes"] = ", ".join(f"{value} {name}" for value, name in labels.items())
    metadata["network_data_format"] = formats


def label_names(regions: dict[str, list[int]]) -> dict[int, str]:
    """Value of a label map to the region that it alone makes up.

    Raises:
        ValueError: regions share values; a part then names each under ``label_names`` of its metadata.
    """
    names = {values[0]: region for region, values in regions.items()}
    if any(len(values) != 1 for values in regions.values()) or len(names) != len(regions):
        raise ValueError(f"Regions {regions} share values; name each value under metadata, label_names.")
    return names


def _numbered(names: list[str]) -> str:
    return ", ".join(f"channel {k}: {name}" for k, name in enumerate(names))


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
