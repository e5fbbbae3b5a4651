"""What identifies a request: the digest of its canonical form.

The form has two lines: a head (version, method, URL, headers, partition; JSON with sorted keys) and the
canonical body. The key is SHA-256 over the head, a line feed and the SHA-256 of the body, so that a body seen
before need not be hashed again. Everything of a request is in the form except what is listed here as volatile
or secret; a value that is not known to be harmless is there as a digest, so that no secret can be read in it.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from askonce._core.body import Body, canonical_json
from askonce._core.domains import Domain, Route
from askonce._core.entry import Question
from askonce._core.messages import Request

FORM_VERSION = 1

# Sent for the connection, for tracing, for telemetry or for billing: they differ between runs, SDKs and
# machines, and no provider's answer depends on them.
_VOLATILE = frozenset(
    """
    accept-encoding accept-language connection content-length content-type host keep-alive te trailer
    transfer-encoding upgrade expect date origin referer http-referer x-title user-agent dnt priority
    cookie cache-control pragma if-match if-none-match if-modified-since if-unmodified-since if-range
    forwarded via x-real-ip x-request-id request-id x-client-request-id x-correlation-id correlation-id
    idempotency-key x-idempotency-key traceparent tracestate baggage sentry-trace b3 x-amzn-trace-id
    x-cloud-trace-context uber-trace-id x-goog-api-client x-goog-request-params x-goog-user-project
    x-amz-date x-amz-content-sha256 x-amz-security-token x-cohere-client-name x-client-name
    anthropic-dangerous-direct-browser-access x-server-timeout
    """.split()
)
_VOLATILE_PREFIXES = (
    "x-stainless-", "x-fern-", "x-askonce-", "amz-sdk-", "x-b3-", "x-datadog-", "x-newrelic-", "x-forwarded-",
    "sec-", "proxy-",
)  # fmt: skip
_SECRET = re.compile(
    r"(?:^|[-_.])(?:api-?key|apikey|key|token|secret|auth|authorization|password|passwd|credential|credentials"
    r"|signature|sig|session|accesstoken)(?:$|[-_.])"
)
# Known to hold a public word: these may be read in the store. All others are kept as digests.
_READABLE = frozenset(
    "accept content-encoding anthropic-version anthropic-beta openai-beta openai-version prefer "
    "x-wait-for-model x-use-cache api-version alt $alt beta".split()
)
_ANY_JSON = frozenset({"", "*/*", "application/json"})
_PLAIN_TYPES = frozenset({"application/json", "multipart/form-data"})  # what a body of that kind is anyway
_FIRST = itemgetter(0)


@lru_cache(maxsize=1024)
def _identifies(name: str) -> bool:
    """Tell whether a header or query parameter (in lower case) is part of the question."""
    return not (name in _VOLATILE or name.startswith(_VOLATILE_PREFIXES) or _SECRET.search(name.replace("_", "-")))


@lru_cache(maxsize=1024)
def _shown(name: str, value: str) -> str:
    if name in _READABLE:
        return value
    return "sha256:" + hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@lru_cache(maxsize=256)
def public_url(scheme: str, host: str, port: int | None, target: str) -> str:
    """Return the URL as it is kept: without secrets, its query sorted, its default port left out."""
    path, _, query = target.partition("?")
    shown_port = "" if port in (None, 80 if scheme == "http" else 443) else f":{port}"
    shown_host = f"[{host.lower()}]" if ":" in host else host.lower()
    url = f"{scheme}://{shown_host}{shown_port}{path}"
    if not query:
        return url
    pairs = [
        (name, _shown(name.lower(), value))
        for name, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
        if _identifies(name.lower())
    ]
    pairs.sort(key=_FIRST)  # and no further: the order of one name's values may matter
    return f"{url}?{urlencode(pairs, errors='surrogateescape')}" if pairs else url


def identify(request: Request, body: Body, domain: Domain, route: Route, partition: str) -> Question:
    """Derive a request's canonical form and key."""
    headers = []
    for raw_name, raw_value in request.headers:
        name = raw_name.decode("latin-1").lower()
        if _identifies(name):
            value = raw_value.decode("latin-1")
            if name == "accept" and value.strip().lower() in _ANY_JSON:
                continue
            headers.append((name, _shown(name, value)))
    content_type = (request.headers.get(b"content-type") or "").lower()
    if body.kind in ("json", "parts"):  # their parameters (charset, boundary) are used up by reading the body
        content_type = content_type.partition(";")[0].strip()
    if content_type not in _PLAIN_TYPES or body.kind in ("text", "bytes"):
        headers.append(("content-type", content_type))
    headers.sort(key=_FIRST)
    form: dict[str, Any] = {
        "askonce": FORM_VERSION,
        "body": body.kind,
        "headers": headers,
        "method": request.method,
        "partition": partition,
        "url": public_url(request.scheme, request.host, request.port, request.target),
    }
    if body.normalized:  # or a text that looks as if it had been would be the same question
        form["normalized"] = dict(body.normalized)
    head = canonical_json(form).encode()
    return Question(
        key=question_key(head, body.digest),
        head=head,
        body=body.canonical,
        provider=domain.provider or route.dialect.value,
        kind=route.kind,
        model=_text(body.model or _model_in_path(domain, route, request.path)),
        partition=_text(partition),
    )


def question_key(head: bytes, body_digest: bytes) -> bytes:
    """Return the key of a canonical form: its head, and the SHA-256 of its body."""
    return hashlib.sha256(head + b"\n" + body_digest).digest()


def _model_in_path(domain: Domain, route: Route, path: str) -> str:
    match = route.match(path[len(domain.prefix) :])
    return unquote(match.groupdict().get("model") or "") if match else ""


def _text(text: str) -> str:
    """Return a text that can be stored; JSON may hold half of a surrogate pair, UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode()
