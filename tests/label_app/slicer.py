"""What 3D Slicer's plug-in does with a server, by MONAI Label's own client, which the plug-in is built on.

Run in the label environment: ``python slicer.py URL MODEL CLASSIFIER SCAN FOLDER``; prints JSON of what it saw.
"""

import json
import sys
from pathlib import Path

from monailabel.client import MONAILabelClient

url, model, classifier, scan, folder = sys.argv[1:]
client = MONAILabelClient(url, tmpdir=folder, client_id="viewer")
seen = {"models": sorted(client.info()["models"])}
sample = client.next_sample("random", {})
while sample["id"] in ("sub-004", "sub-006", "sub-pictures"):  # which this model cannot answer for
    sample = client.next_sample("random", {})
mask, params = client.infer(model, sample["id"], {})
seen["mask"], seen["modalities"] = Path(mask).suffixes, params["modalities"]
labels = [{"name": name, "idx": value} for name, value in client.info()["models"][model]["labels"].items()]
seen["saved"] = client.save_label(sample["id"], mask, "final", {"label_info": labels})["label"] == sample["id"]
Path(client.download_label(sample["id"], "final")).stat()
session = client.create_session(scan)["session_id"]
client.get_session(session)
mask, params = client.infer(model, "", {}, session_id=session)
seen["session"] = params["modalities"]
client.remove_session(session)
_, params = client.infer(classifier, sample["id"], {})
seen["prediction"] = [entry["label"] for entry in params["prediction"]]
seen["studies"] = len(client.datastore()["objects"])
seen["training"] = client.train_status(check_if_running=True)
print(json.dumps(seen))
