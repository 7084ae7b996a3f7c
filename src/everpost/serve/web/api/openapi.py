"""The registry as an OpenAPI 3.1 document."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from everpost import __version__
from everpost.serve.web.api.operations import OPERATIONS, SECTIONS
from everpost.serve.web.api.registry import Access, Operation
from everpost.serve.web.api.values import Output

BASE = "/api/v1"
_REF = "#/components/schemas/{name}"
ORGANISATION_TEXT = "The organisation's short name. Not needed where there is only one that the administrator may see."
_DESCRIPTION = (
    "What administrators do, for the console and for programs. The command line has the same commands, and every call "
    "that changes something stands in the audit under `admin:NAME`. Identifiers are texts. Another organisation's "
    "things are not there: 404. Every refusal is a problem document (RFC 9457) with a `code` that stays the same; "
    "fields may be added to answers, and optional ones to what is sent."
)
CODES = {
    "invalid": "A parameter or the body is not as it should be; `field` says which part.",
    "not-json": "The body is no JSON, or not declared as such.",
    "no-such-lane": "What was given names no lane.",
    "organisation-needed": "There are several organisations: name one.",
    "not-logged-in": "There is no session or token, or it has ended.",
    "wrong-credentials": "Name and password do not fit.",
    "foreign-page": "A cookie came without the header `X-Everpost`, or from another site.",
    "installation-only": "For administrators of the whole installation.",
    "not-found": "There is no such thing, or it is another organisation's.",
    "no-such-scope": "There is nothing of this kind, id or name.",
    "wrong-method": "That method is not for this address.",
    "too-slow": "The body did not come in time.",
    "impossible": "Not possible as things stand; nothing was changed. `detail` says why.",
    "refused": "The queue refuses it; nothing was changed. `detail` says why.",
    "bad-disclaimer": "The text cannot stand at the end of mail; `detail` says why.",
    "bad-policy": "The rules cannot be used; `detail` says which one, and why.",
    "outdated": "Somebody else has changed it meanwhile: look at it first.",
    "nothing-done": "There was nothing it could be done to.",
    "not-finished": "There is no report before the failback has finished.",
    "not-genuine": "The signature of a report does not fit.",
    "too-large": "The body is too large.",
    "too-many-tries": "Too many wrong passwords: wait as `Retry-After` says.",
    "busy": "As much of this as is allowed at a time is under way.",
    "too-long": "It takes too long for a request.",
    "unreadable": "The content of that message cannot be read.",
    "unavailable": "The database is away: try again as `Retry-After` says.",
}
"""Every `code`, and what it means."""


class ProblemDocument(Output, frozen=True):
    """A refusal (RFC 9457). `field`: the part of the request that is wrong."""

    type: str
    status: int
    title: str
    code: str
    detail: str = ""
    field: str = ""


@functools.cache
def document() -> dict[str, Any]:
    """Made once, from the registry."""
    wanted = {kind for operation in OPERATIONS for kind in (operation.query, operation.body, operation.answer) if kind}
    ordered = sorted(wanted, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components([*ordered, ProblemDocument], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, components)
    answered = {kind.__name__ for operation in OPERATIONS for kind in (operation.body, operation.answer) if kind}
    for operation in OPERATIONS:
        if operation.query.__name__ not in answered:
            components.pop(operation.query.__name__, None)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Everpost", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": BASE}],
        "security": [{"session": []}, {"token": []}],
        "tags": [{"name": section.title, "description": section.text} for section in SECTIONS],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Problem": {
                    "description": "Refused.",
                    "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemDocument")}}},
                }
            },
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-everpost-admin"},
                "token": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))  # defaults may be tuples
    return plain


@functools.cache
def encoded() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document())


def parameters_of(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    """Path, organisation and query, as OpenAPI describes them."""
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in operation.path_parameters
    ]
    if operation.access is Access.ORGANISATION:
        found.append(
            {"name": "organisation", "in": "query", "required": False, "description": ORGANISATION_TEXT,
             "schema": {"type": "string"}}
        )  # fmt: skip
    shape = components[operation.query.__name__]
    found += [
        {"name": name, "in": "query", "required": name in shape.get("required", ()),
         **({"description": schema["description"]} if "description" in schema else {}), "schema": schema}
        for name, schema in shape.get("properties", {}).items()
    ]  # fmt: skip
    return found


def refusals_of(operation: Operation) -> Sequence[int]:
    """The statuses of problem documents that are to be expected."""
    statuses = {400, 503}
    if operation.access is not Access.PUBLIC:
        statuses.add(401)
    if operation.access is Access.ORGANISATION or operation.path_parameters:
        statuses.add(404)
    if operation.method == "POST":
        statuses |= {403, 409}
    if operation.body is not None:
        statuses |= {408, 413, 415}
    return sorted(statuses)


def _operation(operation: Operation, components: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {str(operation.status): _answer(operation)}
    for status in refusals_of(operation):
        responses[str(status)] = {"$ref": "#/components/responses/Problem"}
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.section],
        "summary": operation.summary,
        "parameters": parameters_of(operation, components),
        "responses": responses,
    }
    if operation.description:
        found["description"] = operation.description
    if operation.access is Access.PUBLIC:
        found["security"] = []
    if operation.body is not None:
        schema = {"$ref": _REF.format(name=operation.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _answer(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"description": "Done."}
    schema = {"$ref": _REF.format(name=operation.answer.__name__)}
    content: dict[str, Any] = {}
    for media in operation.media:
        content[media] = {"schema": schema if media == "application/json" else {"type": "string"}}
        if media == "text/event-stream":
            content[media]["x-event-data"] = schema  # OpenAPI 3.1 has no word for it
    return {"description": " ".join((operation.answer.__doc__ or "Done.").split()), "content": content}
