"""The API of administrators, put together for a worker."""

from __future__ import annotations

from everpost.app.assembly import Ground
from everpost.identity.administrators import Administrators
from everpost.identity.throttle import Throttle
from everpost.intake.accept import Intake
from everpost.intake.notices import Notices
from everpost.serve.web.api.changes import Changes
from everpost.serve.web.api.flow import Flows
from everpost.serve.web.api.rehearsals import Rehearsals
from everpost.serve.web.api.router import Api
from everpost.serve.web.api.services import ApiServices


def make_api(ground: Ground, intake: Intake) -> Api:
    """One per process. Its drills send their message through this process's own intake."""
    database, keys = ground.database, ground.keys
    canary = Notices(database, intake, ground.directory, ground.config.hostname)
    rehearsals = Rehearsals(database, keys, ground.routes, ground.continuity, ground.standby, canary)
    return Api(
        ApiServices(
            database, keys, ground.routes, ground.continuity, Administrators(database), Throttle(), Changes(database),
            rehearsals, Flows(), embedded=not ground.config.external_dsn(),
        )
    )  # fmt: skip
