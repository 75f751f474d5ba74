"""What 3D Slicer's plug-in does with a server: by its own client, with every parameter that its code passes.

Run in the label environment: ``python slicer.py CLIENT URL MODEL CLASSIFIER SCAN FOLDER``, where CLIENT is the
plug-in's ``client.py`` as MONAI Label's wheel brings it; prints JSON of what it saw.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import SimpleITK as sitk

file, url, model, classifier, scan, folder = sys.argv[1:]
found = importlib.util.spec_from_file_location("client", file)
plugin = importlib.util.module_from_spec(found)
found.loader.exec_module(plugin)
client = plugin.MONAILabelClient(url, tmpdir=folder, client_id="viewer")
info, seen = client.info(), {"file": plugin.__file__}


def configured(section, name):
    """``getParamsFromConfig`` of the plug-in."""
    return {k: v[0] if isinstance(v, list) else v for k, v in info[section][name]["config"].items()}


def infer(name, image, **where):
    """``infer`` of the plug-in's logic."""
    asked = {**configured("models", name), "result_extension": ".nrrd", "result_dtype": "uint8"}
    return client.infer(name, image, asked, None, None, where.get("session_id"))


def segments(mask, params):
    """``updateSegmentationMask`` and Slicer's import of a label map: the number of a name is its place, from 1."""
    names = [name for name, _ in sorted(params["label_names"].items(), key=lambda one: one[1])]
    values = sitk.GetArrayFromImage(sitk.ReadImage(mask))
    return {name: int((values == place).sum()) for place, name in enumerate(names, 1)}


seen["login"] = client.auth_enabled()
seen["models"] = sorted(info["models"])
seen["labels"] = info["labels"]
for strategy in info["strategies"]:
    seen[strategy] = client.next_sample(strategy, {**configured("strategies", strategy), "model": model, "limit": 1})
mask, params = infer(model, "sub-002")
seen["mask"], seen["segments"] = Path(mask).suffixes, segments(mask, params)
seen["label_names"], seen["millilitres"] = params["label_names"], params["millilitres"]
names = [{"name": name, "idx": place} for place, name in enumerate(info["labels"], 1)]
client.save_label("sub-002", mask, params={"label_info": names})
back = sitk.ReadImage(client.download_label("sub-002", "final"))
seen["saved"] = bool((sitk.GetArrayFromImage(back) == sitk.GetArrayFromImage(sitk.ReadImage(mask))).all())
seen["told"] = client.datastore()["objects"]["sub-002"]["labels"]["final"]["info"]["labels"]

open_volume = Path(folder) / "tmp1a2b3c4d.nii.gz"  # what the plug-in calls the volume that is open
shutil.copyfile(scan, open_volume)
session = client.create_session(str(open_volume))["session_id"]
client.get_session(session)
mask, params = infer(model, "MRBrainTumor1", session_id=session)
seen["session"] = [params["modalities"], params["assumed"], segments(mask, params)]
client.remove_session(session)
client.upload_image(str(open_volume), "MRHead3")
mask, params = infer(model, "MRHead3")
seen["uploaded"] = [params["modalities"], segments(mask, params)]
client.save_label("MRHead3", mask, params={"label_info": names})
seen["kept"] = Path(client.download_label("MRHead3", "final")).suffixes

_, params = client.infer(classifier, "sub-002", configured("models", classifier))
seen["prediction"] = [entry["label"] for entry in params["prediction"]]
seen["training"] = client.train_start(model, {**configured("trainers", model), "max_epochs": 1})["status"]
seen["running"] = client.train_status(check_if_running=True), client.train_status()["status"]
seen["stopped"] = client.train_stop()
print(json.dumps(seen))
