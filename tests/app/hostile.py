"""Hostile requests to the page: what is sent, byte for byte, and the answer that it must get."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

GOOD = "{cookie}"  # of a browser that was let in; the project has the video {video} and the file {file}
HTML = "<img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Ask:
    """One request.

    Args:
        name: what is odd about it.
        method: of HTTP, or any word.
        target: path and query, as they are sent; `{video}` and `{file}` are those of the session.
        status: what may be answered; 0: the server hangs up.
        headers: besides Host, Cookie and Content-Length; None takes one of these away.
        body: what follows the headers.
        pause: seconds of nothing before the last byte of the body.
        raw: the whole request, instead of all of the above.
    """

    name: str
    method: str
    target: str
    status: tuple[int, ...]
    headers: Mapping[str, str | None] | None = None
    body: bytes = b""
    pause: float = 0.0
    raw: bytes | None = None

    def sent(self, host: str, known: Mapping[str, str]) -> bytes:
        """The bytes of the request."""
        if self.raw is not None:
            return _filled(self.raw, {"host": host, **known})
        headers: dict[str, str | None] = {"Host": host, "Cookie": GOOD, "Connection": "close"}
        headers["Content-Length"] = str(len(_filled(self.body, known))) if self.body or self.method != "GET" else None
        headers.update(self.headers or {})
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return _filled("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body, known)


def _filled(text: bytes, known: Mapping[str, str]) -> bytes:
    for name, value in known.items():
        text = text.replace(b"{" + name.encode() + b"}", value.encode())
    return text


def tell(name: str, target: str, tree: Any, method: str = "POST", status: int = 400) -> Ask:
    """A request with JSON, or with what only looks like it."""
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return Ask(name, method, target, (status,), {"Content-Type": "application/json"}, body)


def _doors() -> Iterator[Ask]:
    """Files of the machine, videos of others, pages of others."""
    for path in (
        "/static/../web/server.py", "/static/..%2fweb%2fguard.py", "/static/%2fetc%2fpasswd", "/static/%00",
        "/static/" + "../" * 500 + "etc/passwd", "/api/videos/..%2f..%2fetc/media", "/api/videos/{video}%00/media",
    ):  # fmt: skip
        yield Ask(f"path {path[:40]}", "GET", path, (404, 405))
    for cookie in (None, "fact_clip_{port}=x", "fact_clip_{port}={token}"):
        yield Ask(f"cookie {cookie}", "GET", "/api/state", (401,), {"Cookie": cookie})
    for token in ("", "x", "{token}x"):
        yield Ask(f"token {token!r}", "GET", f"/?token={token}", (403,), {"Cookie": None})
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "[::1", ""):
        yield Ask(f"host {host!r}", "GET", "/api/state", (400, 403), {"Host": host})
    for origin in ("http://evil.example", "null", "http://{host}.evil", "http://{host}@evil"):
        yield Ask(f"origin {origin}", "POST", "/api/settings", (403,), {"Origin": origin}, b"{}")


def _protocol() -> Iterator[Ask]:
    yield Ask("method PROPFIND", "PROPFIND", "/api/state", (405,))
    post = b"POST /api/settings HTTP/1.1\r\nHost: {host}\r\n"
    for what, raw in {
        "noise": bytes(range(256)) * 20,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        "two hosts": b"GET /api/state HTTP/1.1\r\nHost: {host}\r\nHost: evil\r\nConnection: close\r\n\r\n",
        "two lengths": post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "length and chunks": post
        + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        "a huge chunk": post + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
        "100 kB of headers": b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    }.items():
        yield Ask(f"bytes: {what}", "", "", (400, 401, 403, 405, 408, 413, 431, 501, 0), raw=raw)
    for part in ("bytes=9999999999999999999-", "bytes=" + "0-0," * 9000):
        yield Ask(f"range of {len(part)} letters", "GET", "/static/app.js", (200, 206, 400, 416), {"Range": part})


def _bodies() -> Iterator[Ask]:
    to, labels, whole = "/api/settings", "/api/videos/{video}/segments", {"start": 0, "stop": 5, "label": "x"}
    for what, raw in {
        "text": b"x", "a list": b"[]", "latin-1": b'{"model": "\xe9"}', "deep": b"[" * 200_000, "5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
        "NaN": b'{"adjust": {"threshold": NaN}}', "1e999": b'{"adjust": {"switch_penalty": 1e999}}', "another key": b'{"adjust": {"__class__": 1}}',
    }.items():  # fmt: skip
        yield tell(f"body: {what}", to, raw)
    yield tell(
        "a million names",
        "/api/actions",
        {"actions": [{"name": f"n{number}"} for number in range(1_000_000)]},
        "PUT",
        413,
    )
    for what, names in {"a text": "stir", "a number": [5], "two lines": ["a\nb"], "an escape": ["\x1b[31m"], "half a pair": ["\ud800"]}.items():  # fmt: skip
        yield tell(
            f"names: {what}",
            "/api/actions",
            {"actions": [{"name": name} for name in names] if isinstance(names, list) else names},
            "PUT",
        )
    yield tell("model: a path", to, {"model": "../../etc"})
    for what, segments in {
        "a text": "x", "a start of 1.5": [{**whole, "start": 1.5}], "backwards": [{**whole, "start": 9}], "beyond the end": [{**whole, "stop": 10**9}],
        "NaN": [{**whole, "stop": float("nan")}], "two that overlap": [whole, whole],
    }.items():  # fmt: skip
        yield tell(f"segments: {what}", labels, {"track": 1, "revision": None, "segments": segments}, "PUT")
    for what, files in {"a path": ["../../etc/passwd"], "none": None, "10000": ["x"] * 10_000}.items():
        yield tell(f"files: {what}", "/api/videos", {"files": files})
    yield tell("compare: a path", "/api/videos/{video}/compare", {"first": "../x", "second": "shown"})
    yield Ask("format: a path", "GET", "/api/videos/{video}/export?format=csv/../../x", (400,))


def _uploads() -> Iterator[Ask]:
    to = "/api/files?name="
    for name in ("", "..", "x.exe", "../../x.py", HTML, "x" * 9000):
        yield Ask(f"name {name[:20]!r}", "POST", to + quote(name, safe=""), (400,), {}, b"x")
    for name in ("../../{canary}.npy", "/etc/{canary}.npy", "a\r\nX-Evil: 1.npy", "\u202eypn.npy"):
        yield Ask(f"good name {name[:20]!r}", "POST", to + quote(name, safe=""), (200,), {}, b"x")
    yield Ask("declared too large", "POST", f"{to}a.npy", (413,), {"Content-Length": "99999999999"}, b"x")
    chunks = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    body = (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 4
    yield Ask("too large, in chunks", "POST", f"{to}a.npy", (413,), chunks, body)
    yield Ask("a slow upload", "POST", f"{to}a.npy", (408,), {}, b"xx", pause=2.5)
    yield Ask("a body that never ends", "POST", "/api/settings", (408,), {"Content-Length": "100"}, b"{}", pause=2.5)


ASKS = (*_doors(), *_protocol(), *_bodies(), *_uploads())
