"""An HTTP endpoint that records what it receives, and answers with given statuses."""

import json
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint:
    """Answers with each of the statuses once, and with the last one from then on."""

    def __init__(self, statuses: Iterable[int]) -> None:
        self.received: list[dict] = []
        self._statuses = list(statuses)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                statuses = endpoint._statuses
                endpoint.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
