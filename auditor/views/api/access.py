"""Routes for keys and projects; the gate has seen to it that only admins come here."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from auditor.access.keys import Key, Project
from auditor.access.office import KeyOffice
from auditor.access.protocol import Admission
from auditor.errors import NotFound, Refused
from auditor.views.api.gate import ADMISSION
from auditor.views.forms import Page

Name = Annotated[str, Path(min_length=1, max_length=64)]


class KeyView(BaseModel):
    id: str
    project: str | None = Field(description="None: every project.")
    scopes: list[str]
    name: str
    made: str
    revoked: str | None


class NewKeyView(KeyView):
    key: str = Field(description="The key itself. It is shown this once and kept nowhere.")


class KeyOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    project: str | None = Field(default=None, max_length=64)
    scopes: list[str] = Field(max_length=8)
    name: str = Field(default="", max_length=100)


class ProjectView(BaseModel):
    name: str
    fail_closed: bool
    redaction: list[str]
    patterns: dict[str, str]
    vaulted: list[str] = Field(description="Upstreams for which a provider key is vaulted.")


class ProjectOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fail_closed: bool | None = None
    redaction: list[str] | None = Field(default=None, max_length=16)
    patterns: dict[str, str] | None = None


def _who(request: Request) -> Admission:
    admission: Admission | None = request.scope.get(ADMISSION)
    if admission is None:
        raise Refused("key", "nobody stands at the door", "mount the API behind its gate")
    return admission


Who = Annotated[Admission, Depends(_who)]


def access_routes(office: KeyOffice) -> APIRouter:
    router = APIRouter(tags=["access"])

    @router.get("/keys", summary="Keys, without their secrets")
    def keys(who: Who) -> Page[KeyView]:
        return Page(items=[_key(key) for key in office.ring.listed() if _may(who, key.project)], next=None)

    @router.post("/keys", status_code=201, summary="Make a key; it is shown once")
    def create(order: KeyOrder, who: Who) -> NewKeyView:
        project = order.project if who.every_project else order.project or who.project
        if not _may(who, project):
            raise Refused("project", "your key belongs to another one", f"make keys for {who.project}")
        token, key = office.create(project, order.scopes, order.name, by=_by(who))
        return NewKeyView(**_key(key).model_dump(), key=token)

    @router.delete("/keys/{key}", summary="Revoke a key")
    def revoke(key: Name, who: Who) -> KeyView:
        found = office.key(key)
        if not _may(who, found.project):
            raise NotFound("key", f"no key has the id {key!r}", "list them with GET /api/v1/keys")
        return _key(office.revoke(key, by=_by(who)))

    @router.get("/projects", summary="Projects and their settings")
    def projects(who: Who) -> Page[ProjectView]:
        found = office.ring.projects() if who.every_project else [office.ring.project(who.project)]
        return Page(items=[_project(one) for one in found], next=None)

    @router.patch("/projects/{project}", summary="Change a project's settings; what is left out stays")
    def change(project: Name, order: ProjectOrder, who: Who) -> ProjectView:
        if not _may(who, project):
            raise NotFound("project", f"no project is called {project!r}", "list them with GET /api/v1/projects")
        given: dict[str, Any] = order.model_dump()
        return _project(office.set_project(project, by=_by(who), **given))

    return router


def _may(who: Admission, project: str | None) -> bool:
    return who.every_project or (project is not None and project == who.project)


def _by(who: Admission) -> str:
    return who.key or "loopback"


def _key(key: Key) -> KeyView:
    return KeyView(
        id=key.id, project=key.project, scopes=sorted(key.scopes), name=key.name, made=key.made, revoked=key.revoked
    )


def _project(one: Project) -> ProjectView:
    return ProjectView(
        name=one.name, fail_closed=one.fail_closed, redaction=list(one.redaction), patterns=dict(one.patterns),
        vaulted=list(one.vaulted),
    )  # fmt: skip
