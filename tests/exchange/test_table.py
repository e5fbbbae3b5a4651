"""The table of conversations, as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from askonce._core.entry import Entry, Take
from askonce._core.messages import Answer, Chunk, Head, Usage
from askonce.errors import FileFormatError
from askonce.exchange.table import Row, write_csv, write_parquet
from tests.core.building import headers, question
from tests.exchange.building import chat, completion


def entries(text: str = '=1+1, "quoted"\nnext café') -> list[Entry]:
    """Return an entry with two takes."""
    head = Head(200, headers({"content-type": "application/json"}))
    takes = tuple(
        Take(
            Answer(head, 0.5, (Chunk(json.dumps(completion(text)).encode(), 1.0),), Usage(2, 3)),
            1e9,
            seed,
            None,
            slot,
        )
        for seed, slot in ((None, 0), ("7", 1))
    )
    return [Entry(question(chat("why?", temperature=0.5), partition="acme"), takes, hits=4)]


def test_csv() -> None:
    """A row a take, with text as people read it; whatever is in it comes back from a reader of CSV."""
    file = io.StringIO(newline="")
    assert entries() == list(write_csv(entries(), file))
    first, second = csv.DictReader(io.StringIO(file.getvalue(), newline=""))
    assert list(Row._fields) == list(first)
    assert ("user: why?", '=1+1, "quoted"\nnext café') == (first["prompt"], first["answer"])
    assert ("gpt-5", "acme", "", "0", "2", "3") == tuple(
        first[name] for name in ("model", "partition", "seed", "slot", "input_tokens", "output_tokens")
    )
    assert ("2001-09-09T01:46:40+00:00", '{"temperature": "0.5"}') == (first["recorded"], first["parameters"])
    assert ("7", "1") == (second["seed"], second["slot"])


def test_parquet(tmp_path: Path) -> None:
    """The columns have types, and a text with half of a surrogate pair is written too."""
    path = tmp_path / "table.parquet"
    list(write_parquet(entries("half \ud83d of a pair"), path))
    table = parquet.read_table(path)
    assert list(Row._fields) == table.column_names
    assert ["half ? of a pair"] * 2 == table["answer"].to_pylist()
    assert [None, "7"] == table["seed"].to_pylist()
    assert [1.0, 1.0] == table["seconds"].to_pylist()
    assert 2001 == table["recorded"].to_pylist()[0].year


def test_parquet_of_nothing(tmp_path: Path) -> None:
    """Without entries there is a table without rows."""
    list(write_parquet([], tmp_path / "table.parquet"))
    assert 0 == parquet.read_table(tmp_path / "table.parquet").num_rows


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error names what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FileFormatError, match=r"pip install 'askonce\[parquet\]'"):
        list(write_parquet([], tmp_path / "table.parquet"))
