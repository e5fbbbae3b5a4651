"""Spans: one for each request, by the conventions, without a word of what was said."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from askonce.errors import SettingsError
from askonce.gateway.telemetry import Telemetry, read_telemetry
from askonce.testing import Fault, LocalProvider
from tests.gateway.conftest import Running, Start

BODY: dict[str, Any] = {
    "model": "gpt-local",
    "messages": [{"role": "user", "content": "A secret plan?"}],
    "cache_enabled": True,
    "customer_identifier": "ada",
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(gateway: Running) -> Iterator[InMemorySpanExporter]:
    """Return where the gateway's spans go."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    gateway.app.telemetry = Telemetry(provider)
    yield exporter
    provider.shutdown()


def finished(gateway: Running, exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    gateway.settle()
    return list(exporter.get_finished_spans())


def test_a_miss_and_its_hits(gateway: Running, spans: InMemorySpanExporter) -> None:
    """A miss says what the provider used; hits, on the fast path too, what they spared, and use nothing."""
    for _ in range(5):
        gateway.post(BODY, traceparent=TRACE)
    miss, *hits = finished(gateway, spans)
    assert 4 == len(hits)
    assert gateway.app.shortcuts.used > 0
    assert ("chat gpt-local", SpanKind.CLIENT) == (miss.name, miss.kind)
    told = dict(miss.attributes or {})
    assert ("chat", "gpt-local", 200) == (
        told["gen_ai.operation.name"],
        told["gen_ai.request.model"],
        told["http.response.status_code"],
    )
    assert told["gen_ai.usage.input_tokens"] > 0  # type: ignore[operator]
    assert ("miss", "ada") == (told["askonce.cache.outcome"], told["askonce.customer"])
    for hit in hits:
        spared = dict(hit.attributes or {})
        assert SpanKind.INTERNAL == hit.kind
        assert "hit" == spared["askonce.cache.outcome"]
        assert told["gen_ai.usage.output_tokens"] == spared["askonce.saved.output_tokens"]
        assert not any(name.startswith("gen_ai.usage") for name in spared)
    for span in (miss, *hits):
        assert span.parent is not None
        assert TRACE.split("-")[1:3] == [f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}"]
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.end_time >= span.start_time
        assert "secret" not in span.to_json()


def test_the_clients_trace_goes_on(gateway: Running, spans: InMemorySpanExporter, provider: LocalProvider) -> None:
    """The provider sees the trace that the client is in."""
    gateway.post(BODY, traceparent=TRACE, tracestate="a=b")
    assert (TRACE, "a=b") == tuple(provider.received[-1].header(name) for name in ("traceparent", "tracestate"))


def test_an_error(gateway: Running, spans: InMemorySpanExporter, provider: LocalProvider) -> None:
    """An error is one in its span."""
    provider.fail_next(Fault.STATUS(503), "completions")
    gateway.post(BODY)
    (span,) = finished(gateway, spans)
    assert "503" == (span.attributes or {})["error.type"]
    assert not span.status.is_ok


def test_no_trace_of_what_is_left_out(gateway: Running, spans: InMemorySpanExporter) -> None:
    """What is to leave no trace has no span, and neither has what is no generation."""
    gateway.post(BODY | {"omit_logs": True})
    gateway.get("/v1/models")
    assert [] == finished(gateway, spans)


def test_a_collector(start: Start, provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans arrive at the collector that the usual variable names, when the gateway stops at the latest."""
    received: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            assert "/v1/traces" == self.path
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        gateway = start()
        assert gateway.app.telemetry is not None
        for _ in range(3):
            gateway.post(BODY)
        gateway.settle()
        gateway.app.telemetry.close()
        collector.shutdown()
        thread.join()
    resources = [resource for request in received for resource in request.resource_spans]
    found = [span.name for one in resources for scope in one.scope_spans for span in scope.spans]
    assert ["chat gpt-local"] * 3 == found
    names = {a.value.string_value for one in resources for a in one.resource.attributes if a.key == "service.name"}
    assert {"askonce-gateway"} == names


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin'"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf alone"),
    ],
)
def test_what_cannot_be_done(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str) -> None:
    """What the variables ask for and a gateway cannot do is told at its start."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words):
        read_telemetry()


@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}],
    ids=str,
)
def test_nothing_unless_asked(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Without the variables there are no spans."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_telemetry() is None


def test_nothing_is_loaded() -> None:
    """A gateway without spans does not import OpenTelemetry."""
    program = (
        "import sys; from askonce.gateway import create_app; create_app(); print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "False\n" == done.stdout
