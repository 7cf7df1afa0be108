"""A tracker's process that takes nothing and never ends."""

import signal

signal.pause()
