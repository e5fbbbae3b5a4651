"""The search for secrets finds them wherever they are."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from contextlib import closing

import pytest

from tests.scan import findings, stores_in
from tests.sdks.secrets import OPENAI_KEY


@pytest.mark.parametrize(
    "hide",
    [
        str.encode,
        lambda key: zlib.compress(b"x" * 900 + key.encode()),
        lambda key: b"head" + gzip.compress(b"x" * 900 + key.encode()),
        lambda key: base64.b64encode(f"user:{key}".encode()),
        lambda key: base64.b64encode(f"me:{key}!".encode()),
        lambda key: f"https://host/path?key={key}&x=1".encode(),
    ],
    ids=["plain", "zlib", "gzip", "base64", "base64 shifted", "url"],
)
def test_a_secret_is_found_however_it_is_written(tmp_path_factory: pytest.TempPathFactory, hide: object) -> None:
    """A key is found plain, compressed, in base64 and in a URL."""
    store = tmp_path_factory.mktemp("hidden") / "other.db"
    with closing(sqlite3.connect(store)) as db:
        db.execute("CREATE TABLE t (a, b)")
        db.execute("INSERT INTO t VALUES (1, ?)", (hide(OPENAI_KEY),))  # type: ignore[operator]
        db.commit()
    found = findings(store)
    stores = stores_in(store.parent)
    store.unlink()  # the search at the end of all tests is not to find this one
    assert [store] == stores
    assert found


@pytest.mark.parametrize(
    "hide",
    [
        str,
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.b64encode(gzip.compress(b"x" * 900 + key.encode())).decode(),
    ],
    ids=["plain", "base64", "compressed"],
)
def test_a_secret_is_found_in_a_text_store(tmp_path_factory: pytest.TempPathFactory, hide: object) -> None:
    """A key is found in a line, and in the base64 of content that was compressed."""
    store = tmp_path_factory.mktemp("hidden") / "other.jsonl"
    store.write_text(json.dumps({"text": hide(OPENAI_KEY)}))  # type: ignore[operator]
    found, stores = findings(store), stores_in(store.parent)
    store.unlink()
    assert [store] == stores
    assert found
