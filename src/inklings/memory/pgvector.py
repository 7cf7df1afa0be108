"""The backend `pgvector`: vectors in a table of a PostgreSQL server, for several machines, or more than one machine holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from inklings.errors import ConfigError, InputError
from inklings.memory.postgres import Connection, Database, reason

LARGEST_DIMENSION = 16_000
LARGEST_INLINE_DIMENSION = 2_000
"""Above it a vector does not fit into a page of 8 KiB, and pgvector does not index it."""
LONGEST_NAME = 63
"""Bytes; PostgreSQL cuts longer names, so that two of them could mean one table."""
SETUP_LOCK = 0x696E6B6C696E6773
"""Held while the extension and the table are made, because `IF NOT EXISTS` fails when two do it at once."""


class PgVector:
    """Vectors in a table of a PostgreSQL server; any number of threads, processes and machines may use one table at once.

    The table has the columns `id` (bigint, primary key) and `vector` (vector(dimension)); it and the extension are made if absent.
    Each call is one transaction: it is done as a whole, or an error says that it was not. A connection that is lost is opened
    anew and the call repeated, twice at most. A search looks at every row, unless `hnsw` asks for the approximate index.

    Args:
        connection_string: what libpq takes: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, or `host=... dbname=...`.
        dimension: of the vectors; 1 to 16000, with `hnsw` 2000.
        table: its name, as it is: it is quoted, never folded to lower case.
        hnsw: search by an HNSW index, made if absent. Without it a search is exact even where the table has the index.
        ef_search: candidates that a search by the index keeps, 1 to 1000: more find more of the nearest, and take longer.

    Raises:
        MissingExtraError: the extra `memory` is not installed.
        ConfigError: a setting out of range, a server that cannot be reached or has no pgvector, a table that is not such a one.
    """

    name: str = "pgvector"

    def __init__(self, connection_string: str, *, dimension: int, table: str, hnsw: bool = False, ef_search: int = 100) -> None:
        _check_settings(dimension, table, hnsw, ef_search)
        self.dimension = dimension
        self._table = table
        self._hnsw = hnsw
        self._settings = {"enable_indexscan": "off"}
        if hnsw:
            self._settings = {"hnsw.ef_search": str(ef_search), "hnsw.iterative_scan": "strict_order"}
        self._database = Database(connection_string, _prepare)
        self._where = f"the table {table!r} at {self._database.address}"
        self._database.run(lambda connection, _: self._set_up(connection))

    def add(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Take in new vectors under new ids, all of them or none.

        Raises:
            InputError: an id is negative or taken, a vector has another dimension or is not finite.
            InklingsError: the server was lost, or could not store them.
        """
        self._check(vectors)
        if len(ids) != len(vectors):
            raise InputError(f"{len(ids)} ids for {len(vectors)} vectors; give one id for each vector.")
        if (ids < 0).any():
            raise InputError(f"the id {ids[ids < 0][0]} is negative; ids are 0 or more.")
        if len(ids):
            self._database.run(lambda connection, repeated: self._copy_in(connection, repeated, ids, vectors))

    def update(self, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        """Put other vectors under known ids, all of them or none; a reader sees the old or the new one, never neither.

        Raises:
            InputError: there is no vector under an id, an id is given twice, a vector has another dimension or is not finite.
            InklingsError: the server was lost, or could not store them.
        """

        def change(connection: Connection) -> None:
            statement = self._sql(
                "UPDATE {table} AS old SET vector = new.vector FROM unnest(%s::bigint[], %s::vector[]) AS new (id, vector) "
                "WHERE old.id = new.id RETURNING old.id"
            )
            self._check_known(ids, {number for (number,) in connection.execute(statement, (ids.tolist(), list(vectors)))})

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

        def delete(connection: Connection, repeated: bool) -> None:
            statement = self._sql("DELETE FROM {table} WHERE id = ANY(%s::bigint[]) RETURNING id")
            gone = {number for (number,) in connection.execute(statement, (ids.tolist(),))}
            # The first attempt may have been done and only its answer lost; then they are gone, as they should be.
            if not repeated:
                self._check_known(ids, gone)

        _check_once(ids)
        if len(ids):
            self._database.run(delete)

    def search(self, queries: Float32[np.ndarray, "q d"], k: int) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        """Ids and squared L2 distances of the nearest k, nearest first, equally near ones by id; -1 and infinity where there are fewer.

        Raises:
            InputError: k is less than 1, a query has another dimension or is not finite.
            InklingsError: the server was lost.
        """
        self._check(queries)
        if k < 1:
            raise InputError(f"k is {k}; it must be at least 1.")
        return self._database.run(lambda connection, _: self._search(connection, queries, k))

    def vectors(self, ids: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n d"]:
        """The vectors under these ids, in their order, as they were added to the last bit.

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
        """How many vectors the table has now, by whomever they were added; the server counts its rows."""
        statement = self._sql("SELECT count(*) FROM {table}")
        ((count,),) = self._database.run(lambda connection, _: connection.execute(statement).fetchall())
        return int(count)

    def close(self) -> None:
        """Give the connection back; the next call opens another."""
        self._database.close()

    def _set_up(self, connection: Connection) -> None:
        """Make the table and the index if they are absent; refuse a table that is not such a one."""
        from psycopg import sql

        connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
        quoted = sql.Identifier(self._table).as_string(connection)
        rows = connection.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (quoted,),
        ).fetchall()
        if rows:
            # the type's name has its schema in front where that is not on the search path
            self._check_columns({column: kind.rpartition(".")[2] for column, kind in rows})
        else:
            connection.execute(self._sql("CREATE TABLE {table} (id bigint PRIMARY KEY, vector vector({dimension}) NOT NULL)"))
            if self.dimension <= LARGEST_INLINE_DIMENSION:
                # Out of line, as pgvector has it, a scan of 768 dimensions took twice as long.
                connection.execute(self._sql("ALTER TABLE {table} ALTER COLUMN vector SET STORAGE PLAIN"))
        if self._hnsw:
            self._make_index(connection, quoted)

    def _check_columns(self, columns: dict[str, str]) -> None:
        if columns.get("id") == "bigint" and columns.get("vector") == f"vector({self.dimension})":
            return
        other = columns.get("vector", "").removeprefix("vector(").removesuffix(")")
        if columns.get("id") == "bigint" and other.isdigit():
            raise ConfigError(f"{self._where} holds vectors of dimension {other}, not {self.dimension}. Give {other}, or another table.")
        found = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        raise ConfigError(
            f"{self._where} is not a memory: it has the columns {found}; a memory has id bigint and vector vector({self.dimension}). "
            "Give another table; one that does not exist yet is made."
        )

    def _make_index(self, connection: Connection, quoted: str) -> None:
        ((version,),) = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchall()
        if tuple(int(part) for part in version.split(".")[:2]) < (0, 8):
            raise ConfigError(
                f"the pgvector extension at {self._database.address} has version {version}; hnsw needs 0.8 or newer. "
                "Update it (ALTER EXTENSION vector UPDATE), or leave hnsw off."
            )
        there = connection.execute(
            "SELECT 1 FROM pg_index WHERE indrelid = to_regclass(%s) AND indisvalid "
            "AND pg_get_indexdef(indexrelid) LIKE '%%USING hnsw (vector %%vector_l2_ops)%%'",
            (quoted,),
        ).fetchone()
        if there is None:
            connection.execute(self._sql("CREATE INDEX ON {table} USING hnsw (vector vector_l2_ops)"))

    def _copy_in(self, connection: Connection, repeated: bool, ids: Int64[np.ndarray, " n"], vectors: Float32[np.ndarray, "n d"]) -> None:
        from psycopg import errors

        pairs = list(zip(ids.tolist(), vectors, strict=True))
        try:
            with (
                connection.transaction(),  # within the one of the call, which can go on when this one fails
                connection.cursor() as cursor,
                cursor.copy(self._sql("COPY {table} (id, vector) FROM STDIN WITH (FORMAT BINARY)")) as copy,
            ):
                copy.set_types(["int8", "vector"])
                for pair in pairs:
                    copy.write_row(pair)
        except errors.UniqueViolation as error:
            # The first attempt may have been done and only its answer lost.
            if repeated:
                found = self._fetch(connection, ids)
                if len(found) == len(ids) and all(found[number].tobytes() == vector.tobytes() for number, vector in pairs):
                    return
            raise InputError(
                f"an id is not new to {self._where}: {error.diag.message_detail or reason(error)} "
                "Nothing was added. Give ids that were never used, each once."
            ) from error

    def _search(
        self, connection: Connection, queries: Float32[np.ndarray, "q d"], k: int
    ) -> tuple[Int64[np.ndarray, "q k"], Float32[np.ndarray, "q k"]]:
        ids = np.full((len(queries), k), -1, np.int64)
        distances = np.full((len(queries), k), np.inf)
        for setting in self._settings.items():
            connection.execute("SELECT set_config(%s, %s, true)", setting)
        with connection.cursor(binary=True) as cursor:
            # One statement a query and not one for all, because the server spreads only a plain scan over its processors.
            cursor.executemany(
                self._sql("SELECT id, vector <-> %s AS distance FROM {table} ORDER BY distance, id LIMIT %s"),
                [(query, k) for query in queries],
                returning=True,
            )
            for row, result in enumerate(cursor.results()):
                for column, (number, distance) in enumerate(result):
                    ids[row, column], distances[row, column] = number, distance
        # The server sums squares of differences in float32 and gives the root in float64, so squaring it back loses nothing.
        return ids, np.square(distances).astype(np.float32)

    def _fetch(self, connection: Connection, ids: Int64[np.ndarray, " n"]) -> dict[int, Float32[np.ndarray, " d"]]:
        statement = self._sql("SELECT id, vector FROM {table} WHERE id = ANY(%s::bigint[])")
        return {number: vector.to_numpy() for number, vector in connection.execute(statement, (ids.tolist(),), binary=True)}

    def _sql(self, template: str) -> Any:
        from psycopg import sql

        # psycopg would take a percent sign in a name for a placeholder, where there are others; so it is written as its code.
        name = self._table.replace("\\", "\\\\").replace("%", "\\0025")
        return sql.SQL(template).format(table=sql.SQL("U&{}").format(sql.Identifier(name)), dimension=sql.Literal(self.dimension))

    def _check(self, vectors: Float32[np.ndarray, "n d"]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise InputError(f"vectors of shape {vectors.shape}; the memory holds vectors of dimension {self.dimension}, one a row.")
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])
            raise InputError(f"vector {row} of {len(vectors)} has a value that is NaN or infinite; only finite vectors have a distance.")

    def _check_known(self, ids: Int64[np.ndarray, " n"], known: set[int]) -> None:
        missing = sorted(set(ids.tolist()) - known)
        if missing:
            some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            raise InputError(
                f"{len(missing)} of {len(ids)} ids are not in {self._where}: {some}. "
                "They were never added, or were removed, perhaps by another writer."
            )


def _prepare(database: Database, connection: Connection) -> None:
    """Make the extension if it is absent, and teach the connection its type.

    Raises:
        ConfigError: the server does not have the extension, or this user may not create it.
    """
    from pgvector.psycopg import register_vector
    from psycopg import errors

    try:
        with connection.transaction():
            if not connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SETUP_LOCK,))
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise ConfigError(
            f"the PostgreSQL server at {database.address} has no pgvector extension: {reason(error)}. "
            "Install it on the server's machine (package postgresql-NN-pgvector, or image pgvector/pgvector), or give another server."
        ) from error
    except errors.InsufficientPrivilege as error:
        raise ConfigError(
            f"the database at {database.address} has no pgvector extension yet, and this user may not create it: {reason(error)}. "
            "Have an administrator of the database run: CREATE EXTENSION vector;"
        ) from error
    register_vector(connection)


def _check_once(ids: Int64[np.ndarray, " n"]) -> None:
    if len(np.unique(ids)) < len(ids):
        raise InputError(f"an id is given twice among {len(ids)}; name each once.")


def _check_settings(dimension: int, table: str, hnsw: bool, ef_search: int) -> None:
    largest = LARGEST_INLINE_DIMENSION if hnsw else LARGEST_DIMENSION
    if not 1 <= dimension <= largest:
        without = f" with an HNSW index, {LARGEST_DIMENSION} without" if hnsw else ""
        raise ConfigError(f"dimension is {dimension}; pgvector allows 1 to {largest}{without}.")
    length = len(table.encode("utf-8", "surrogatepass"))
    if not 1 <= length <= LONGEST_NAME or "\0" in table:
        raise ConfigError(f"the table name {table!r} has {length} bytes; PostgreSQL allows 1 to {LONGEST_NAME}, none of them zero.")
    if not 1 <= ef_search <= 1000:
        raise ConfigError(f"ef_search is {ef_search}; pgvector allows 1 to 1000.")
