"""What the API needs of the house, handed over by the app."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.continuity.activation import Continuity
from everpost.continuity.snapshot import RouteSnapshot
from everpost.identity.administrators import Administrators
from everpost.identity.throttle import Throttle
from everpost.serve.web.api.changes import Changes
from everpost.serve.web.api.flow import Flows
from everpost.serve.web.api.rehearsals import Rehearsals
from everpost.store.blobs import KeyRing
from everpost.store.database import Database


@dataclass(frozen=True, slots=True)
class ApiServices:
    """One per process. `embedded`: the database is our own."""

    database: Database
    keys: KeyRing
    routes: RouteSnapshot
    continuity: Continuity
    administrators: Administrators
    throttle: Throttle
    changes: Changes
    rehearsals: Rehearsals
    flows: Flows
    embedded: bool = True
