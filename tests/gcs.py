"""A store of Google's kind, which TensorFlow's own client for gs:// talks to.

The client knows Google's hosts alone. It reaches them through a proxy if the environment names one, and trusts the
authority of `CURL_CA_BUNDLE`: the proxy here answers for the hosts itself.
"""

from __future__ import annotations

import http.client
import http.server
import json
import re
import ssl
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOSTS = ("www.googleapis.com", "storage.googleapis.com")
BUCKET = "bucket"


class Store:
    """Objects by name, each with its generation.

    Attributes:
        requests: method and path of every request, and its range of bytes.
        refused: a pattern of requests, `METHOD path`, that are answered with 403; empty: none.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int]] = {}
        self.requests: list[str] = []
        self.refused = ""
        self._uploads: dict[str, str] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes) -> None:
        with self._lock:
            self._generation += 1
            self.objects[name] = data, self._generation

    def answer(self, method: str, url: str, span: str, body: bytes, headers: Any) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of the answer to a request."""
        if url == "/requests":
            told, self.requests = self.requests, []
            return 200, json.dumps(told).encode(), {}
        if url.startswith("/refuse?"):
            self.refused = urllib.parse.unquote(url.partition("?")[2])
            return 200, b"{}", {}
        self.requests.append(f"{method} {url} {span}".strip())
        if self.refused and re.search(self.refused, f"{method} {url}"):
            return 403, b"refused", {}
        parts = urllib.parse.urlsplit(url)
        query = {key: values[0] for key, values in urllib.parse.parse_qs(parts.query).items()}
        steps = [urllib.parse.unquote(step) for step in parts.path.strip("/").split("/")]
        if steps[0] == "upload":
            return self._upload(method, query, body, headers)
        if steps[:2] == ["storage", "v1"]:
            return self._metadata(method, steps[4:], query)
        return self._read("/".join(steps[1:]), span)

    def _upload(self, method: str, query: dict[str, str], body: bytes, headers: Any) -> tuple[int, bytes, dict]:
        if "session" in query:
            if not headers.get("Content-Range", "").startswith("bytes */"):  # else it asks how much has come
                self.put(self._uploads[query["session"]], body)
            return 200, b"{}", {}
        name = urllib.parse.unquote(query["name"])
        if query["uploadType"] == "resumable":
            self._uploads[session := str(len(self._uploads))] = name
            return (
                200,
                b"",
                {"Location": f"https://www.googleapis.com/upload/storage/v1/b/{BUCKET}/o?session={session}"},
            )
        if query.get("ifGenerationMatch") == "0" and name in self.objects:
            return 412, b"", {}
        self.put(name, body)
        return 200, b"{}", {}

    def _metadata(self, method: str, steps: list[str], query: dict[str, str]) -> tuple[int, bytes, dict]:
        if not steps:
            return 200, b'{"location": "EU"}', {}
        if steps == ["o"]:
            return 200, json.dumps(self._list(query)).encode(), {}
        name = steps[1]
        if name not in self.objects:
            return 404, b"", {}
        data, generation = self.objects[name]
        if method == "DELETE":
            self.objects.pop(name, None)
            return 204, b"", {}
        if "rewriteTo" in steps:
            self.put(steps[-1], data)
            return 200, b'{"done": true}', {}
        updated = f"2026-01-01T00:00:{generation % 60:02d}.000Z"
        return 200, json.dumps({"size": str(len(data)), "generation": str(generation), "updated": updated}).encode(), {}

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, prefixes = [], set()
        for name in sorted(self.objects):
            if not name.startswith(prefix):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            if found:
                prefixes.add(prefix + head + delimiter)
            else:
                items.append({"name": name})
        return {"items": items[: int(query.get("maxResults", 1000))], "prefixes": sorted(prefixes)}

    def _read(self, name: str, span: str) -> tuple[int, bytes, dict]:
        if name not in self.objects:
            return 404, b"", {}
        data = self.objects[name][0]
        if not span:
            return 200, data, {}
        first, last = map(int, span.removeprefix("bytes=").split("-"))
        return (416, b"", {}) if first >= len(data) else (206, data[first : last + 1], {})


@contextmanager
def serving(folder: Path) -> Iterator[Remote]:
    """An empty store in a process of its own, as TensorFlow keeps Python waiting for some of its requests.

    Args:
        folder: for the certificate.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline())
        yield Remote(
            port,
            {
                "https_proxy": f"http://127.0.0.1:{port}",
                "no_proxy": "",
                "CURL_CA_BUNDLE": str(folder / "authority.pem"),
                "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
                "NO_GCE_CHECK": "true",
                "GCS_RETRY_CONFIG_MAX_RETRIES": "1",
            },
        )
    finally:
        process.communicate()


class Remote:
    """The store of another process.

    Attributes:
        environment: in which TensorFlow's client finds it.
    """

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self.environment = environment
        self._port = port

    def requests(self) -> list[str]:
        """Method, path and range of bytes of every request since the last call."""
        return self._ask("requests")

    def refuse(self, pattern: str) -> None:
        """Has requests, `METHOD path`, that match a pattern answered with 403; empty: none."""
        self._ask("refuse?" + urllib.parse.quote(pattern))

    def _ask(self, what: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", f"/{what}")
        return json.loads(connection.getresponse().read())


def _serve(folder: Path) -> None:
    """Serves until standard input ends; prints the port."""
    import trustme

    authority, context, store = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Store()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    authority.issue_cert(*HOSTS).configure_cert(context)
    _Handler.store, _Handler.context = store, context
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the client to acknowledge the headers
    store: Store
    context: ssl.SSLContext

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self) -> None:
        body = self._body()
        span = self.headers.get("Range", "")
        status, data, headers = self.store.answer(self.command, self.path, span, body, self.headers)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *arguments: Any) -> None:
        pass


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
