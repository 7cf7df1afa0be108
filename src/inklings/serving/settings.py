"""Settings of a server: where it listens, who may ask, and all limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal

from inklings.device import choose_device
from inklings.errors import ConfigError
from inklings.serving.api.origins import check_origins
from inklings.values import check, check_types


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Settings of `inklings serve`."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but this machine itself needs a key."""
    port: int = 8000
    """Port to listen on; 0 takes any free one."""
    key: str | None = field(default=None, repr=False)
    """What clients must show as `Authorization: Bearer KEY`; never logged."""
    allow_origin: tuple[str, ...] = ()
    """Origins whose pages a browser lets ask, such as http://localhost:3000; `*` lets the pages of
    every site.
    """
    workers: int = 1
    """Processes of each model."""
    rows: int = 64
    """Texts that one process reads and writes side by side."""
    queue: int = 256
    """Texts of one model that may wait beyond those."""
    max_body_bytes: int = 1_000_000
    max_prompt_tokens: int = 16_384
    max_new_tokens: int = 4_096
    max_samples: int = 16
    """Texts that one request may ask for: `n`, or prompts times `n`."""
    receive_timeout: float = 30.0
    """Seconds in which a request must arrive, head and body, and in which a client must read some
    of what waits for it.
    """
    timeout: float = 300.0
    """Seconds that one request may take."""
    memory: bool = True
    """Whether the long-term memories of runs are read."""
    grace: float = 30.0
    """Seconds in which a server that is told to stop finishes what is running."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Precision of the weights. With bfloat16 the same seed may give another text beside other
    requests.
    """

    device: str = "cpu"
    """Where models compute: cpu, cuda, cuda:N, mps, or auto for a GPU where there is one."""

    def __post_init__(self) -> None:
        check_types(self)
        choose_device(self.device)
        check(self, "port", 0 <= self.port <= 65_535, "0 to 65535")
        for name in (
            "workers",
            "rows",
            "max_body_bytes",
            "max_prompt_tokens",
            "max_new_tokens",
            "max_samples",
        ):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        check(self, "queue", self.queue >= 0, "0 or more")
        check_origins(self.allow_origin)
        for name in ("receive_timeout", "timeout", "grace"):
            check(
                self,
                name,
                0 < getattr(self, name) <= 86_400,
                "more than 0 seconds and at most a day",
            )
        if self.key is not None and (
            len(self.key) < 8
            or not self.key.isascii()
            or not self.key.isprintable()
            or " " in self.key
        ):
            raise ConfigError(
                "the API key must have at least 8 characters, all printable ASCII without blanks."
            )
        if self.key is None and not self.only_this_machine:
            raise ConfigError(
                f"host is {self.host!r}, which other machines can reach, and there is no API key."
                " Give one with --api-key FILE or in the environment variable INKLINGS_API_KEY, or"
                " leave --host out to serve this machine alone."
            )

    @property
    def only_this_machine(self) -> bool:
        """Whether `host` is a loopback address."""
        return is_this_machine(self.host)


def is_this_machine(host: str) -> bool:
    """Return whether a name or an address means the machine that looks it up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
