"""Which statements have vectors in them, and what they do."""

from __future__ import annotations

from typing import Any

import pytest

from aicost.integrations.stores._sql import operation_of
from aicost.integrations.stores.elastic import _request

V = "[1,2,3,4]"


@pytest.mark.parametrize(
    ("statement", "parameters", "expected"),
    [
        ("SELECT id FROM docs ORDER BY at <-> %s LIMIT 5", (V,), ("query", "docs", 1, 5, 4)),
        ("select * from app.docs order by at <=> '[1,2]' limit 3", None, ("query", "app.docs", 1, 3, None)),
        ('SELECT 1 - (at <#> %(q)s) FROM "My Docs"', {"q": V}, ("query", "My Docs", 1, None, 4)),
        ("SELECT id FROM docs WHERE at <+> %s < 0.5", ([1.0, 2.0],), ("query", "docs", 1, None, 2)),
        ("SELECT id FROM docs ORDER BY bits <~> %s", ("101",), ("query", "docs", 1, None, None)),
        (b"SELECT id FROM docs ORDER BY at <-> %s", (V,), ("query", "docs", 1, None, 4)),
        ("INSERT INTO docs VALUES (%s, %s)", (1, V), ("write", "docs", 1, None, 4)),
        ("CREATE INDEX ON docs USING hnsw (at vector_l2_ops)", None, ("manage", "docs", 1, None, None)),
        ("CREATE INDEX name ON docs\nUSING ivfflat (at)", None, ("manage", "docs", 1, None, None)),
        ("SELECT 1", None, None),
        ("SELECT a FROM t WHERE a <> 1 AND b <= 2", None, None),
        ("INSERT INTO notes VALUES (%s)", ("plain text",), None),
        ("INSERT INTO notes VALUES (%s)", (["a", "b"],), None),
        ("x" * 30_000 + " <-> ", None, None),
        (None, None, None),
        (42, (V,), None),
    ],
)
def test_statements_are_told_by_their_operators_and_parameters(statement: Any, parameters: Any, expected: Any) -> None:
    found = operation_of(statement, parameters, many=False)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.kind, found.collection, found.count, found.top_k, found.dimension) == expected


def test_many_rows_are_as_many_vectors() -> None:
    found = operation_of("INSERT INTO docs VALUES (%s, %s)", [(n, V) for n in range(7)], many=True)
    assert found is not None
    assert found.usage() == {"vectors_written": 7, "vector_bytes_written": 7 * 4 * 4}
    assert operation_of("INSERT INTO docs VALUES (%s)", iter([(V,)]), many=True) is None  # not ours to use up


KNN = {"knn": {"at": {"vector": [1.0], "k": 9}}}


@pytest.mark.parametrize(
    ("method", "target", "body", "expected"),
    [
        ("POST", "/docs/_search", {"knn": {"field": "at", "query_vector": [1.0, 2], "k": 3}}, ("query", "docs", 3, 2)),
        ("POST", "/docs/_search", {"knn": [{"field": "at", "query_vector": [1.0], "k": 2}]}, ("query", "docs", 2, 1)),
        ("POST", "/docs/_search", {"size": 4, "query": KNN}, ("query", "docs", 9, 1)),
        ("POST", "/docs/_search", {"query": {"bool": {"must": [KNN]}}}, ("query", "docs", 9, 1)),
        ("POST", "/docs/_search", b'{"query": {"match_all": {}}}', None),
        ("POST", "/docs/_search", {"query": {"match": {"text": "tea"}}}, None),
        ("PUT", "/docs", {"mappings": {"at": {"type": "dense_vector"}}}, ("manage", "docs", None, None)),
        ("GET", "/_cat/indices", None, None),
    ],
)
def test_searches_for_neighbours_are_told_by_their_body(method: str, target: str, body: Any, expected: Any) -> None:
    found = _request(None, (method, target), {"body": body})
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.kind, found.collection, found.top_k, found.dimension) == expected
