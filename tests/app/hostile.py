"""Hostile requests to the page: what is sent, byte for byte, and the answer that it must get."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

GOOD = "{cookie}"  # of a session that has the video {video} and the file {file}
OTHER = "{other}"  # of a session that has nothing
DIGITS = "9" * 4000
NAMES = json.dumps({"actions": [f"n{number}" for number in range(1_000_000)]})
DEEP = "[" * 200_000
HTML = "<img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Ask:
    """One request.

    Args:
        name: what is odd about it.
        method: of HTTP, or any word.
        target: path and query, as they are sent; `{video}` and `{file}` are those of the session.
        status: what may be answered; 0: the server hangs up.
        words: what the answer must hold.
        headers: besides Host, Cookie and Content-Length; None takes one of these away.
        body: what follows the headers.
        pause: seconds of nothing before the last byte of the body.
        raw: the whole request, in place of all of the above.
    """

    name: str
    method: str
    target: str
    status: tuple[int, ...]
    words: tuple[str, ...] = ()
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


def tell(name: str, target: str, tree: Any, words: tuple[str, ...], method: str = "POST", status: int = 400) -> Ask:
    """A request with JSON, or with what only looks like it."""
    body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return Ask(name, method, target, (status,), words, {"Content-Type": "application/json"}, body)


def _paths() -> Iterator[Ask]:
    inside = (
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2f..%2fguard.py", "/static/%2e%2e%5cserver.py",
        "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/%00", "/static/app.js%00.css", "/static/" + "a" * 5000,
        "/static/" + "../" * 500 + "etc/passwd", "/static/%ff%fe", "/static/", "/api/videos/../../etc/passwd/media",
        "/api/videos/..%2f..%2fetc/media", "/api/videos/%00/media", "/api/videos/{video}%00/media", "/api/videos/{video}/..",
        "/api/videos/" + "x" * 5000, "//etc/passwd", "/.git/config", "/api/nothing", "/api/state/", "/%", "/%zz", "/api/files",
    )  # fmt: skip
    for path in inside:
        yield Ask(f"path {path[:60]}", "GET", path, (404, 405) if path != "/api/state/" else (404, 307))
    for path in ("*", "http://evil.example/", "evil", ""):
        yield Ask(f"target {path!r}", "GET", path, (400, 404))


def _strangers() -> Iterator[Ask]:
    for cookie in (
        None,
        "",
        "fact_clip_{port}=",
        "fact_clip_{port}=x",
        "fact_clip_{port}=../..",
        "fact_clip_1=x; ;;=",
        "\xe9" * 2000,
    ):
        headers = {"Cookie": cookie}
        yield Ask(f"cookie {str(cookie)[:20]!r}", "GET", "/api/state", (403,), ("no session",), headers)
    for token in ("", "x", "%00", "%C3%A9", "a" * 30_000, "{token}x", "{token}%00"):
        yield Ask(f"token {token[:20]!r}", "GET", f"/?token={token}", (403,), ("whole address",), {"Cookie": None})
    one = "/api/videos/{video}"
    for method, path in (
        ("GET", one), ("GET", f"{one}/media"), ("GET", f"{one}/export?format=csv"), ("DELETE", one),
        ("PUT", f"{one}/corrections"), ("POST", f"{one}/training-set"), ("POST", f"{one}/compare"),
    ):  # fmt: skip
        yield Ask(f"other's video {method} {path}", method, path, (404,), ("no such video",), {"Cookie": OTHER})
    other = {"Cookie": OTHER}
    yield Ask("other's file", "POST", "/api/videos", (400,), ("no such file",), other, b'{"files": ["{file}"]}')
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "[",
        "",
        "[::1",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "a" * 5000,
    ):
        yield Ask(f"host {host[:30]!r}", "GET", "/api/state", (400, 403), (), {"Host": host})
    for port in ("x", "99999", "-1", "8" * 500):
        yield Ask(f"port of the host {port[:9]}", "GET", "/api/state", (400, 403), (), {"Host": f"127.0.0.1:{port}"})
    yield Ask("no host", "GET", "/api/state", (400,), (), {"Host": None})
    yield Ask(
        "two hosts",
        "GET",
        "/api/state",
        (400, 403),
        (),
        raw=b"GET /api/state HTTP/1.1\r\nHost: {host}\r\nHost: evil\r\nConnection: close\r\n\r\n",
    )
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "http://{host}.evil",
        "x",
        "http://[",
        "http://{host}@evil",
    ):
        yield Ask(f"origin {origin}", "POST", "/api/settings", (403,), ("another page",), {"Origin": origin}, b"{}")


def _methods() -> Iterator[Ask]:
    for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "PROPFIND", "TRACE", "POST"):
        yield Ask(f"method {method}", method, "/api/state", (405,))
    yield Ask("method CONNECT", "CONNECT", "evil.example:443", (400, 404, 405))
    for word in ("get", "G ET", "\x00", "A" * 70_000, ""):
        yield Ask(f"method {word[:9]!r}", word, "/api/state", (400, 405, 431, 0))
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    yield Ask("a websocket", "GET", "/api/state", (200, 400, 403, 404, 426), (), upgrade)
    yield Ask(
        "a websocket of another page", "GET", "/ws", (400, 403, 404), (), {**upgrade, "Origin": "http://evil.example"}
    )
    yield Ask(
        "HTTP/2 by upgrade", "GET", "/api/nothing", (404,), (), {"Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    )
    for what, raw in {
        "noise": bytes(range(256)) * 20, "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, "no version": b"GET /\r\n\r\n",
        "HTTP/9": b"GET / HTTP/9.9\r\nHost: {host}\r\n\r\n", "a blank in a header": b"GET / HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "a null byte in a header": b"GET / HTTP/1.1\r\nHost: {host}\r\nX: a\x00b\r\n\r\n", "a folded header": b"GET / HTTP/1.1\r\nHost: {host}\r\n x\r\n\r\n",
        "two lengths": b"POST /api/settings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        "length and chunks": b"POST /api/settings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        "a length below 0": b"POST /api/settings HTTP/1.1\r\nHost: {host}\r\nContent-Length: -5\r\n\r\n", "a length of text": b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: x\r\n\r\n",
        "a huge chunk": b"POST /api/settings HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n", "chunks of text": b"POST /api/settings HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "100 kB of headers": b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n", "5000 headers": b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: a\r\n" * 5000 + b"Connection: close\r\n\r\n",
    }.items():  # fmt: skip
        yield Ask(f"bytes: {what}", "", "", (400, 403, 405, 413, 431, 501, 0), raw=raw)
    for asked in (
        "bytes=0-",
        "bytes=9999999999999999999-",
        "bytes=5-1",
        "bytes=-0",
        "bytes=x",
        "lines=1-2",
        "bytes=" + "0-0," * 9000,
        "bytes=" + DIGITS + "-",
    ):
        yield Ask(
            f"range {asked[:12]} of {len(asked)} signs",
            "GET",
            "/static/app.js",
            (200, 206, 400, 416),
            (),
            {"Range": asked},
        )


def _bodies() -> Iterator[Ask]:
    to = "/api/settings"
    for what, raw in {
        "text": b"x", "nothing but an end": b"}", "a list": b"[]", "a number": b"5", "null": b"null", "half": b'{"actions": ["a"', "latin-1": b'{"actions": ["\xe9"]}',
        "a null byte": b"{\x00}", "deep": DEEP.encode(), "a deep object": b'{"a":' * 200_000, "an integer of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}", "two documents": b"{}{}",
        "UTF-16": '{"actions": [5]}'.encode("utf-16"), "a form": b"actions=a&adjust=b", "multipart": b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--\r\n", "XML": b"<a/>",
    }.items():  # fmt: skip
        yield tell(f"body {what}", to, raw, ())
    yield tell("a million names", to, NAMES.encode(), ("too large",), status=413)
    yield tell("501 names", to, {"actions": [f"n{number}" for number in range(501)]}, ("actions", "500"))
    for what, names in {
        "a text": "stir", "an object": {"a": 1}, "none": [], "a number": [5], "a list": [[]], "null": [None], "blank": [" "], "a line break": ["a\nb"],
        "a null byte": ["a\x00b"], "an escape": ["\x1b[31m"], "half a pair": ["\ud800"], "too long": ["a" * 201], "right to left": ["a\u202eb"], "truth": True,
    }.items():  # fmt: skip
        yield tell(f"names: {what}", to, {"actions": names}, ())
    for what, adjust in {
        "NaN": b'{"adjust": {"threshold": NaN}}', "infinity": b'{"adjust": {"gamma": -Infinity}}', "1e999": b'{"adjust": {"switch_penalty": 1e999}}', "4000 digits": b'{"adjust": {"gamma": ' + DIGITS.encode() + b"}}",
        "below 0": b'{"adjust": {"shortest": -1}}', "1e308": b'{"adjust": {"switch_penalty": 1e308}}', "a text": b'{"adjust": {"gamma": "1"}}', "truth": b'{"adjust": {"gamma": true}}',
        "a list": b'{"adjust": []}', "null": b'{"adjust": null}', "another key": b'{"adjust": {"__class__": 1}}', "a share beyond 1": b'{"adjust": {"reject": 1.0001}}',
    }.items():  # fmt: skip
        yield tell(f"adjust: {what}", to, adjust, ())
    for what, model in {
        "a path": "../../etc",
        "a list": [],
        "a number": 5,
        "an object": {},
        "half a pair": "\ud800",
    }.items():
        yield tell(f"model: {what}", to, {"model": model}, ("model",))
    one = "/api/videos/{video}/corrections"
    whole = {"start": 0, "stop": 5, "label": "x"}
    for what, segments in {
        "none": None, "a text": "x", "a list": [[]], "no label": [{"start": 0, "stop": 5}], "a label of a number": [{**whole, "label": 5}], "a label of two lines": [{**whole, "label": "a\nb"}],
        "a start of text": [{**whole, "start": "0"}], "a start of 1.5": [{**whole, "start": 1.5}], "a start of truth": [{**whole, "start": True}], "backwards": [{**whole, "stop": 0}], "below 0": [{**whole, "start": -1}],
        "beyond the end": [{**whole, "stop": 10**9}], "NaN": [{**whole, "stop": float("nan")}], "4000 digits": [{**whole, "stop": int(DIGITS)}], "two that overlap": [whole, whole], "20001": [whole] * 20_001,
    }.items():  # fmt: skip
        yield tell(f"segments: {what}", one, {"segments": segments}, (), "PUT")
    for what, files in {
        "none": None,
        "a path": ["../../etc/passwd"],
        "a number": [5],
        "a list": [[]],
        "no file": [],
        "a null byte": ["\x00"],
        "10000": ["x"] * 10_000,
    }.items():
        yield tell(f"files: {what}", "/api/videos", {"files": files}, ())
    for what, side in {"a path": "../x", "a number": 5, "an object": {}}.items():
        yield tell(f"compare: {what}", "/api/videos/{video}/compare", {"first": side, "second": "shown"}, ("labels",))
    for what, epochs in {"0": 0, "NaN": float("nan"), "a text": "5", "truth": True, "10^30": 10**30}.items():
        yield tell(f"adapt: {what}", "/api/adapt", {"epochs": epochs}, ())
    yield tell("training set: none", "/api/videos/{video}/training-set", {}, ("training set",))
    for name in ("", "xls", "../../x", "csv/../../x", "%00", ".", "x" * 5000, HTML):
        yield Ask(
            f"format {name[:20]!r}", "GET", f"/api/videos/{{video}}/export?format={quote(name, safe='%')}", (400,)
        )


def _uploads() -> Iterator[Ask]:
    to = "/api/files?name="
    for name in (
        "",
        ".",
        "..",
        "x",
        "x.exe",
        ".npy",
        "../../x.py",
        "a.npy/",
        "a.npy\x00",
        "con",
        HTML,
        "x" * 9000,
        "a.npy.exe",
        "\ud800.npy",
    ):
        shown = quote(name.encode("utf-8", "surrogatepass"), safe="")
        expected = (200,) if name in ("a.npy\x00", "\ud800.npy") else (400,)
        yield Ask(f"name {name[:20]!r}", "POST", to + shown, expected, (), {}, b"x")
    for name in (
        "../../{canary}.npy",
        "..\\..\\{canary}.npy",
        "/etc/{canary}.npy",
        f"{HTML}.npy",
        "😀" * 150 + ".npy",
        "a\r\nX-Evil: 1.npy",
        "\u202eypn.npy",
    ):
        yield Ask(f"good name {name[:20]!r}", "POST", to + quote(name, safe=""), (200,), ('"file"',), {}, b"x")
    yield Ask(
        "declared too large", "POST", f"{to}a.npy", (413,), ("larger file",), {"Content-Length": "99999999999"}, b"x"
    )
    yield Ask("declared 30 digits", "POST", f"{to}a.npy", (400, 413), (), {"Content-Length": "9" * 30}, b"x")
    chunks = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    yield Ask(
        "too large, in chunks",
        "POST",
        f"{to}a.npy",
        (413,),
        ("larger file",),
        {"Content-Length": None, "Transfer-Encoding": "chunked"},
        chunks * 4,
    )
    yield Ask("labels too large", "POST", f"{to}a.csv", (413,), ("larger file",), {}, b"x" * 200_001)
    yield Ask("a slow upload", "POST", f"{to}a.npy", (408,), ("nothing came",), {}, b"xx", pause=2.5)
    yield Ask("a slow body", "POST", "/api/settings", (408,), ("not whole",), {}, b"{}", pause=2.5)
    yield Ask(
        "a body that never ends", "POST", "/api/settings", (408,), (), {"Content-Length": "100"}, b"{}", pause=2.5
    )
    yield Ask("a page that is not a name", "POST", "/api/files?name=a.npy&name=b.exe", (400,), (), {}, b"x")
    for kind in ("text/html", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "\xff"):
        yield Ask(f"type {kind[:20]}", "POST", f"{to}a.npy", (200,), ('"file"',), {"Content-Type": kind}, b"x")


ASKS = (*_paths(), *_strangers(), *_methods(), *_bodies(), *_uploads())
