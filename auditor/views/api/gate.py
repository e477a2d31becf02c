"""The gate in front of the audit API: who may ask what, and the sign-in of the dashboard.

A key comes in `Authorization: Bearer aud_…`, in `x-audit-key`, or in the cookie that `POST /v1/session` sets. Reading
needs the scope `read`, starting and annotating `audit`, keys and projects `admin`. Who holds a key of one project is
served by an application that holds nothing else.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from auditor.access.gate import OWN, presented
from auditor.access.protocol import Admission, Gate, Header, Right
from auditor.errors import AuditorError, BadInput, Refused

ADMISSION = "auditor.admission"
"""Where the application finds in its scope who asks."""
COOKIE = "auditor_key"
COOKIE_SECONDS = 12 * 3600
MOST_BYTES = 4096
MOST_APPLICATIONS = 32
_ADMIN = ("/v1/keys", "/v1/projects")


class ApiGate:
    """A plain ASGI application to be mounted at /api.

    Args:
        gate: who may come in.
        build: makes the API of one project, or of all of them (None).
    """

    def __init__(self, gate: Gate, build: Callable[[str | None], ASGIApp]) -> None:
        self._gate = gate
        self._build = build
        self._all = build(None)
        self._apps: OrderedDict[str, ASGIApp] = OrderedDict()
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or not (path == "/v1" or path.startswith("/v1/")):
            await self._all(scope, receive, send)  # documentation
            return
        try:
            if path == "/v1/session":
                await self._session(scope, receive, send)
                return
            admission = self._admit(scope, _right(scope["method"], path))
        except AuditorError as fault:
            await _problem(send, fault, path)
            return
        app = self._all if admission.every_project else self._app(admission.project)
        await app({**scope, ADMISSION: admission}, receive, send)

    # --- inside

    def _admit(self, scope: Scope, right: Right, headers: list[Header] | None = None) -> Admission:
        headers = _with_cookie(list(scope["headers"])) if headers is None else headers
        client = scope.get("client")
        admission = self._gate.admit(headers, right, project=None, client=client[0] if client else None)
        rows = dict(scope["headers"])
        if scope["method"] not in ("GET", "HEAD") and rows.get(b"sec-fetch-site") == b"cross-site":
            raise Refused("origin", "another site's page may not ask this", "use the dashboard or a client")
        return admission

    def _app(self, project: str) -> ASGIApp:
        with self._lock:
            app = self._apps.get(project)
            if app is None:
                app = self._apps[project] = self._build(project)
                while len(self._apps) > MOST_APPLICATIONS:
                    self._apps.popitem(last=False)
            self._apps.move_to_end(project)
            return app

    async def _session(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sign in with a key (POST {"key"}) or out (DELETE)."""
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        attributes = f"; Path=/api; HttpOnly; SameSite=Strict{secure}"
        if scope["method"] == "DELETE":
            await _answer(send, 204, b"", [(b"set-cookie", f"{COOKIE}=; Max-Age=0{attributes}".encode())])
            return
        if scope["method"] != "POST":
            fault = BadInput("method", f"{scope['method']} is not offered here", "POST a key, or DELETE")
            fault.status = 405
            raise fault
        key = await _key(receive)
        admission = self._admit(scope, "read", [(OWN, key.encode())])
        told = {"project": None if admission.every_project else admission.project}
        cookie = f"{COOKIE}={key}; Max-Age={COOKIE_SECONDS}{attributes}".encode()
        headers = [(b"set-cookie", cookie)] if admission.key is not None else []
        await _answer(send, 200, orjson.dumps(told), [(b"content-type", b"application/json"), *headers])


def _right(method: str, path: str) -> Right:
    if any(path == one or path.startswith(f"{one}/") for one in _ADMIN):
        return "admin"
    return "read" if method in ("GET", "HEAD") else "audit"


def _with_cookie(headers: list[Header]) -> list[Header]:
    """Headers with the key of the cookie, where they carry none."""
    if presented(headers)[0] is not None:
        return headers
    for name, value in headers:
        if name == b"cookie":
            try:
                found = SimpleCookie(value.decode("latin-1")).get(COOKIE)
            except CookieError:
                continue
            if found is not None and found.value:
                return [*headers, (OWN, found.value.encode("latin-1", "replace"))]
    return headers


async def _key(receive: Receive) -> str:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadInput("body", "ended early", "send it again")
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise BadInput("body", "is too long", 'send {"key": "aud_…"}')
        if not message.get("more_body", False):
            break
    try:
        form = orjson.loads(body)
        key = form["key"] if isinstance(form, dict) else None
    except (orjson.JSONDecodeError, KeyError):
        key = None
    if not isinstance(key, str) or not key.strip().isascii() or not key.strip().isprintable() or ";" in key:
        raise BadInput("key", "is missing", 'send {"key": "aud_…"}')
    return key.strip()


async def _problem(send: Send, fault: AuditorError, path: str) -> None:
    status = fault.status
    body = {
        "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": str(fault.problem),
        "instance": path, "code": fault.code, "field": fault.field, "fix": fault.fix,
    }  # fmt: skip
    headers = [(b"content-type", b"application/problem+json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await _answer(send, status, orjson.dumps(body), headers)


async def _answer(send: Send, status: int, body: bytes, headers: list[Header]) -> None:
    rows = [*headers, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": rows})
    await send({"type": "http.response.body", "body": body, "more_body": False})
