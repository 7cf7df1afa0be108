"""The process of one tracker: events come in as lines of JSON, until the input ends.

What a package prints, sets up or breaks here does not touch the training.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from inklings.interop.trackers.run_logs import RunLogs
from inklings.interop.trackers.tracker import TRACKERS


def main(arguments: Sequence[str]) -> None:
    """Write down the events of the standard input.

    Args:
        arguments: the tracker's name, the folder that it writes to, and the group of the runs,
            which may be empty.
    """
    name, folder, group = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    logs = RunLogs(TRACKERS[name], Path(folder), group=group or None)
    for line in sys.stdin:
        logs.take(json.loads(line))
    logs.close()


if __name__ == "__main__":
    main(sys.argv[1:])
