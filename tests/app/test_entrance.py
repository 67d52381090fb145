"""Who is let in, and what of the server can be reached."""

from __future__ import annotations

import socket

import pytest
from starlette.testclient import TestClient

from fact_clip_app.web.guard import Guard

from .conftest import ADDRESS


def token(user) -> str:
    return user.page.project.token


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token={token}x", "?token=%C3%A9"])
def test_the_page_opens_with_the_token_alone(user, query):
    stranger = TestClient(user.client.app, base_url=ADDRESS)
    answer = stranger.get("/" + query.replace("{token}", token(user)))
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "whole address" in answer.text
    refused = stranger.get("/api/state")
    assert (refused.status_code, list(refused.json())) == (401, ["error"])


def test_the_cookie_is_kept_from_scripts_and_other_sites(user):
    stranger = TestClient(user.client.app, base_url=ADDRESS)
    cookie = stranger.get("/", params={"token": token(user)}).headers["set-cookie"]
    assert cookie.startswith("fact_clip_8000=")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert stranger.get("/").status_code == 200  # the token is not needed again
    assert token(user) not in stranger.get("/").text


@pytest.mark.parametrize(
    ("host", "is_served"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.7", True),  # no name, so nobody can make it theirs
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_a_name_that_is_not_ours_is_not_served(user, host, is_served):
    answer = user.client.get("/api/state", headers={"host": host, "cookie": f"fact_clip_8000={_key(user)}"})
    assert (answer.status_code == 403 and "host" in answer.json()["error"]) != is_served


def _key(user) -> str:
    return next(iter(user.client.cookies.values()))


@pytest.mark.parametrize(
    ("origin", "status"), [(None, 200), (ADDRESS, 200), ("http://127.0.0.1:9999", 403), ("null", 403)]
)
def test_another_page_cannot_change_anything(user, origin, status):
    headers = {} if origin is None else {"origin": origin}
    assert user.client.post("/api/settings", json={}, headers=headers).status_code == status


@pytest.mark.parametrize("path", ["/", "/api/state", "/api/nothing", "/static/app.js", "/static/timeline.js"])
def test_every_answer_tells_the_browser_to_run_nothing_else(user, path):
    headers = user.client.get(path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_all_browsers_of_a_project_see_the_same(opened, rows):
    enter = opened()
    one, other = enter(), enter()
    video = one.add(rows)
    assert [entry["id"] for entry in other.ask("GET", "/api/state")["videos"]] == [video]
    assert "no such file" in other.ask("POST", "/api/videos", 400, json={"files": ["x"]})["error"]


def test_the_names_of_this_machine_are_served_where_it_listens_everywhere():
    own = socket.gethostname()
    for listens, host, is_served in (
        ("0.0.0.0", f"{own}:8000", True), ("0.0.0.0", "10.0.0.7:8000", True), ("0.0.0.0", "evil.example:8000", False),
        ("127.0.0.1", f"{own}.example", False),
    ):  # fmt: skip
        assert (Guard(None, listens)._refusal("GET", {"host": host}) is None) == is_served


def test_the_end_of_the_page_removes_nothing(opened, rows):
    user = opened()()
    user.add(rows)
    folder = user.page.project.folder
    before = sorted(path.relative_to(folder) for path in folder.rglob("*.npy"))
    user.page.close()
    assert sorted(path.relative_to(folder) for path in folder.rglob("*.npy")) == before
    assert len(before) == 1
    assert user.page.project.folder.stat().st_mode & 0o077 == 0


def test_the_requests_are_described(user):
    schema = user.ask("GET", "/api/openapi.json")
    assert {"/api/state", "/api/videos/{video}/segments"} <= set(schema["paths"])
    assert user.client.get("/api").status_code == 200
