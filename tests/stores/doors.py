"""What an application does with a vector database, each in the database's own way: the rows of the shared table.

A function makes a client and a collection `docs` of four-dimensional vectors, and gives what can be done with it.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.servers.postgresql import PostgresqlServer, running_postgresql

from .servers import http_server, redis_server

VECTORS = [[float(n), 0.5, 0.25, 1.0] for n in range(1, 7)]
ASKED = VECTORS[0]


@dataclass
class Store:
    """One database, open: each is a plain function, or a coroutine function where the client is async."""

    system: str
    write: Callable[[], Any] | None
    """Writes the vectors."""
    query: Callable[[], Any]
    """Asks for the three nearest."""
    delete: Callable[[], Any] | None = None
    """Deletes two."""
    missing: Callable[[], Any] | None = None
    """Asks a collection that does not exist; raises."""
    written: int = 6
    collection: str = "docs"
    namespace: str | None = None
    counts_deleted: bool = True
    returned: int | None = 3
    top_k: int | None = 3
    says_dimension: bool = True
    query_usage: dict[str, int] = field(default_factory=dict)
    """What the provider says of a query beside that."""
    write_complete: bool = True
    error: str | None = None
    """What the span of a failure says, if not the class of what is raised."""


@contextmanager
def chroma(tmp_path: Path) -> Iterator[Store]:
    import chromadb

    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    docs = client.get_or_create_collection("docs")
    ids = [str(n) for n in range(6)]

    def missing() -> None:
        client.get_collection("nowhere").query(query_embeddings=[ASKED])

    yield Store(
        "chroma",
        lambda: docs.upsert(ids=ids, embeddings=VECTORS),
        lambda: docs.query(query_embeddings=[ASKED], n_results=3),
        lambda: docs.delete(ids=ids[:2]),
    )
    client.delete_collection("docs")


@contextmanager
def qdrant(tmp_path: Path) -> Iterator[Store]:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection("docs", models.VectorParams(size=4, distance=models.Distance.COSINE))
    points = [models.PointStruct(id=n, vector=vector) for n, vector in enumerate(VECTORS)]
    yield Store(
        "qdrant",
        lambda: client.upsert("docs", points),
        lambda: client.query_points("docs", query=ASKED, limit=3),
        lambda: client.delete("docs", points_selector=[0, 1]),
        lambda: client.query_points("nowhere", query=ASKED),
    )


@contextmanager
def qdrant_async(tmp_path: Path) -> Iterator[Store]:
    from qdrant_client import AsyncQdrantClient, models

    client = AsyncQdrantClient(":memory:")
    points = [models.PointStruct(id=n, vector=vector) for n, vector in enumerate(VECTORS)]

    async def write() -> Any:
        await client.create_collection("docs", models.VectorParams(size=4, distance=models.Distance.COSINE))
        return await client.upsert("docs", points)

    async def query() -> Any:
        return await client.query_points("docs", query=ASKED, limit=3)

    async def delete() -> Any:
        return await client.delete("docs", points_selector=[0, 1])

    async def missing() -> Any:
        return await client.query_points("nowhere", query=ASKED)

    yield Store("qdrant", write, query, delete, missing)


QDRANT = {
    "/collections/docs/points": {"operation_id": 1, "status": "completed"},
    "/collections/docs/points/delete": {"operation_id": 2, "status": "completed"},
    "/collections/docs/points/query": {"points": [{"id": n, "version": 0, "score": 0.5} for n in range(3)]},
}


@contextmanager
def qdrant_http(tmp_path: Path) -> Iterator[Store]:
    from qdrant_client import QdrantClient, models

    answers = {path: {"result": result, "status": "ok", "time": 0.001} for path, result in QDRANT.items()}
    with http_server(answers) as url:
        client = QdrantClient(url=url, check_compatibility=False)
        points = [models.PointStruct(id=n, vector=vector) for n, vector in enumerate(VECTORS)]
        yield Store(
            "qdrant",
            lambda: client.upsert("docs", points),
            lambda: client.query_points("docs", query=ASKED, limit=3),
            lambda: client.delete("docs", points_selector=[0, 1]),
            lambda: client.query_points("nowhere", query=ASKED),
        )
        client.close()


@contextmanager
def lancedb(tmp_path: Path) -> Iterator[Store]:
    import lancedb

    base = lancedb.connect(str(tmp_path))
    rows = [{"id": n, "vector": vector} for n, vector in enumerate(VECTORS)]
    docs = base.create_table("docs", rows[:1])
    docs.delete("id = 0")
    yield Store(
        "lancedb",
        lambda: docs.add(rows),
        lambda: docs.search(ASKED).limit(3).to_list(),
        lambda: docs.delete("id < 2"),
        counts_deleted=False,
    )


@contextmanager
def faiss(tmp_path: Path) -> Iterator[Store]:
    import faiss
    import numpy as np

    index = faiss.IndexFlatL2(4)
    vectors = np.array(VECTORS, dtype="float32")
    yield Store(
        "faiss",
        lambda: index.add(vectors),
        lambda: index.search(vectors[:1], 3),
        lambda: index.remove_ids(np.array([0, 1], dtype="int64")),
        lambda: index.search(np.zeros((1, 3), dtype="float32"), 3),
        collection="IndexFlatL2",
    )


@contextmanager
def milvus(tmp_path: Path) -> Iterator[Store]:
    from pymilvus import MilvusClient

    client = MilvusClient(str(tmp_path / "milvus.db"))
    client.create_collection("docs", dimension=4)
    rows = [{"id": n, "vector": vector} for n, vector in enumerate(VECTORS)]
    yield Store(
        "milvus",
        lambda: client.insert("docs", rows),
        lambda: client.search("docs", data=[ASKED], limit=3),
        lambda: client.delete("docs", ids=[0, 1]),
        lambda: client.search("nowhere", data=[ASKED]),
    )
    client.close()


@cache
def _postgres() -> PostgresqlServer:
    """A real PostgreSQL with pgvector; one for all tests."""
    kept = ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(running_postgresql(vectors=True))


@contextmanager
def postgres(tmp_path: Path) -> Iterator[str]:
    """A database of its own, with a table of vectors. Gives its address."""
    import psycopg

    with _postgres().database() as address:
        with psycopg.connect(address) as connection:
            connection.execute("CREATE EXTENSION vector; CREATE TABLE docs (id int, at vector(4))")
        yield address


NEAREST = "SELECT id FROM docs ORDER BY at <-> %s LIMIT 3"
INSERT = "INSERT INTO docs VALUES (%s, %s)"


@contextmanager
def psycopg(tmp_path: Path) -> Iterator[Store]:
    import psycopg
    from pgvector import Vector
    from pgvector.psycopg import register_vector

    rows = [(n, Vector(vector)) for n, vector in enumerate(VECTORS)]
    with postgres(tmp_path) as address, psycopg.connect(address, autocommit=True) as connection:
        register_vector(connection)
        yield Store(
            "postgresql",
            lambda: connection.cursor().executemany(INSERT, rows),
            lambda: connection.execute(NEAREST, (Vector(ASKED),)),
            missing=lambda: connection.execute(NEAREST.replace("docs", "nowhere"), (Vector(ASKED),)),
            namespace=connection.info.dbname,
        )


@contextmanager
def psycopg_async(tmp_path: Path) -> Iterator[Store]:
    import psycopg
    from pgvector import Vector
    from pgvector.psycopg import register_vector_async

    rows = [(n, Vector(vector)) for n, vector in enumerate(VECTORS)]
    with postgres(tmp_path) as address:

        async def connect() -> Any:
            connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
            await register_vector_async(connection)
            return connection

        async def write() -> Any:
            async with await connect() as connection, connection.cursor() as cursor:
                return await cursor.executemany(INSERT, rows)

        async def query() -> Any:
            async with await connect() as connection:
                return await connection.execute(NEAREST, (Vector(ASKED),))

        yield Store("postgresql", write, query, namespace=address.partition("?")[0].rpartition("/")[2])


@contextmanager
def sqlalchemy(tmp_path: Path) -> Iterator[Store]:
    from pgvector.sqlalchemy import Vector
    from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select

    docs = Table("docs", MetaData(), Column("id", Integer), Column("at", Vector(4)))
    rows = [{"id": n, "at": vector} for n, vector in enumerate(VECTORS)]
    with postgres(tmp_path) as address:
        engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))

        def write() -> Any:
            with engine.begin() as connection:
                return connection.execute(insert(docs).execution_options(insertmanyvalues_page_size=6), rows)

        def query() -> Any:
            with engine.begin() as connection:
                found = connection.execute(select(docs.c.id).order_by(docs.c.at.l2_distance(ASKED)).limit(3))
                return found.fetchall()

        yield Store("postgresql", write, query, top_k=None)
        engine.dispose()


@contextmanager
def redis(tmp_path: Path) -> Iterator[Store]:
    import redis

    with redis_server(vectors=True) as port:
        client = redis.Redis(port=port, protocol=2)
        yield Store(
            "redis",
            lambda: client.execute_command("VADD", "docs", "VALUES", 4, *ASKED, "one"),
            lambda: client.execute_command("FT.SEARCH", "docs", "*=>[KNN 3 @at $asked]", "PARAMS", 2, "asked", b"1234"),
            missing=lambda: client.execute_command("FT.SEARCH", "nowhere", "*=>[KNN 3 @at $asked]"),
            written=1,
            says_dimension=False,
        )
        client.close()


@contextmanager
def redis_async(tmp_path: Path) -> Iterator[Store]:
    import redis.asyncio

    with redis_server(vectors=True) as port:

        async def write() -> Any:
            async with redis.asyncio.Redis(port=port, protocol=2) as client:
                return await client.execute_command("VADD", "docs", "VALUES", 4, *ASKED, "one")

        async def query() -> Any:
            async with redis.asyncio.Redis(port=port, protocol=2) as client:
                return await client.execute_command("VSIM", "docs", "ELE", "one", "COUNT", 3)

        yield Store("redis", write, query, written=1, says_dimension=False)


HITS = {"hits": {"total": {"value": 3}, "hits": [{"_id": str(n), "_score": 1.0} for n in range(3)]}}


@contextmanager
def elasticsearch(tmp_path: Path) -> Iterator[Store]:
    import elasticsearch

    with http_server({"/docs/_search": HITS}, {"x-elastic-product": "Elasticsearch"}) as url:
        client = elasticsearch.Elasticsearch(url)
        knn = {"field": "at", "query_vector": ASKED, "k": 3, "num_candidates": 6}
        yield Store(
            "elasticsearch",
            write=None,
            query=lambda: client.search(index="docs", knn=knn),
            missing=lambda: client.search(index="nowhere", knn=knn),
            error="404",
        )
        client.close()


@contextmanager
def elasticsearch_async(tmp_path: Path) -> Iterator[Store]:
    import elasticsearch

    with http_server({"/docs/_search": HITS}, {"x-elastic-product": "Elasticsearch"}) as url:

        async def query() -> Any:
            async with elasticsearch.AsyncElasticsearch(url) as client:
                return await client.search(index="docs", knn={"field": "at", "query_vector": ASKED, "k": 3})

        yield Store("elasticsearch", write=None, query=query)


@contextmanager
def opensearch(tmp_path: Path) -> Iterator[Store]:
    import opensearchpy

    with http_server({"/docs/_search": HITS}) as url:
        client = opensearchpy.OpenSearch(url)
        asked = {"size": 3, "query": {"knn": {"at": {"vector": ASKED, "k": 3}}}}
        yield Store(
            "opensearch",
            write=None,
            query=lambda: client.search(index="docs", body=asked),
            missing=lambda: client.search(index="nowhere", body=asked),
        )
        client.close()


PINECONE = {
    "/query": {
        "matches": [{"id": str(n), "score": 0.5} for n in range(3)],
        "namespace": "t",
        "usage": {"readUnits": 5},
    },
    "/vectors/upsert": {"upsertedCount": 6},
    "/vectors/delete": {},
}


@contextmanager
def pinecone(tmp_path: Path) -> Iterator[Store]:
    from pinecone import Index

    with http_server(PINECONE) as url:
        index = Index(host=url, api_key="test-key")
        rows = [(str(n), vector) for n, vector in enumerate(VECTORS)]
        yield Store(
            "pinecone",
            lambda: index.upsert(vectors=rows, namespace="t"),
            lambda: index.query(vector=ASKED, top_k=3, namespace="t"),
            lambda: index.delete(ids=["0", "1"], namespace="t"),
            collection=url.partition("//")[2],
            namespace="t",
            query_usage={"read_units": 5},
            write_complete=False,
        )


@contextmanager
def weaviate(tmp_path: Path) -> Iterator[Store]:
    import weaviate
    from weaviate.classes.init import AdditionalConfig, Timeout

    from .servers import weaviate_grpc

    with http_server(WEAVIATE) as url, weaviate_grpc() as grpc_port:
        client = weaviate.connect_to_local(
            port=int(url.rpartition(":")[2]),
            grpc_port=grpc_port,
            skip_init_checks=True,
            additional_config=AdditionalConfig(timeout=Timeout(init=5, query=5, insert=5)),
        )
        docs = client.collections.get("Docs")
        rows = [weaviate.classes.data.DataObject(properties={"n": n}, vector=v) for n, v in enumerate(VECTORS)]
        yield Store(
            "weaviate",
            lambda: docs.data.insert_many(rows),
            lambda: docs.query.near_vector(ASKED, limit=3),
            missing=lambda: client.collections.get("Nowhere").query.near_vector(ASKED, limit=3),
            collection="Docs",
        )
        client.close()


WEAVIATE = {"/v1/meta": {"version": "1.33.0"}, "/v1/.well-known/openid-configuration": None}

_ALL: dict[str, tuple[str, list[Callable[[Path], Any]]]] = {
    "chromadb": ("chromadb", [chroma]),
    "qdrant-client": ("qdrant_client", [qdrant, qdrant_async, qdrant_http]),
    "lancedb": ("lancedb", [lancedb]),
    "faiss-cpu": ("faiss", [faiss]),
    "pymilvus": ("pymilvus", [milvus]),
    "psycopg": ("psycopg", [psycopg, psycopg_async]),
    "SQLAlchemy": ("sqlalchemy", [sqlalchemy]),
    "redis": ("redis", [redis, redis_async]),
    "elasticsearch": ("elasticsearch", [elasticsearch, elasticsearch_async]),
    "opensearch-py": ("opensearchpy", [opensearch]),
    "pinecone": ("pinecone", [pinecone]),
    "weaviate-client": ("weaviate", [weaviate]),
}
"""By package: what it is imported as, and its doors."""

CHOSEN = os.environ.get("AICOST_TEST_STORES")
STORES = [
    door
    for name, (module, doors) in _ALL.items()
    if (CHOSEN is None or name in CHOSEN.split(",")) and find_spec(module) is not None
    for door in doors
]
