"""The last question that a store did not answer and does not keep, in a small file beside it: for `askonce why`.

The file is a line of JSON, then the question's body as it is: what is large is written without being looked at.

Written when a call was refused, or asked without being recorded; a hit and a recording touch nothing. Like all
that is stored it is a canonical form, which holds no secret. That it can be written is no promise.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from askonce._core.entry import Question
from askonce.storage.protocol import Storage

_MOST = 4 << 20  # bytes of a question that is worth a file


class Miss(NamedTuple):
    """A question that was missed, with the seed that was asked for; `at` is in Unix seconds."""

    question: Question
    seed: str | None
    why: str
    at: float


def place(storage: Storage) -> Path | None:
    """Return where a storage's last miss is kept; None for one without a file, or with one that goes into git."""
    path = getattr(storage, "path", None)
    if not isinstance(path, Path) or path.suffix == ".jsonl":
        return None
    return path.with_name(f"{path.name}-miss")


def remember(storage: Storage, miss: Miss) -> None:
    """Keep a miss in place of the one before."""
    path = place(storage)
    if path is None:
        return
    question = miss.question
    fields = {
        **question._asdict(),
        "key": question.key.hex(),
        "head": question.head.decode("utf-8", "surrogateescape"),
    }
    del fields["body"]
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    with suppress(OSError):
        if len(question.body) > _MOST:
            path.unlink(missing_ok=True)  # an older one would be taken for the last
            return
        try:
            line = json.dumps({**miss._asdict(), "question": fields}).encode("ascii")
            draft.write_bytes(b"%b\n%b" % (line, question.body))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def recall(storage: Storage) -> Miss | None:
    """Return the last miss, if there was one and its file can be read."""
    path = place(storage)
    if path is None:
        return None
    try:
        line, _, body = path.read_bytes().partition(b"\n")
        value = json.loads(line)
        fields = value["question"]
        question = Question(
            bytes.fromhex(fields["key"]),
            fields["head"].encode("utf-8", "surrogateescape"),
            body,
            *_names(fields),
        )
        json.loads(question.head)["url"]
        return Miss(question, value["seed"], str(value["why"]), float(value["at"]))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _names(fields: Any) -> tuple[str, str, str, str]:
    return str(fields["provider"]), str(fields["kind"]), str(fields["model"]), str(fields["partition"])
