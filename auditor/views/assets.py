"""Serves the dashboard's committed bundle: right types, caching, and a policy that runs only our script."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response

from auditor.errors import BadSetup

BUNDLE = Path(__file__).resolve().parent / "dashboard" / "dist"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


def mount_dashboard(app: FastAPI, bundle: Path = BUNDLE) -> None:
    """Add `GET /` (the page, always revalidated) and `GET /assets/{name}` (hashed names, cached for a year).

    The page routes by the part of the address behind `#`, so no other address is taken. BadSetup when it was not built.
    """
    page = bundle / "index.html"
    if not page.is_file():
        raise BadSetup(
            "dashboard", f"{page} does not exist", "build it: npm ci && npm run build in auditor/views/dashboard"
        )
    files = {path.name: path for path in (bundle / "assets").iterdir() if path.suffix in _TYPES}

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(page, media_type="text/html", headers={**_HEADERS, "cache-control": "no-cache"})

    @app.get("/assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        # Looked up in a table made at start: no path from outside ever reaches the file system.
        path = files.get(name)
        if path is None:
            return Response("no such file; reload the page", status_code=404, media_type="text/plain", headers=_HEADERS)
        return FileResponse(
            path,
            media_type=_TYPES[path.suffix],
            headers={**_HEADERS, "cache-control": "public, max-age=31536000, immutable"},
        )
