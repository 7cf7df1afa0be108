"""Starting processes of our own from whatever program imported the package."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Let processes that are spawned within the block not run the caller's own script again.

    Python would, to find functions of it; ours are all in the package. A script without
    `if __name__ == "__main__"` would begin its work anew in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
