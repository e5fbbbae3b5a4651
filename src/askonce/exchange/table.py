"""A table of conversations, a row a take, for analysis: CSV by the standard library, Parquet by pyarrow."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO, get_type_hints

from askonce._core.entry import Entry, Take
from askonce._core.transcript import Turn, answered, asked, parameters, plain
from askonce.errors import FileFormatError

_GROUP = 1000  # rows that Parquet writes at a time


class Row(NamedTuple):
    """One take. `prompt` and `answer` are text; times are in seconds, `recorded` is in UTC."""

    key: str
    recorded: datetime
    provider: str
    kind: str
    model: str
    partition: str
    seed: str | None
    slot: int
    url: str
    parameters: str
    prompt: str
    answer: str
    thinking: str
    tool_calls: str
    status: int
    input_tokens: int
    output_tokens: int
    seconds: float
    first_chunk_seconds: float
    chunks: int
    size: int
    hits: int


def rows(entry: Entry) -> Iterator[Row]:
    """Yield the rows of an entry."""
    question = entry.question
    prompt = "\n\n".join(_turn_text(turn) for turn in asked(question))
    given = json.dumps(dict(parameters(question)), ensure_ascii=False)
    for take in entry.takes:
        answer = take.answer
        turns = answered(answer)
        row = Row(
            question.key.hex(),
            _moment(take),
            question.provider,
            question.kind,
            question.model,
            question.partition,
            take.seed,
            take.slot,
            question.url,
            given,
            prompt,
            plain(turn._replace(thinking="", calls=()) for turn in turns),
            "\n".join(turn.thinking for turn in turns if turn.thinking),
            "\n".join(call for turn in turns for call in turn.calls),
            answer.head.status,
            answer.usage.input_tokens,
            answer.usage.output_tokens,
            round(answer.seconds, 6),
            round(answer.chunks[0].at if answer.chunks else answer.head_at, 6),
            len(answer.chunks),
            answer.size,
            entry.hits,
        )
        yield Row(*(_writable(value) for value in row))


def _writable(value: Any) -> Any:
    """Return a text without what UTF-8 cannot hold: an answer's JSON may have half of a surrogate pair."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _turn_text(turn: Turn) -> str:
    said = plain((turn,))
    return f"{turn.role}: {said}" if turn.role else said


def _moment(take: Take) -> datetime:
    try:
        return datetime.fromtimestamp(take.recorded, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def write_csv(entries: Iterable[Entry], file: TextIO) -> Iterator[Entry]:
    """Write entries as CSV; yield each when it is written."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Row._fields)
    for entry in entries:
        for row in rows(entry):
            writer.writerow([_cell(value) for value in row])
        yield entry


def _cell(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def write_parquet(entries: Iterable[Entry], path: Path) -> Iterator[Entry]:
    """Write entries as Parquet; yield each when it is taken in.

    Raises:
        FileFormatError: when pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise FileFormatError(
            f"{path}: writing Parquet needs pyarrow. Run pip install 'askonce[parquet]', or write a .csv."
        ) from None
    columns = {int: pa.int64(), float: pa.float64(), datetime: pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, columns.get(kind, pa.string())) for name, kind in get_type_hints(Row).items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for entry in entries:
            group += [row._asdict() for row in rows(entry)]
            if len(group) >= _GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group.clear()
            yield entry
        writer.write_table(pa.Table.from_pylist(group, schema))
