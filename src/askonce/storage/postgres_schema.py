"""What PostgreSQL is taught: tables, and functions that change one entry in one round trip.

Steps only add, so that an older askonce works on beside a newer one: what a step made is never changed by a later
one, which makes new functions under new names. `{s}` stands for the name of the schema.

Sums are kept by kind in several rows, each for some of the server's processes: they seldom wait for one another.
An entry is locked before it is changed, and a change touches one entry, so that nobody waits in a circle.
"""

from __future__ import annotations

from typing import NamedTuple

COUNTS = (
    "entries", "takes", "size", "hits", "read", "written", "micros", "read_saved", "written_saved", "cached_saved",
    "stored_saved", "uncounted",
)  # fmt: skip
EVER = ("all_hits", "all_micros", "all_tokens")
"""What is counted of hits, and stays when entries go."""

_SUMS = COUNTS + EVER
_COLUMNS = ", ".join(f"{name} bigint NOT NULL" for name in _SUMS)
_NAMES = ", ".join(_SUMS)
_DELTAS = ", ".join(f"after[{at}] - before[{at}]" for at in range(1, len(COUNTS) + 1))
_ADDED = ", ".join(f"{name} = s.{name} + excluded.{name}" for name in _SUMS)

_FIRST = f"""
CREATE TABLE {{s}}.kinds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name bytea NOT NULL UNIQUE,
    provider bytea NOT NULL, model bytea NOT NULL, url bytea NOT NULL);
CREATE TABLE {{s}}.entries (
    key bytea PRIMARY KEY, kind bigint NOT NULL, latest bigint NOT NULL, hits bigint NOT NULL,
    used float8 NOT NULL, asked bigint NOT NULL, coding bigint NOT NULL, sort bytea NOT NULL,
    customer bytea NOT NULL,
    head bytea NOT NULL, body bytea NOT NULL, tags text[] NOT NULL);
CREATE INDEX ON {{s}}.entries USING gin (tags);
CREATE INDEX ON {{s}}.entries (latest);
CREATE INDEX ON {{s}}.entries (kind, latest);
CREATE INDEX ON {{s}}.entries (sha256(customer), latest) WHERE customer <> '';
CREATE TABLE {{s}}.takes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key bytea NOT NULL, name bytea NOT NULL, seed bytea,
    slot bigint NOT NULL, recorded float8 NOT NULL, ttl float8, expires float8, micros bigint NOT NULL,
    read bigint NOT NULL, written bigint NOT NULL, cached bigint NOT NULL, stored bigint NOT NULL,
    token bigint NOT NULL, digest bytea NOT NULL, coding bigint NOT NULL, data bytea NOT NULL,
    UNIQUE (key, name));
ALTER TABLE {{s}}.takes ALTER data SET STORAGE EXTERNAL;
CREATE INDEX ON {{s}}.takes (expires) WHERE expires IS NOT NULL;
CREATE TABLE {{s}}.sums (kind bigint NOT NULL, shard bigint NOT NULL, {_COLUMNS}, PRIMARY KEY (kind, shard));
CREATE UNLOGGED TABLE {{s}}.leases (
    name bytea PRIMARY KEY, token bigint NOT NULL, holder bytea NOT NULL, ends timestamptz NOT NULL);
CREATE SEQUENCE {{s}}.tokens;

CREATE FUNCTION {{s}}.counts_1(wanted bytea) RETURNS bigint[] LANGUAGE sql AS $$
    SELECT coalesce((SELECT ARRAY[
        1, count(*), e.asked + sum(length(t.data)), e.hits, sum(t.read), sum(t.written), sum(t.micros),
        1000 * e.hits * sum(t.read) / count(*), 1000 * e.hits * sum(t.written) / count(*),
        1000 * e.hits * sum(t.cached) / count(*), 1000 * e.hits * sum(t.stored) / count(*),
        CASE WHEN sum(t.read) + sum(t.written) = 0 THEN e.hits ELSE 0 END]::bigint[]
    FROM {{s}}.entries e JOIN {{s}}.takes t ON t.key = e.key WHERE e.key = wanted GROUP BY e.key),
    array_fill(0::bigint, ARRAY[{len(COUNTS)}])) $$;

CREATE FUNCTION {{s}}.note_1(the_kind bigint, before bigint[], after bigint[], h bigint, m bigint, t bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO {{s}}.sums AS s (kind, shard, {_NAMES})
    VALUES (the_kind, pg_backend_pid() % 16, {_DELTAS}, h, m, t)
    ON CONFLICT (kind, shard) DO UPDATE SET {_ADDED} $$;

CREATE FUNCTION {{s}}.tell_1(wanted bytea) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('askonce {{s}}', encode(wanted, 'hex')) $$;

CREATE FUNCTION {{s}}.told_1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN  -- by whatever means: of one change, what is told twice is told once
    IF TG_OP = 'TRUNCATE' THEN PERFORM {{s}}.tell_1(''); ELSE PERFORM {{s}}.tell_1(OLD.key); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER told AFTER UPDATE OR DELETE ON {{s}}.takes FOR EACH ROW EXECUTE FUNCTION {{s}}.told_1();
CREATE TRIGGER told_all AFTER TRUNCATE ON {{s}}.takes FOR EACH STATEMENT EXECUTE FUNCTION {{s}}.told_1();

CREATE FUNCTION {{s}}.settle_1(wanted bytea, the_kind bigint, before bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM {{s}}.takes WHERE key = wanted) THEN
        UPDATE {{s}}.entries SET latest = (SELECT max(id) FROM {{s}}.takes WHERE key = wanted) WHERE key = wanted;
    ELSE
        DELETE FROM {{s}}.entries WHERE key = wanted;
    END IF;
    PERFORM {{s}}.note_1(the_kind, before, {{s}}.counts_1(wanted), 0, 0, 0);
    PERFORM {{s}}.tell_1(wanted);
END $$;

CREATE FUNCTION {{s}}.add_1(
    a_key bytea, a_name bytea, a_seed bytea, a_slot bigint, a_recorded float8, a_ttl float8, a_micros bigint,
    a_read bigint, a_written bigint, a_cached bigint, a_stored bigint, a_token bigint, a_digest bytea,
    a_coding bigint, a_data bytea, instead bigint, a_asked bigint, b_coding bigint, a_body bytea, a_head bytea,
    a_sort bytea, a_customer bytea, k_name bytea, a_provider bytea, a_model bytea, a_url bytea, a_tags text[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE a_kind bigint; before bigint[]; old record; is_new boolean;
BEGIN
    SELECT id INTO a_kind FROM {{s}}.kinds WHERE name = k_name;
    IF a_kind IS NULL THEN
        INSERT INTO {{s}}.kinds (name, provider, model, url) VALUES (k_name, a_provider, a_model, a_url)
        ON CONFLICT (name) DO UPDATE SET provider = excluded.provider RETURNING id INTO a_kind;
    END IF;
    INSERT INTO {{s}}.entries AS e VALUES (
        a_key, a_kind, 0, 0, a_recorded, a_asked, b_coding, a_sort, a_customer, a_head, a_body, a_tags)
    ON CONFLICT (key) DO UPDATE SET used = e.used RETURNING kind, latest = 0 INTO a_kind, is_new;
    before := {{s}}.counts_1(a_key);
    SELECT id, token INTO old FROM {{s}}.takes WHERE key = a_key AND name = a_name;
    IF FOUND THEN  -- instead: -1 for any, else the number of the one that is damaged
        IF (instead <> -1 AND instead <> old.id) OR (a_token > 0 AND old.token > a_token) THEN RETURN 0; END IF;
        DELETE FROM {{s}}.takes WHERE id = old.id;
    END IF;
    INSERT INTO {{s}}.takes (key, name, seed, slot, recorded, ttl, expires, micros, read, written, cached, stored,
        token, digest, coding, data)
    VALUES (a_key, a_name, a_seed, a_slot, a_recorded, a_ttl, a_recorded + a_ttl, a_micros, a_read, a_written,
        a_cached, a_stored, a_token, a_digest, a_coding, a_data);
    UPDATE {{s}}.entries SET latest = (SELECT max(id) FROM {{s}}.takes WHERE key = a_key),
        used = greatest(used, a_recorded), tags = a_tags WHERE key = a_key;
    PERFORM {{s}}.note_1(a_kind, before, {{s}}.counts_1(a_key), 0, 0, 0);
    IF NOT is_new THEN PERFORM {{s}}.tell_1(a_key); END IF;  -- what nobody has read, nobody has in memory
    RETURN 1;
END $$;

CREATE FUNCTION {{s}}.remove_1(a_key bytea, until float8, above bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE a_kind bigint; before bigint[]; gone bigint;
BEGIN
    SELECT kind INTO a_kind FROM {{s}}.entries WHERE key = a_key FOR UPDATE;
    IF NOT FOUND THEN RETURN 0; END IF;
    before := {{s}}.counts_1(a_key);
    IF above > 0 THEN  -- all but the latest, as many as are too many
        DELETE FROM {{s}}.takes t USING (
            SELECT id, sum(length(data)) OVER (ORDER BY id DESC) AS so_far,
                row_number() OVER (ORDER BY id DESC) AS at
            FROM {{s}}.takes WHERE key = a_key) o
        WHERE t.id = o.id AND o.at > 1 AND o.so_far > above - (SELECT asked FROM {{s}}.entries WHERE key = a_key);
    ELSE
        DELETE FROM {{s}}.takes WHERE key = a_key AND (until IS NULL OR expires <= until);
    END IF;
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 0 OR until IS NULL THEN PERFORM {{s}}.settle_1(a_key, a_kind, before); END IF;
    RETURN gone;
END $$;

CREATE FUNCTION {{s}}.hit_1(a_key bytea, times bigint, moment float8, h_micros bigint, h_tokens bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE a_kind bigint; before bigint[]; after bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);  -- hits may be lost
    before := array_fill(0::bigint, ARRAY[{len(COUNTS)}]);
    after := before;
    SELECT kind INTO a_kind FROM {{s}}.entries WHERE key = a_key FOR UPDATE;
    IF FOUND THEN  -- else, what another adds meanwhile is not this one's to count
        before := {{s}}.counts_1(a_key);
        UPDATE {{s}}.entries SET hits = hits + times, used = greatest(used, moment) WHERE key = a_key;
        after := {{s}}.counts_1(a_key);
    END IF;
    PERFORM {{s}}.note_1(coalesce(a_kind, 0), before, after, times, h_micros, h_tokens);
END $$;
"""  # noqa: S608 (our own names)


_SAVED = ("read", "written", "cached", "stored")
_SAYS = "(1000 * {hits} * p.{name} / p.n)::bigint"  # as counts_1 does
_CHANGES = ", ".join(
    f"sum(coalesce({_SAYS.format(hits='c.hits', name=name)}"
    f" - {_SAYS.format(hits='(c.hits - g.times)', name=name)}, 0))"
    for name in _SAVED
)

# Hits on many entries at once; entries and kinds in one order, so that nobody waits in a circle.
_SECOND = f"""
CREATE FUNCTION {{s}}.hits_2(
    the_keys bytea[], the_times bigint[], the_moments float8[], the_micros bigint[], the_tokens bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE found bytea[];  -- what is added from here on is not this one's to count, nor to wait for
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);  -- hits may be lost
    SELECT array_agg(key) INTO found FROM (
        SELECT key FROM {{s}}.entries WHERE key = ANY(the_keys) ORDER BY key FOR UPDATE) e;
    WITH given AS (
        SELECT * FROM unnest(the_keys, the_times, the_moments, the_micros, the_tokens)
            AS g(key, times, moment, micros, tokens)),
    changed AS (
        UPDATE {{s}}.entries e SET hits = e.hits + g.times, used = greatest(e.used, g.moment)
        FROM given g WHERE e.key = g.key AND e.key = ANY(found) RETURNING e.key, e.kind, e.hits),
    parts AS (
        SELECT key, count(*) AS n, {", ".join(f"sum({name}) AS {name}" for name in _SAVED)}
        FROM {{s}}.takes WHERE key = ANY(found) GROUP BY key)
    INSERT INTO {{s}}.sums AS s (kind, shard, {_NAMES})
    SELECT coalesce(c.kind, 0), pg_backend_pid() % 16,
        0, 0, 0, sum(CASE WHEN p.n > 0 THEN g.times ELSE 0 END), 0, 0, 0, {_CHANGES},
        sum(CASE WHEN p.read + p.written = 0 THEN g.times ELSE 0 END),
        sum(g.times), sum(g.micros), sum(g.tokens)
    FROM given g LEFT JOIN changed c ON c.key = g.key LEFT JOIN parts p ON p.key = c.key
    GROUP BY 1 ORDER BY 1
    ON CONFLICT (kind, shard) DO UPDATE SET {_ADDED};
END $$;
"""  # noqa: S608 (our own names)

_ARGUMENTS = """
    a_key bytea, a_name bytea, a_seed bytea, a_slot bigint, a_recorded float8, a_ttl float8, a_micros bigint,
    a_read bigint, a_written bigint, a_cached bigint, a_stored bigint, a_token bigint, a_digest bytea,
    a_coding bigint, a_data bytea, instead bigint, a_asked bigint, b_coding bigint, a_body bytea, a_head bytea,
    a_sort bytea, a_customer bytea, k_name bytea, a_provider bytea, a_model bytea, a_url bytea, a_tags text[]"""
_NAMED = ", ".join(argument.split()[0] for argument in _ARGUMENTS.split(","))
_NONE = ", ".join(["0"] * len(COUNTS))

# The first answer to a question, which most are: nothing is counted that is known, and each row is written once.
_THIRD = f"""
CREATE FUNCTION {{s}}.add_2({_ARGUMENTS}) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE a_kind bigint; a_take bigint := nextval('{{s}}.takes_id_seq'); is_new boolean;
BEGIN
    SELECT id INTO a_kind FROM {{s}}.kinds WHERE name = k_name;
    IF a_kind IS NULL THEN RETURN {{s}}.add_1({_NAMED}); END IF;
    INSERT INTO {{s}}.entries AS e VALUES (
        a_key, a_kind, a_take, 0, a_recorded, a_asked, b_coding, a_sort, a_customer, a_head, a_body, a_tags)
    ON CONFLICT (key) DO UPDATE SET used = e.used RETURNING latest = a_take INTO is_new;
    IF NOT is_new THEN RETURN {{s}}.add_1({_NAMED}); END IF;
    INSERT INTO {{s}}.takes (id, key, name, seed, slot, recorded, ttl, expires, micros, read, written, cached,
        stored, token, digest, coding, data) OVERRIDING SYSTEM VALUE
    VALUES (a_take, a_key, a_name, a_seed, a_slot, a_recorded, a_ttl, a_recorded + a_ttl, a_micros, a_read,
        a_written, a_cached, a_stored, a_token, a_digest, a_coding, a_data);
    PERFORM {{s}}.note_1(a_kind, ARRAY[{_NONE}]::bigint[],
        ARRAY[1, 1, a_asked + length(a_data), 0, a_read, a_written, a_micros, 0, 0, 0, 0, 0]::bigint[], 0, 0, 0);
    RETURN 1;
END $$;
"""  # noqa: S608 (our own names)


class Layout(NamedTuple):
    """What is made in a schema, step by step, and what it is called by whoever uses it."""

    steps: tuple[str, ...]
    what: str
    setting: str
    """What names another."""


STORE = Layout((_FIRST, _SECOND, _THIRD), "the store", "store= or ASKONCE_STORE")
