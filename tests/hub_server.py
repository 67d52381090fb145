"""A hub on this machine: as much of the HTTP interface of the Hugging Face hub as sharing a run and loading it need."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_test"
_LARGE = ".safetensors"


def oid(content: bytes) -> str:
    """The SHA-1 by which git calls a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """Repositories by name, each a list of commits, and each of these the content of files by path."""

    def __init__(self, address: str) -> None:
        self.address, self.requests = address, list[str]()
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.large: dict[str, bytes] = {}
        self.tampered: dict[str, bytes] = {}  # path -> what is sent instead of the file

    def files(self, repository: str) -> dict[str, bytes]:
        return self.commits[repository][-1]

    def sha(self, repository: str, number: int) -> str:
        return hashlib.sha1(f"{repository} {number}".encode()).hexdigest()

    def find(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits[repository]
        shas = [self.sha(repository, number) for number in range(len(commits))]
        number = len(shas) - 1 if revision == "main" else shas.index(revision) if revision in shas else None
        return None if number is None else (shas[number], commits[number])


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    hub: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, body: Any = None, code: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, code: int, reason: str) -> None:
        self.answer({"error": reason}, code, X_Error_Code=reason, X_Error_Message=reason)

    def handle_request(self) -> None:
        hub, path = self.hub, unquote(self.path.partition("?")[0])
        hub.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if (
            self.command in ("POST", "PUT")
            and self.headers.get("Authorization", f"Bearer {TOKEN}") != f"Bearer {TOKEN}"
        ):
            return self.refuse(401, "Unauthorized")
        if path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            url = {"url": f"{hub.address}/{repository}", "name": repository, "id": repository}
            if repository in hub.commits:
                return self.answer(url, 409)
            hub.commits[repository] = [{".gitattributes": b""}]
            if asked.get("private") or asked.get("visibility") == "private":
                hub.private.add(repository)
            return self.answer(url)
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path.startswith("/lfs/"):
            hub.large[path.removeprefix("/lfs/")] = body
            return self.answer({})
        match = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+?)(?:\.git)?(?:/(\w+)(?:/([^/]+))?(?:/(.+))?)?", path)
        if match is None or match[1] not in hub.commits:
            return self.refuse(404, "RepoNotFound")
        repository, act, revision, rest = match.groups()
        return self.act(repository, act or "revision", revision or "main", rest, body)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request  # noqa: N815

    def act(self, repository: str, act: str, revision: str, rest: str | None, body: bytes) -> None:
        hub = self.hub
        if act == "info":  # git LFS
            objects = [
                {**part, "actions": {"upload": {"href": f"{hub.address}/lfs/{part['oid']}", "header": {}}}}
                for part in json.loads(body)["objects"]
            ]
            return self.answer({"transfer": "basic", "objects": objects})
        if act == "preupload":
            paths = [part["path"] for part in json.loads(body)["files"]]
            modes = {True: "lfs", False: "regular"}
            return self.answer(
                {"files": [{"path": p, "uploadMode": modes[p.endswith(_LARGE)], "shouldIgnore": False} for p in paths]}
            )
        if act == "commit":
            files = dict(hub.files(repository))
            for line in map(json.loads, body.decode().splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.large[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            hub.commits[repository].append(files)
            sha = hub.sha(repository, len(hub.commits[repository]) - 1)
            return self.answer({"commitUrl": f"{hub.address}/{repository}/commit/{sha}", "commitOid": sha})
        commit = hub.find(repository, revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound")
        sha, files = commit
        if act == "resolve":
            content = files[str(rest)]
            large = str(rest).endswith(_LARGE)
            tag = hashlib.sha256(content).hexdigest() if large else oid(content)
            sent = hub.tampered.get(str(rest), content)
            return self.answer(
                sent, X_Repo_Commit=sha, ETag=f'"{tag}"', X_Linked_Etag=f'"{tag}"', X_Linked_Size=str(len(sent))
            )
        listed: list[dict[str, Any]] = []
        for name, content in files.items():
            listed.append({"type": "file", "path": name, "rfilename": name, "size": len(content)})
            listed[-1] |= {"oid": oid(content), "blobId": oid(content)}
            if name.endswith(_LARGE):
                sha256 = hashlib.sha256(content).hexdigest()
                listed[-1]["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content), "pointerSize": 1}
        return self.answer(listed if act == "tree" else {"id": repository, "sha": sha, "siblings": listed})


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub without repositories, until the block ends."""
    handler = type("OwnHandler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.hub = hub = Hub(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
