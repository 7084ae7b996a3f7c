"""Which built file a path leads to."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from everpost.serve.web import static
from everpost.serve.web.problems import Problem, on_problem

HTML = {"accept": "text/html,*/*"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    (tmp_path / "console").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("the webmail")
    (tmp_path / "console/index.html").write_text("the console")
    (tmp_path / "assets/a.js").write_text("1")
    monkeypatch.setattr(static, "FOLDER", tmp_path)
    app = Starlette(routes=[Mount("/", static.Pages())], exception_handlers={Problem: on_problem})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://mail.example.org")


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/", "the webmail"), ("/mail/x/y", "the webmail"), ("/consoles", "the webmail"), ("/x/console", "the webmail"),
        ("/console", "the console"), ("/console/", "the console"), ("/console/primary/1abc", "the console"),
        ("/console/nowhere?x=1", "the console"),
    ],
)  # fmt: skip
async def test_views_get_their_page(client: httpx.AsyncClient, path: str, page: str) -> None:
    answer = await client.get(path, headers=HTML)
    assert (answer.status_code, answer.text) == (200, page)
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"


async def test_what_is_no_view_is_not_there(client: httpx.AsyncClient) -> None:
    for path in ("/console/missing.js", "/assets/missing.js", "/missing.png"):
        assert (await client.get(path, headers={"accept": "*/*"})).status_code == 404
    found = await client.get("/assets/a.js")
    assert (found.text, "immutable" in found.headers["cache-control"]) == ("1", True)


async def test_where_nothing_is_built_it_is_said(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:  # `client` points at the folder
    (tmp_path / "index.html").unlink()
    answer = await client.get("/console/", headers=HTML)
    assert (answer.status_code, answer.json()["title"]) == (404, static.NOT_BUILT)
