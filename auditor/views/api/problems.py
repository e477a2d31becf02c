"""The one door where errors become answers: RFC 9457 problem JSON with `code`, `field` and `fix`."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from auditor.errors import AuditorError
from auditor.views.forms import Problem
from graph import GraphError, InvalidGraphValue, StoreFailure, StoreUnavailable

RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {
        "description": HTTPStatus(code).phrase,
        "model": Problem,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for code in (400, 401, 403, 404, 422, 503)
}
"""For FastAPI: every operation may answer with a problem."""


def problem(request: Request, status: int, code: str, detail: str, fix: str, field: str | None = None) -> JSONResponse:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": str(request.scope.get("path", "")),
        "code": code,
        "field": field,
        "fix": fix,
    }
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Register the handlers; anything unforeseen answers 500 and says that it is our fault."""

    async def on_auditor(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, AuditorError)
        return problem(request, fault.status, fault.code, fault.problem, fault.fix, fault.field)

    async def on_graph(request: Request, fault: Exception) -> JSONResponse:
        if isinstance(fault, InvalidGraphValue):
            return problem(request, 400, "bad_input", str(fault), "correct the value", "graph")
        assert isinstance(fault, StoreUnavailable | StoreFailure | GraphError)
        return problem(request, 503, "unavailable", str(fault), "check the graph store, then try again", "graph")

    async def on_invalid(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, RequestValidationError)
        first = fault.errors()[0]
        where = [str(place) for place in first["loc"] if place not in ("query", "path", "body", "header")]
        field = ".".join(where) or "body"
        return problem(request, 422, "bad_input", str(first["msg"]), f"send a valid {field}; see /api/docs", field)

    async def on_http(request: Request, fault: Exception) -> JSONResponse:
        assert isinstance(fault, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(fault.status_code, "http_error")
        detail = {
            404: "there is no such address",
            405: f"{request.method} is not offered here",
        }.get(fault.status_code, str(fault.detail))
        return problem(request, fault.status_code, code, detail, "see /api/docs for what is offered", "path")

    async def on_bug(request: Request, fault: Exception) -> JSONResponse:
        return problem(
            request,
            500,
            "internal",
            f"the server failed with {type(fault).__name__}",
            "this is a defect of the server; its log says where",
        )

    app.add_exception_handler(AuditorError, on_auditor)
    app.add_exception_handler(GraphError, on_graph)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_bug)
