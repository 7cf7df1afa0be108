"""A model served from a thread of the test's own process, which starts in no time."""

from __future__ import annotations

import multiprocessing
import threading
from multiprocessing.connection import Connection

from inklings.runs.directory import RunDirectory
from inklings.serving.process import worker
from inklings.serving.process.model_loader import Spec
from inklings.serving.process.process_pool import Served, start
from inklings.serving.settings import ServeConfig


class EngineThread:
    """The home of an engine, beside the one that has a process."""

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread

    def end(self, patience: float) -> str:
        self.thread.join(patience)
        return "its thread goes on" if self.thread.is_alive() else "its thread ended"


def in_thread(spec: Spec) -> tuple[Connection, EngineThread]:
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=worker.work, args=(theirs, spec), daemon=True)
    thread.start()
    return ours, EngineThread(thread)


async def start_in_thread(name: str, run: RunDirectory, config: ServeConfig) -> Served:
    (served,) = await start({name: run}, config, launch=in_thread)
    return served
