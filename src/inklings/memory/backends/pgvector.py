"""The backend `pgvector`: vectors in a table of a PostgreSQL server.

It serves several machines, and memories larger than one machine holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.errors import InklingsError, InputError
from inklings.memory.backends.postgres import Connection, Database, reason
from inklings.memory.backends.vector_table import IDENTITY, VectorTable, check_settings, prepare

IDS_LOCK = 0x696E6B6C
"""A lock that is held, with the number of the table, while ids are given out."""
EXACT = {"enable_indexscan": "off", "enable_seqscan": "on"}
"""Settings by which the server looks at every row."""


class PgVector:
    """Vectors in a table of a PostgreSQL server.

    Any number of threads, processes and machines may use one table at once.

    The table has the columns `id` (bigint, primary key, an identity) and `vector`
    (vector(dimension)); it and the extension are made if absent. Each call is one transaction: it
    is done as a whole, or an error says that it was not. A connection that is lost is opened anew
    and the call repeated, twice at most. A search looks at every row, unless `hnsw` asks for the
    approximate index.

    Args:
        connection_string: what libpq takes: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, or
            `host=... dbname=...`.
        dimension: of the vectors; 1 to 16000, with `hnsw` 2000.
        table: its name, as it is: it is quoted, never folded to lower case.
        hnsw: search by an HNSW index, made if absent. Without it a search is exact even where the
            table has the index.
        ef_search: candidates that a search by the index keeps, 1 to 1000: more find more of the
            nearest, and take longer.

    Raises:
        MissingExtraError: the extra `memory` is not installed.
        ConfigError: a setting out of range, a server that cannot be reached or has no pgvector, a
            table that is not such a one.
    """

    name: str = "pgvector"

    def __init__(
        self,
        connection_string: str,
        *,
        dimension: int,
        table: str,
        hnsw: bool = False,
        ef_search: int = 100,
    ) -> None:
        check_settings(dimension, table, hnsw=hnsw, ef_search=ef_search)
        self.dimension = dimension
        self._hnsw = hnsw
        self._settings = EXACT
        if hnsw:
            self._settings = {
                "hnsw.ef_search": str(ef_search),
                "hnsw.iterative_scan": "strict_order",
            }
        self._database = Database(connection_string, prepare)
        self._table = VectorTable(table, dimension, self._database.address)
        self._database.run(lambda connection, _: self._table.set_up(connection, hnsw=hnsw))

    def add(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Take in new vectors under new ids, all of them or none.

        Raises:
            InputError: an id is negative or taken, a vector has another dimension or is not finite.
            InklingsError: the server was lost, or could not store them.
        """
        self._check_new(ids, vectors)
        if len(ids):
            self._database.run(
                lambda connection, repeated: self._copy_in(connection, repeated, ids, vectors)
            )

    def update(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put other vectors under known ids, all of them or none.

        A reader sees the old or the new one, never neither.

        Raises:
            InputError: there is no vector under an id, an id is given twice, a vector has another
                dimension or is not finite.
            InklingsError: the server was lost, or could not store them.
        """

        def change(connection: Connection) -> None:
            statement = self._table.sql(
                "UPDATE {table} AS old SET vector = new.vector FROM unnest(%s::bigint[],"
                " %s::vector[]) AS new (id, vector) WHERE old.id = new.id RETURNING old.id"
            )
            self._check_known(
                ids,
                {
                    number
                    for (number,) in connection.execute(statement, (ids.tolist(), list(vectors)))
                },
            )

        self._check(vectors)
        _check_once(ids)
        if len(ids):
            self._database.run(lambda connection, _: change(connection))

    def remove(self, ids: Int64[np.ndarray, " n"]) -> None:
        """Forget vectors, all of them or none.

        Raises:
            InputError: there is no vector under an id, or an id is given twice.
            InklingsError: the server was lost.
        """
        _check_once(ids)
        if len(ids):
            self._database.run(lambda connection, repeated: self._delete(connection, repeated, ids))

    def exchange(
        self,
        leaving: Int64[np.ndarray, " m"],
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
    ) -> None:
        """Remove vectors and add others, all or nothing.

        Args:
            leaving: ids that are removed.
            ids: of the new vectors.
            vectors: one for each id.

        Raises:
            InputError: as for `remove` and `add`.
            InklingsError: the server was lost, or could not store them.
        """

        def swap(connection: Connection, repeated: bool) -> None:
            self._delete(connection, repeated, leaving)
            self._copy_in(connection, repeated, ids, vectors)

        self._check_new(ids, vectors)
        _check_once(leaving)
        self._database.run(swap)

    def new_ids(self, count: int, above: int) -> Int64[np.ndarray, " count"]:
        """Reserve consecutive ids from `above` on that no other caller gets, on any machine.

        Raises:
            InklingsError: the server was lost, or this user may not use the table's sequence.
        """

        def reserve(connection: Connection) -> int:
            quoted = self._table.quoted(connection)
            connection.execute(
                "SELECT pg_advisory_xact_lock(%s, to_regclass(%s)::oid::int)", (IDS_LOCK, quoted)
            )
            ((sequence,),) = connection.execute(
                "SELECT pg_get_serial_sequence(%s, 'id')", (quoted,)
            ).fetchall()
            if sequence is None:  # a table that someone else made
                connection.execute(
                    self._table.sql(f"ALTER TABLE {{table}} ALTER COLUMN id ADD {IDENTITY}")
                )
            statement = self._table.sql(
                "SELECT setval(s, greatest(nextval(s), %s, (SELECT max(id) + 1 FROM {table})) + %s"
                " - 1) FROM CAST(pg_get_serial_sequence(%s, 'id') AS regclass) AS s"
            )
            ((last,),) = connection.execute(statement, (above, count, quoted)).fetchall()
            return int(last)

        last = self._database.run(lambda connection, _: reserve(connection))
        return np.arange(last - count + 1, last + 1, dtype=np.int64)

    def search(
        self, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Return ids and squared L2 distances of the nearest k, equally near ones by id.

        Missing ones are -1 at distance infinity.

        Raises:
            InputError: k is less than 1, a query has another dimension or is not finite.
            InklingsError: the server was lost.
        """
        self._check(queries)
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1.")
        return self._database.run(lambda connection, _: self._search(connection, queries, k))

    def vectors(self, ids: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """Return the vectors under these ids, in their order, as they were added to the last bit.

        Raises:
            InputError: there is no vector under an id.
            InklingsError: the server was lost.
        """
        found = self._database.run(lambda connection, _: self._fetch(connection, ids))
        self._check_known(ids, set(found))
        out = np.empty((len(ids), self.dimension), np.float32)
        for row, number in enumerate(ids.tolist()):
            out[row] = found[number]
        return out

    def __len__(self) -> int:
        """Return how many vectors the table has now, by whomever they were added.

        The server counts its rows.
        """
        statement = self._table.sql("SELECT count(*) FROM {table}")
        ((count,),) = self._database.run(
            lambda connection, _: connection.execute(statement).fetchall()
        )
        return int(count)

    def compact(self) -> None:
        """Let the table use the room of removed rows again (VACUUM).

        Others read and write meanwhile.

        Raises:
            InklingsError: the server was lost, or this user may not do it: only the owner of the
                table may.
        """

        def vacuum(connection: Connection, repeated: bool) -> list[str]:
            said: list[str] = []

            def listen(notice: Any) -> None:
                said.append(str(notice.message_primary))

            connection.add_notice_handler(listen)
            try:
                connection.execute(self._table.sql("VACUUM {table}"))
            finally:
                connection.remove_notice_handler(listen)
            return said

        # it does not fail for want of the right, but warns and does nothing
        said = self._database.run(vacuum, transaction=False)
        if said:
            raise InklingsError(
                f"{self._table.where} was not compacted: {'; '.join(said)}. Ask its owner to do it."
            )

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        self._database.close()

    def _delete(self, connection: Connection, repeated: bool, ids: Int64[np.ndarray, " n"]) -> None:
        statement = self._table.sql("DELETE FROM {table} WHERE id = ANY(%s::bigint[]) RETURNING id")
        gone = {number for (number,) in connection.execute(statement, (ids.tolist(),))}
        # The first attempt may have been done and only its answer lost; then they are gone, as they
        # should be.
        if not repeated:
            self._check_known(ids, gone)

    def _copy_in(
        self,
        connection: Connection,
        repeated: bool,
        ids: Int64[np.ndarray, " n"],
        vectors: Float32[np.ndarray, "n d"],
    ) -> None:
        from psycopg import errors

        pairs = list(zip(ids.tolist(), vectors, strict=True))
        try:
            with (
                # within the one of the call, which can go on when this one fails
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy(
                    self._table.sql("COPY {table} (id, vector) FROM STDIN WITH (FORMAT BINARY)")
                ) as copy,
            ):
                copy.set_types(["int8", "vector"])
                for pair in pairs:
                    copy.write_row(pair)
        except errors.UniqueViolation as error:
            # The first attempt may have been done and only its answer lost.
            if repeated:
                found = self._fetch(connection, ids)
                if len(found) == len(ids) and all(
                    found[number].tobytes() == vector.tobytes() for number, vector in pairs
                ):
                    return
            raise InputError(
                f"an id is not new to {self._table.where}:"
                f" {error.diag.message_detail or reason(error)} "
                "Nothing was added. Give ids that were never used, each once."
            ) from error

    def _search(
        self, connection: Connection, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        ids = np.full((len(queries), k), -1, np.int64)
        distances = np.full((len(queries), k), np.inf)
        left = np.arange(len(queries))
        # the index gives up after so many rows; where it found too few, the table is looked through
        for settings in (self._settings, EXACT) if self._hnsw else (self._settings,):
            for setting in settings.items():
                connection.execute("SELECT set_config(%s, %s, true)", setting)
            with connection.cursor(binary=True) as cursor:
                # One statement a query and not one for all, because the server spreads only a plain
                # scan over its processors.
                cursor.executemany(
                    self._table.sql(
                        "SELECT id, vector <-> %s AS distance FROM {table} ORDER BY distance, id"
                        " LIMIT %s"
                    ),
                    [(query, k) for query in queries[left]],
                    returning=True,
                )
                for row, result in zip(left, cursor.results(), strict=True):
                    for column, (number, distance) in enumerate(result):
                        ids[row, column], distances[row, column] = number, distance
            left = np.flatnonzero(ids[:, -1] < 0)
            if not len(left):
                break
        # The server sums squares of differences in float32 and gives the root in float64, so
        # squaring it back loses nothing.
        return ids, np.square(distances).astype(np.float32)

    def _fetch(
        self, connection: Connection, ids: Int64[np.ndarray, " n"]
    ) -> dict[int, Float32[np.ndarray, " d"]]:
        statement = self._table.sql("SELECT id, vector FROM {table} WHERE id = ANY(%s::bigint[])")
        return {
            number: vector.to_numpy()
            for number, vector in connection.execute(statement, (ids.tolist(),), binary=True)
        }

    def _check_new(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "m d"]) -> None:
        self._check(vectors)
        if len(ids) != len(vectors):
            raise InputError(
                f"{len(ids)} ids for {len(vectors)} vectors; give one id for each vector."
            )
        if (ids < 0).any():
            raise InputError(f"the id {ids[ids < 0][0]} is negative; ids are 0 or more.")

    def _check(self, vectors: Float32[np.ndarray, "n d"]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise InputError(
                f"vectors of shape {vectors.shape}; the memory holds vectors of dimension"
                f" {self.dimension}, one a row."
            )
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])
            raise InputError(
                f"vector {row} of {len(vectors)} has a value that is NaN or infinite; only finite"
                " vectors have a distance."
            )

    def _check_known(self, ids: Int64[np.ndarray, " n"], known: set[int]) -> None:
        missing = sorted(set(ids.tolist()) - known)
        if missing:
            some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise InputError(
                f"{len(missing)} of {len(ids)} ids are not in {self._table.where}: {some}. "
                "They were never added, or were removed, perhaps by another writer."
            )


def _check_once(ids: Int64[np.ndarray, " n"]) -> None:
    if len(np.unique(ids)) < len(ids):
        raise InputError(f"an id is given twice among {len(ids)}; name each once.")
