"""From requests to operations and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import groupby

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from everpost.continuity.activation import Impossible
from everpost.continuity.failback.ledger import NoSuchRun
from everpost.directory.records import DirectoryError
from everpost.queue.lanes import LaneError
from everpost.queue.operator import QueueRefusal
from everpost.serve.web.api import openapi
from everpost.serve.web.api.bodies import convert, read_body, read_parameters
from everpost.serve.web.api.door import Door
from everpost.serve.web.api.operations import OPERATIONS
from everpost.serve.web.api.registry import Access, Call, Operation
from everpost.serve.web.api.services import ApiServices
from everpost.serve.web.api.values import Nothing, nothing_there, parse_id, refusal
from everpost.serve.web.problems import Problem
from everpost.store.database import UNAVAILABLE

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Api:
    """An ASGI application, to be mounted at /api/v1. One per process."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._door = Door(services)
        by_path = sorted(OPERATIONS, key=lambda operation: (operation.path.count("{"), operation.path))
        routes = [
            _Path(self, path, {operation.method: operation for operation in same}).route
            for path, same in groupby(by_path, key=lambda operation: operation.path)
        ]
        self._router = Router([Route("/openapi.json", _describe, methods=["GET"]), *routes], redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with _refusals():
                await self._router(scope, receive, send)
        except HTTPException as error:
            missing = nothing_there("operation")
            wrong = refusal(405, "wrong-method", "That method is not for this")
            await (wrong if error.status_code == 405 else missing).response()(scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)

    def heard_of_change(self) -> None:
        """A switch was thrown somewhere: those who listen shall know at once."""
        self._services.changes.kick()

    async def close(self) -> None:
        """End what runs in the background: streams of events, and drills, which are rolled back."""
        self._services.changes.close()
        await self._services.rehearsals.close()

    async def perform(self, operation: Operation, request: Request) -> Response:
        """One call. Raises `Problem`, and what handlers raise."""
        administrator = organisation = None
        parameters = read_parameters(request)
        if operation.access is not Access.PUBLIC:
            administrator = await self._door.admit(request)
            if operation.access is Access.ORGANISATION:
                organisation = await self._door.organisation(administrator, parameters.pop("organisation", None))
        ids = {name: parse_id(text, name) for name, text in request.path_params.items()}
        query = convert(parameters, operation.query)
        body = await read_body(request, operation.body) if operation.body is not None else Nothing()
        call = Call(self._services, request, query, body, ids, administrator, organisation)
        result = await operation.handler(call)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status_code=operation.status, headers=_HEADERS)
        return Response(msgspec.json.encode(result), operation.status, _HEADERS, "application/json")


class _Path:
    """The operations of one path."""

    def __init__(self, api: Api, path: str, operations: dict[str, Operation]) -> None:
        self._api = api
        self._operations = operations
        self.route = Route(path, self._serve, methods=list(operations))
        self.route.methods = set(operations)  # without HEAD: what costs as much as GET is not asked for by accident

    async def _serve(self, request: Request) -> Response:
        return await self._api.perform(self._operations[request.method], request)


async def _describe(_: Request) -> Response:
    """The OpenAPI document. For anybody."""
    return Response(openapi.encoded(), 200, {"Cache-Control": "no-cache"}, "application/json")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What the house refuses, as problem documents."""
    try:
        yield
    except Impossible as error:
        raise refusal(409, "impossible", "That is not possible as things stand", str(error)) from error
    except QueueRefusal as error:
        raise refusal(409, "refused", "That cannot be done", str(error)) from error
    except LaneError as error:
        raise refusal(400, "no-such-lane", "That is no lane", str(error), field="lane") from error
    except DirectoryError as error:
        raise refusal(409, "refused", "That cannot be done", str(error)) from error
    except NoSuchRun as error:
        raise nothing_there("failback") from error
    except LookupError as error:
        if type(error) is not LookupError:  # a KeyError is a mistake of ours
            raise
        raise nothing_there() from error
    except UNAVAILABLE as error:
        problem = refusal(503, "unavailable", "Try again in a moment")
        problem.headers = {"Retry-After": "5"}
        raise problem from error
