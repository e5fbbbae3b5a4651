"""The layout of an SQLite store, as the steps that led to it.

A step is never changed once released; a new one is appended. `PRAGMA user_version` counts the steps taken.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

APPLICATION_ID = 0x41534B31  # "ASK1": tells our files from any other SQLite database


def create_questions_and_takes(db: sqlite3.Connection) -> None:
    """Lay out entries, with counters so that no total is ever summed over rows."""
    for statement in (
        """CREATE TABLE questions (
            id INTEGER PRIMARY KEY,
            key BLOB NOT NULL UNIQUE,
            provider TEXT NOT NULL,
            kind TEXT NOT NULL,
            model TEXT NOT NULL,
            partition TEXT NOT NULL,
            url TEXT NOT NULL,
            head BLOB NOT NULL,
            coding INTEGER NOT NULL,
            body BLOB NOT NULL
        )""",
        """CREATE TABLE takes (
            id INTEGER PRIMARY KEY,
            question INTEGER NOT NULL REFERENCES questions(id),
            seed TEXT,
            recorded REAL NOT NULL,
            ttl REAL,
            expires REAL,
            used REAL NOT NULL,
            hits INTEGER NOT NULL DEFAULT 0,
            seconds REAL NOT NULL,
            input_tokens INTEGER NOT NULL,
            output_tokens INTEGER NOT NULL,
            digest BLOB NOT NULL,
            coding INTEGER NOT NULL,
            answer BLOB NOT NULL
        )""",
        # A NULL is never equal to another, and an unseeded take must be the only one; an empty seed is a seed.
        "CREATE UNIQUE INDEX takes_by_question ON takes(question, ifnull('=' || seed, ''))",
        "CREATE INDEX takes_that_expire ON takes(expires) WHERE expires IS NOT NULL",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        """INSERT INTO counters VALUES
            ('entries', 0), ('takes', 0), ('size', 0), ('hits', 0), ('seconds_saved', 0.0), ('tokens_saved', 0)""",
        """CREATE TRIGGER question_added AFTER INSERT ON questions BEGIN
            UPDATE counters SET value = value + 1 WHERE name = 'entries';
            UPDATE counters SET value = value + length(NEW.head) + length(NEW.body) WHERE name = 'size';
        END""",
        """CREATE TRIGGER question_removed AFTER DELETE ON questions BEGIN
            UPDATE counters SET value = value - 1 WHERE name = 'entries';
            UPDATE counters SET value = value - length(OLD.head) - length(OLD.body) WHERE name = 'size';
        END""",
        """CREATE TRIGGER take_added AFTER INSERT ON takes BEGIN
            UPDATE counters SET value = value + 1 WHERE name = 'takes';
            UPDATE counters SET value = value + length(NEW.answer) WHERE name = 'size';
        END""",
        """CREATE TRIGGER take_removed AFTER DELETE ON takes BEGIN
            UPDATE counters SET value = value - 1 WHERE name = 'takes';
            UPDATE counters SET value = value - length(OLD.answer) WHERE name = 'size';
        END""",
    ):
        db.execute(statement)


def number_takes(db: sqlite3.Connection) -> None:
    """Let several takes of one seed lie side by side, each in a slot of its own."""
    db.execute("ALTER TABLE takes ADD COLUMN slot INTEGER NOT NULL DEFAULT 0")
    db.execute("DROP INDEX takes_by_question")
    db.execute("CREATE UNIQUE INDEX takes_by_question ON takes(question, ifnull('=' || seed, ''), slot)")


def count_tokens_of_prompt_caches(db: sqlite3.Connection) -> None:
    """Count the input tokens that were read from, or written to, the provider's own cache: their price differs."""
    for column in ("cached_tokens", "written_tokens"):
        db.execute(f"ALTER TABLE takes ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")


def tag_questions(db: sqlite3.Connection) -> None:
    """Let an entry have tags; few have, and are found without a look at the others."""
    db.execute("ALTER TABLE questions ADD COLUMN tags TEXT")
    db.execute("CREATE INDEX questions_with_tags ON questions(id) WHERE tags IS NOT NULL")


def count_uses_apart(db: sqlite3.Connection) -> None:
    """Keep hits in rows of their own: a count then rewrites a few bytes, not an answer."""
    for statement in (
        "CREATE TABLE uses (take INTEGER PRIMARY KEY, hits INTEGER NOT NULL, used REAL NOT NULL)",
        "INSERT INTO uses SELECT id, hits, used FROM takes WHERE hits > 0",
        "ALTER TABLE takes DROP COLUMN hits",
        "ALTER TABLE takes DROP COLUMN used",
        "CREATE TRIGGER uses_removed AFTER DELETE ON takes BEGIN DELETE FROM uses WHERE take = OLD.id; END",
    ):
        db.execute(statement)


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    create_questions_and_takes,
    number_takes,
    count_tokens_of_prompt_caches,
    tag_questions,
    count_uses_apart,
)
