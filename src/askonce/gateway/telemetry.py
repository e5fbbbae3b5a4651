"""A span for every request, by OpenTelemetry's conventions for generative AI, when the usual variables ask for it.

Nothing of a question or an answer is in a span. What a hit spared is under names of our own: the usage of the
conventions is what a provider is paid for, and their cache the provider's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from askonce._core.messages import Headers
from askonce.errors import SettingsError
from askonce.gateway.calls import Again, Call
from askonce.settings import read_variable

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_TRACE = (b"traceparent", b"tracestate")
# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
_OPERATIONS = {"completion": "text_completion", "embedding": "embeddings", "response": "chat"}
_PROVIDERS = {
    "gemini": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}


def trace_of(headers: Headers) -> dict[str, str]:
    """Return the trace that a request belongs to (W3C Trace Context), as its headers say it."""
    return {name.decode(): value for name in _TRACE if (value := headers.get(name)) is not None}


class Telemetry:
    """Make spans of calls that are over."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("askonce.gateway")
        self._extract = TraceContextTextMapPropagator().extract
        self._asked, self._answered = trace.SpanKind.CLIENT, trace.SpanKind.INTERNAL
        self._failed = trace.Status(trace.StatusCode.ERROR)

    def note(self, noted: Call | Again) -> None:
        """Make a span, unless the call is to leave no trace."""
        call = noted.call if isinstance(noted, Again) else noted
        if call.omit or call.question is None:
            return
        operation = _OPERATIONS.get(call.question.kind, call.question.kind)
        span = self._tracer.start_span(
            f"{operation} {call.question.model}".strip(),
            self._extract(call.trace),
            self._answered if call.outcome in ("hit", "shared") else self._asked,
            _attributes(call, operation),
            start_time=round(noted.at * 1e9),
        )
        if call.outcome == "error" or call.status >= 400:
            span.set_attribute("error.type", str(call.status or "_OTHER"))
            span.set_status(self._failed)
        span.end(round((noted.at + noted.seconds) * 1e9))

    def close(self) -> None:
        """Send what is pending."""
        shutdown = getattr(self._provider, "shutdown", None)
        if shutdown is not None:
            shutdown()


def _attributes(call: Call, operation: str) -> Mapping[str, Any]:
    question = call.question
    assert question is not None, "only generation has spans"
    found: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDERS.get(question.provider, question.provider or call.upstream),
        "gen_ai.request.model": question.model,
        "http.response.status_code": call.status,
        "askonce.cache.outcome": call.outcome,
        "askonce.cache.key": question.key.hex(),
    }
    if call.customer:
        found["askonce.customer"] = call.customer
    answer = call.take.answer if call.take is not None else call.answer
    if answer is None:
        return found
    usage = answer.usage
    if call.outcome in ("hit", "shared"):
        return found | {
            "askonce.saved.input_tokens": usage.input_tokens,
            "askonce.saved.output_tokens": usage.output_tokens,
            "askonce.saved.seconds": answer.seconds,
        }
    return found | {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.written_tokens,
    }


def read_telemetry() -> Telemetry | None:
    """Return what the variables `OTEL_…` ask for; None where they ask for nothing.

    Raises:
        SettingsError: when they ask for what is not installed, or not there.
    """
    exporter = (read_variable("OTEL_TRACES_EXPORTER") or "").lower()
    is_disabled = (read_variable("OTEL_SDK_DISABLED") or "").lower() == "true"
    if is_disabled or exporter == "none" or not (exporter or any(map(read_variable, _ENDPOINTS))):
        return None
    if exporter not in ("", "otlp"):
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {exporter!r} is not otlp or none, which a gateway knows.")
    for name in _PROTOCOLS:
        if (read_variable(name) or "http/protobuf") != "http/protobuf":
            raise SettingsError(f"{name}: a gateway sends http/protobuf alone.")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"OTEL_… variables ask for spans, and {error.name} is not installed. Run: pip install 'askonce[otel]'"
        ) from None
    named = {} if read_variable("OTEL_SERVICE_NAME") else {"service.name": "askonce-gateway"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Telemetry(provider)
