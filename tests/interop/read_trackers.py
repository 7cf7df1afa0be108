"""What a tracker holds, read by its own package.

In a process of its own, since packages read their folder from the environment when they are
imported: `python -m tests.interop.read_trackers NAME FOLDER` prints JSON, for each run its figures,
its settings and its group.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

Run = dict[str, Any]
BLOCK = 2**15


def of_tensorboard(folder: Path) -> dict[str, Run]:
    reading = import_module("tensorboard.backend.event_processing.event_accumulator")
    found = {}
    for place in sorted(folder.iterdir()):
        events = reading.EventAccumulator(str(place), size_guidance={"scalars": 0})
        events.Reload()
        figures = {
            name: [(point.step, point.value) for point in events.Scalars(name)]
            for name in events.Tags()["scalars"]
        }
        (text,) = events.Tensors("settings/text_summary")[-1].tensor_proto.string_val
        rows = [line.strip("| ").split(" | ") for line in text.decode().splitlines()[2:]]
        found[place.name] = {"figures": figures, "settings": dict(rows)}
    return found


def of_trackio(folder: Path) -> dict[str, Run]:
    os.environ |= {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1"}
    storage = import_module("trackio.sqlite_storage").SQLiteStorage
    found: dict[str, Run] = {}
    for name in storage.get_runs("inklings"):
        settings = storage.get_run_config("inklings", name)
        figures: dict[str, list[Any]] = {}
        for line in storage.get_logs("inklings", name):
            for key, value in line.items():
                if "/" in key:
                    figures.setdefault(key, []).append((line["step"], value))
        found[name] = {
            "figures": figures,
            "settings": settings,
            "group": settings["_Group"],
        }
    return found


def of_mlflow(folder: Path) -> dict[str, Run]:
    os.environ |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    client = import_module("mlflow").MlflowClient()
    found: dict[str, Run] = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            found[run.info.run_name] = {
                "figures": {
                    name: [
                        (m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)
                    ]
                    for name in run.data.metrics
                },
                "settings": run.data.params,
                "group": experiment.name,
                "status": run.info.status,
            }
    return found


def records(path: Path) -> Iterator[bytes]:
    """The records of a file of W&B, a log of LevelDB's after a header of 7 bytes."""
    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        part = data[place + 7 : place + 7 + size]
        if kind == 0 or len(part) < size:
            return
        whole += part
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def of_wandb(folder: Path) -> dict[str, Run]:
    messages = import_module("wandb.proto.wandb_internal_pb2")
    found: dict[str, Run] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        run: Run = {"figures": {}, "settings": {}}
        for data in records(path):
            record = messages.Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = found.setdefault(record.run.display_name, run)
                run |= {
                    "id": record.run.run_id,
                    "group": record.run.run_group or None,
                }
                for item in record.run.config.update:
                    run["settings"][item.key] = json.loads(item.value_json)
            elif kind == "history":
                values = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json)
                    for item in record.history.item
                }
                for name, value in values.items():
                    if "/" in name:
                        run["figures"].setdefault(name, []).append((values["_step"], value))
            elif kind == "exit":
                run["status"] = record.exit.exit_code
    return found


READERS = {
    "tensorboard": of_tensorboard,
    "trackio": of_trackio,
    "mlflow": of_mlflow,
    "wandb": of_wandb,
}


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        held = READERS[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(held))
