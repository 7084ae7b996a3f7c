"""The files of webmail and console: made by the front end's build, served with a policy that lets nothing else run."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from everpost.serve.web.problems import Problem

FOLDER = Path(__file__).parent / "static"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-src 'self' blob:",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types default dompurify svelte-trusted-html everpost",
    )
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
NOT_BUILT = "The webmail is not part of this installation: build it with `make web`, or use a JMAP client."


_STARTS = ("", ".", "console", "console/")


class Pages(StaticFiles):
    """The built files; a path that is none of them and wants a page gets the application, which knows its views."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER, check_dir=False)

    async def check_config(self) -> None:
        """The folder may be missing: see `NOT_BUILT`."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not (FOLDER / "index.html").exists():
            raise Problem(404, NOT_BUILT)
        wants_page = "text/html" in Request(scope).headers.get("accept", "")
        try:
            response = await super().get_response(_page_of(path) if path in _STARTS else path, scope)
        except HTTPException as error:
            if error.status_code != 404 or not wants_page:
                raise Problem(error.status_code, "There is no such page") from None
            response = await super().get_response(_page_of(path), scope)
        response.headers.update(_HEADERS)
        hashed = path.startswith("assets/") and response.status_code == 200
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def _page_of(path: str) -> str:
    """The page whose script knows the views below a path."""
    return "console/index.html" if path.split("/", 1)[0] == "console" else "index.html"
