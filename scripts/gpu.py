"""Tries everything on a machine with one NVIDIA card, within ten minutes: `make gpu`.

    python scripts/gpu.py [--out gpu] [--minutes 10] [--only STEP ...] [--nanogpt CHECKOUT]
    python scripts/gpu.py --device cpu --rehearse    # small sizes, to see that every step works

Steps are made in order of worth, each a process with a time limit, and OUT/gpu.json holds the
machine and the figures of every step that was made: what one step does loses nothing of the others.
A step that is done is not made again, unless `--only` names it or the machine is another; so the
same command goes on. Nothing is downloaded if INKLINGS_TEST_DATA names the folder of the public
texts (tinyshakespeare/input.txt). It leaves with 1 if a step failed or there was no time for one,
and with 2 where there is no card. Until torch is installed, `--check` says whether there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpu_steps import ROOT, STEPS, Plan, Step, machine

RESULTS = "gpu.json"
GRACE = 5.0
"""Seconds that a step has to end once it is told to."""
LEAST = 15.0
"""Seconds that have to be left for a step to be begun."""


def has_driver() -> bool:
    """Whether this machine has NVIDIA's driver, as far as can be told without torch."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def card_problem(device: str) -> str | None:
    """Why nothing can be tried on a device; None where all can."""
    if device == "cpu":
        return None
    if not has_driver():
        return (
            "there is no NVIDIA card here: neither nvidia-smi nor its driver was found."
            " `--device cpu --rehearse` tries the steps in small on a CPU."
        )
    import torch

    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is a build without CUDA. `make gpu` installs the default"
            " build into an environment of its own, .venv-gpu."
        )
    if not torch.cuda.is_available():
        return (
            f"torch {torch.__version__} finds no card, though there is a driver: see what"
            " nvidia-smi says, and whether the driver is new enough for CUDA"
            f" {torch.version.cuda}."
        )
    return None


def run(step: Step, plan: Plan, seconds: float) -> dict[str, Any]:
    """Make a step, and end it with all that it started if it takes too long."""
    command, log = step.command(plan), plan.out / f"{step.name}.log"
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **_environment(plan), **step.environment(plan)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    made: dict[str, Any] = {
        "state": "done" if code == 0 else "too slow" if code is None else "failed",
        "exit": code,
        "seconds": round(time.perf_counter() - begin, 2),
        "limit": seconds,
        "command": command,
        "rehearsed": plan.rehearsed,
        "figures": None,
    }
    try:
        printed = log.read_text(encoding="utf-8", errors="replace")
        made["figures"] = step.read(plan.out, printed)
    except (ValueError, IndexError):
        if code == 0:
            made["state"] = "failed"
    return made


def _environment(plan: Plan) -> dict[str, str]:
    path = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(path),
        "INKLINGS_CACHE": str(plan.out / "cache"),
        # one thread feeds a GPU as fast as several, and tests want one
        "OMP_NUM_THREADS": "1",
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those of its session, which may be servers."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)  # at which tests still say what they found
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kept(path: Path, here: dict[str, Any]) -> dict[str, Any]:
    """The results of before, where they are of this machine."""
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if all(found["machine"].get(name) == here[name] for name in ("card", "device", "torch")):
            return found
        path.rename(path.with_name(f"gpu-{int(time.time())}.json"))
    return {"machine": here, "steps": {}}


def keep(path: Path, results: dict[str, Any]) -> None:
    """Write the results, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def is_done(results: dict[str, Any], step: Step, plan: Plan) -> bool:
    """Whether a step was made, and as it is to be made now."""
    made = results["steps"].get(step.name)
    return made is not None and made["state"] == "done" and made["command"] == step.command(plan)


def lay_out_texts(plan: Plan) -> None:
    """Put the public texts where downloads are kept, if they are here."""
    folder = os.environ.get("INKLINGS_TEST_DATA")
    if folder:
        from ledger_replay import lay_out_corpora

        lay_out_corpora(Path(folder), plan.out / "cache")


def main(arguments: list[str] | None = None) -> int:
    """Make the steps; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [step.name for step in STEPS]
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--minutes", type=float, default=10.0, help="for all steps together")
    parser.add_argument("--only", nargs="+", choices=names, default=[], help="make these, anew")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="small sizes; figures mean nothing")
    parser.add_argument("--check", action="store_true", help="only say whether there is a card")
    parser.add_argument("--list", action="store_true", help="only say what the steps are")
    options = parser.parse_args(arguments)
    if options.list:
        for step in STEPS:
            print(f"{step.name:12} at most {step.seconds:3.0f} s  {step.about}")
        return 0
    begin = time.monotonic()
    problem = None if options.check and has_driver() else card_problem(options.device)
    if problem is None and options.nanogpt and not (options.nanogpt / "train.py").is_file():
        problem = f"{options.nanogpt} has no train.py: give the folder of a checkout of nanoGPT."
    if problem is not None:
        print(f"make gpu: {problem}", file=sys.stderr)
        return 2
    if options.check:
        return 0
    nanogpt = None if options.nanogpt is None else options.nanogpt.resolve()
    plan = Plan(options.out.resolve(), options.device, nanogpt, options.rehearse)
    plan.out.mkdir(parents=True, exist_ok=True)
    lay_out_texts(plan)
    results = kept(plan.out / RESULTS, machine(plan.device))
    steps = [step for step in STEPS if not options.only or step.name in options.only]
    for step in steps:
        if is_done(results, step, plan) and not options.only:
            print(f"{step.name:12} done before", flush=True)
            continue
        left = 60 * options.minutes - (time.monotonic() - begin)
        if left < LEAST:
            print(f"{step.name:12} no time left; the same command goes on here", flush=True)
            continue
        print(f"{step.name:12} {step.about}", flush=True)
        limit = step.seconds * (10 if plan.rehearsed else 1)  # a CPU may be slow, and shared
        results["steps"][step.name] = run(step, plan, min(limit, left))
        keep(plan.out / RESULTS, results)
        made = results["steps"][step.name]
        print(f"{'':12} {made['state']} in {made['seconds']:.0f} s: {made['figures']}", flush=True)
    missing = [step.name for step in steps if not is_done(results, step, plan)]
    print(f"{plan.out / RESULTS}", flush=True)
    if missing:
        print(f"make gpu: not done: {', '.join(missing)}. See OUT/STEP.log.", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
