"""A receiver of spans by OTLP over HTTP, which parses the protocol's own messages; and the tree that spans make."""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ERROR = 2  # STATUS_CODE_ERROR


class ReceivedSpan(Struct, frozen=True, kw_only=True):
    """A span as it was received. Times are in seconds."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: float
    end: float
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool
    message: str
    resource: dict[str, Any]
    state: str


class OtlpReceiver:
    """Receives spans; `status` is what it answers, and while `silent` is set it answers nothing."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.requests = 0
        self.status = 200
        self.silent = threading.Event()
        self._closing = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests += 1
                while receiver.silent.is_set() and not receiver._closing.wait(0.05):
                    pass
                if receiver.status == 200:
                    plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                    receiver.spans += parsed(plain)
                self.send_response(receiver.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of a trace, without repetitions, as they began."""
        found = {span.span_id: span for span in self.spans if span.trace_id == trace_id}
        return sorted(found.values(), key=lambda span: (span.start, span.end))

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()


def parsed(body: bytes) -> Iterator[ReceivedSpan]:
    request = ExportTraceServiceRequest.FromString(body)
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    kind=span.kind,
                    start=span.start_time_unix_nano / 1e9,
                    end=span.end_time_unix_nano / 1e9,
                    attributes=_attributes(span.attributes),
                    links=tuple(link.span_id.hex() for link in span.links),
                    failed=span.status.code == ERROR,
                    message=span.status.message,
                    resource=resource,
                    state=span.trace_state,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def tree(spans: list[ReceivedSpan], root: str) -> dict[str, list[str]]:
    """Names of the children of each span, by name; `root` is the id of the submitter's span.

    Every span has a parent that was received, except the children of the root.
    """
    names = {root: "submitter"} | {span.span_id: span.name for span in spans}
    found: dict[str, list[str]] = defaultdict(list)
    for span in spans:
        assert span.parent_id in names, f"the parent of {span.name} is missing"
        found[names[span.parent_id]].append(span.name)
    return dict(found)
