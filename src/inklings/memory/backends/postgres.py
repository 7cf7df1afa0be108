"""A connection to a PostgreSQL server that reconnects when it is lost.

No message shows its password.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from inklings.errors import ConfigError, DiskError, InklingsError, import_extra

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]
    ServerError = psycopg.Error
else:
    Connection = ServerError = Any

Result = TypeVar("Result")

RECONNECT_PAUSES = (0.2, 2.0)
"""Seconds before the first and the second attempt to come back to a server that was lost."""
_INHERITED: list[Connection] = []
"""Connections of a parent process: closing them, or letting them be collected, would end them for
the parent.
"""


class Database:
    """One connection, used by one thread at a time.

    It is opened again after a loss, and in a process that was forked.

    Args:
        connection_string: what libpq takes: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, or
            `host=... dbname=...`.
        prepare: what to do first with every new connection.

    Raises:
        MissingExtraError: the extra `memory` is not installed.
        ConfigError: the string cannot be read, or leads to no server that lets this user in.
    """

    _connection: Connection | None = None

    def __init__(
        self, connection_string: str, prepare: Callable[[Database, Connection], None]
    ) -> None:
        self._parameters = _parameters(connection_string)
        self.address = _address(self._parameters)
        """Where the server is, without secrets."""
        self._prepare = prepare
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._connect_first()

    def run(
        self, work: Callable[[Connection, bool], Result], *, transaction: bool = True
    ) -> Result:
        """Do work in one transaction, and again, twice at most, when the connection is lost.

        Args:
            work: gets the connection, and whether an earlier attempt failed: that one may yet have
                been done, and only its answer lost.
            transaction: False for what PostgreSQL does in none, such as VACUUM.

        Raises:
            InklingsError: the server was lost and did not come back, or refused.
        """
        import psycopg

        pauses = iter(RECONNECT_PAUSES)
        repeated = False
        with self._lock:
            while True:
                try:
                    connection = self._connected()
                    with connection.transaction() if transaction else nullcontext():
                        return work(connection, repeated)
                except psycopg.Error as error:
                    lost = self._connection is None or self._connection.closed
                    # 40: rolled back because of another writer, to be tried again
                    if not lost and not (error.sqlstate or "").startswith("40"):
                        raise self._refusal(error) from error
                    pause = next(pauses, None)
                    if pause is None:
                        raise self._surrender(error, lost) from error
                time.sleep(pause)
                repeated = True

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._process == os.getpid():
            connection.close()
        else:
            _INHERITED.append(connection)

    def __del__(self) -> None:
        self.close()

    def _connected(self) -> Connection:
        if self._connection is not None and (
            self._connection.closed or self._process != os.getpid()
        ):
            self.close()
        if self._connection is None:
            self._process = os.getpid()
            self._connection = self._connect()
        return self._connection

    def _connect_first(self) -> None:
        """Connect without a second attempt.

        What fails here is more likely a wrong setting than a server that comes back.
        """
        import psycopg

        try:
            self._connection = self._connect()
        except psycopg.Error as error:
            raise ConfigError(
                f"cannot use the PostgreSQL server at {self.address}: {reason(error)}. Check that"
                " it runs, and the host, port, database, user and password of the connection"
                " string (the password is not shown)."
            ) from error

    def _connect(self) -> Connection:
        import psycopg

        # A statement prepared on the server does not survive a pooler such as PgBouncer.
        connection = psycopg.connect(**self._parameters, autocommit=True, prepare_threshold=None)
        try:
            self._prepare(self, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _refusal(self, error: ServerError) -> InklingsError:
        from psycopg import errors

        if isinstance(error, errors.DiskFull):
            return DiskError(
                f"the disk of the PostgreSQL server at {self.address} is full: {reason(error)}."
                " Free some space there."
            )
        return InklingsError(
            f"the PostgreSQL server at {self.address} refused: {reason(error)}. This call changed"
            " nothing. Check that the table is there and that this user may read and write it."
        )

    def _surrender(self, error: ServerError, lost: bool) -> InklingsError:
        if not lost:
            return InklingsError(
                f"other writers at {self.address} were in the way {len(RECONNECT_PAUSES) + 1}"
                f" times: {reason(error)}. This call changed nothing; repeat it when they are done."
            )
        return InklingsError(
            f"the PostgreSQL server at {self.address} was lost, and {len(RECONNECT_PAUSES)}"
            f" attempts to go on failed: {reason(error)}. What earlier calls wrote is safe. Start"
            " the server or mend the connection, and repeat the call."
        )


def reason(error: ServerError) -> str:
    """Return the first line of what libpq or the server said, without a full stop."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def _parameters(connection_string: str) -> dict[str, Any]:
    """Take a connection string apart and add time limits.

    A server that is silent for longer counts as lost.
    """
    for module in ("psycopg", "pgvector", "pgvector.psycopg"):
        import_extra(module, "the memory backend pgvector", "memory")
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        given = None if _is_ambiguous(connection_string) else conninfo_to_dict(connection_string)
    except ProgrammingError:
        given = None
    # Said outside of the handler, because libpq's error quotes the string; and a port that is no
    # number may be half a password.
    if given is None or not all(
        port == "" or port.isdecimal() for port in str(given.get("port", "")).split(",")
    ):
        raise ConfigError(
            "the connection string of the memory cannot be read; it is not shown, because it may"
            " hold a password. Allowed: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where @ / %"
            " in a name or password are written %40 %2F %25, or host=HOST port=PORT dbname=DATABASE"
            " user=USER password='PASSWORD'. Try it without the password, which may come from the"
            " variable PGPASSWORD or the file ~/.pgpass."
        )
    return {
        "connect_timeout": 10,
        "tcp_user_timeout": 30_000,
        "fallback_application_name": "inklings",
        **given,
    }


def _is_ambiguous(connection_string: str) -> bool:
    """Return whether a URI has an @ that libpq would read otherwise than its author.

    It would take a part of the password for the host, and name it in its errors.
    """
    if not connection_string.startswith(("postgresql://", "postgres://")):
        return False
    before, _, after = connection_string.partition("://")[2].partition("@")
    return "@" in after or ("/" in before and after != "")


def _address(parameters: dict[str, Any]) -> str:
    parts = [
        f"{key}={parameters[key]}"
        for key in ("host", "hostaddr", "port", "dbname", "user")
        if parameters.get(key)
    ]
    return " ".join(parts) or "libpq's default address"
