"""A call of every operation that succeeds, on what `make_house` made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from api_tools.house import PASSWORD, House

Body = dict[str, Any]
MAILBOX = {"kind": "mailbox", "name": "cora@{org}.org"}


@dataclass(frozen=True)
class Sample:
    """`before`: calls that come first. `streams`: it has no end, and is tried elsewhere."""

    body: Body | None = None
    query: Body = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, Body], ...] = ()
    prepare: str = ""
    streams: bool = False


_BECAUSE = {"reason": "because"}
_BILL = {
    "rebuilt": True, "credentials_rotated": True, "way_in_closed": True, "forwarding_checked": True,
    "evidence": "report 7",
}  # fmt: skip
WORKER = "INSERT INTO worker (run, host, pid, generation) VALUES (1, 'here', 1, 1000000)"
SAMPLES: dict[str, Sample] = {
    "log_in": Sample({"name": "example-admin", "password": PASSWORD}),
    "log_out": Sample(),
    "me": Sample(),
    "get_overview": Sample(),
    "isolate_primary": Sample(_BECAUSE),
    "doubt_primary": Sample(_BECAUSE),
    "clear_primary": Sample(_BECAUSE, before=(("doubt_primary", _BECAUSE),)),
    "give_clean_bill": Sample(_BILL, before=(("isolate_primary", _BECAUSE),)),
    "list_scopes": Sample(query={"search": "cora"}),
    "list_activations": Sample(query={"ended": "true"}),
    "preview_activation": Sample({"scope": MAILBOX}),
    "activate": Sample({"scope": MAILBOX, "reason": "because"}),
    "end_activation": Sample(_BECAUSE),
    "set_access": Sample({"scope": MAILBOX, "open": True}),
    "list_failbacks": Sample(),
    "get_failback": Sample(),
    "preview_failback": Sample(),
    "pause_failback": Sample(_BECAUSE),
    "continue_failback": Sample(before=(("pause_failback", _BECAUSE),)),
    "stop_failback": Sample(_BECAUSE),
    "get_report": Sample(ids={"failback": "finished"}),
    "list_drills": Sample(),
    "get_drill": Sample(),
    "start_drill": Sample({"scope": MAILBOX, "measure_detection": False}, prepare=WORKER),
    "get_policy": Sample(),
    "list_policy_versions": Sample(),
    "set_policy": Sample({"policy": {"rule": [{"id": "one", "do": [{"do": "junk"}]}]}, "reason": "because"}),
    "try_policy": Sample({"days": 30}),
    "get_settings": Sample(),
    "change_settings": Sample({"forwarding": "none", "banner": "external", "language": "de"}),
    "list_delegates": Sample(query={"mailbox": "cora@{org}.org"}),
    "share_mailbox": Sample({"mailbox": "cora@{org}.org", "delegate": "ben@{org}.org", "rights": "write"}),
    "unshare_mailbox": Sample(
        {"mailbox": "cora@{org}.org", "delegate": "ben@{org}.org"},
        before=(("share_mailbox", {"mailbox": "cora@{org}.org", "delegate": "ben@{org}.org", "rights": "read"}),),
    ),
    "find_messages": Sample(query={"recipient": "cora@{org}.org"}),
    "get_message": Sample(),
    "list_quarantine": Sample(query={"recipient": "cora@{org}.org", "judgement": "spam"}),
    "get_quarantined": Sample(ids={"message": "kept"}),
    "look_at_quarantined": Sample(ids={"message": "kept"}),
    "get_quarantine_settings": Sample(),
    "set_quarantine_settings": Sample(
        {"self_release": ["spam"], "digest": "hourly", "digest_hour": 7, "time_zone": "Europe/Berlin"}
    ),
    "release_quarantined": Sample({"recipients": ["cora@{org}.org"], **_BECAUSE}, ids={"message": "kept"}),
    "expire_quarantined": Sample(_BECAUSE, ids={"message": "kept"}),
    "refuse_release": Sample(_BECAUSE, ids={"message": "kept"}),
    "list_queue": Sample(),
    "count_queue": Sample(),
    "list_suspensions": Sample(),
    "hold_message": Sample({"recipient": "cora@{org}.org", "reason": "because"}),
    "release_message": Sample({}, ids={"message": "held"}),
    "retry_message": Sample({}),
    "expire_message": Sample({}),
    "retry_lane": Sample({"lane": None}),
    "suspend_lane": Sample({"lane": "primary:main", "reason": "because"}),
    "resume_lane": Sample({"lane": "stopped.example"}),
    "rebind_lane": Sample({"lane": "slow.example", "host": "relay.example", "port": 25}),
    "unbind_lane": Sample({"lane": "bound.example"}),
    "list_audit": Sample(),
    "verify_audit": Sample(),
    "stream_events": Sample(streams=True),
}


def of(value: Any, organisation: str) -> Any:
    """With `{org}` filled in."""
    if isinstance(value, str):
        return value.replace("{org}", organisation)
    if isinstance(value, dict):
        return {key: of(each, organisation) for key, each in value.items()}
    if isinstance(value, list):
        return [of(each, organisation) for each in value]
    return value


def walk(value: Any, change: Callable[[str], str]) -> Any:
    """With every text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: walk(each, change) for key, each in value.items()}
    return value


async def prepare(house: House, name: str, who: str) -> None:
    """Bring an organisation to where the sample succeeds."""
    sample = SAMPLES[name]
    if sample.prepare:
        async with house.database.connection() as connection:
            await connection.execute(sample.prepare)
    for earlier, body in sample.before:
        await house.get(earlier, of(body, who), who=who)


def ids_of(house: House, name: str, whose: str) -> dict[str, str]:
    """The identifiers for the sample's path, of an organisation's things."""
    own = house.things[whose].ids
    return own | {wanted: own[given] for wanted, given in SAMPLES[name].ids.items()}
