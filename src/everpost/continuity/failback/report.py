"""The reconciliation report: one signed JSON object, and the same for people to read."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime
from html import escape
from typing import Any

import msgspec

from everpost.continuity.failback.ledger import Run, RunMailbox
from everpost.continuity.failback.model import Figures
from everpost.crypto import signing

_NUMBERS = (
    "received", "replayed", "already", "appended", "changes", "held", "missing", "lost", "duplicated", "altered",
)  # fmt: skip
_TITLES = {
    "received": "mail held for the server",
    "replayed": "delivered now",
    "already": "already there",
    "appended": "sent mail and drafts put there",
    "changes": "flags, moves, deletions, folders",
    "held": "held here",
    "missing": "not found there",
    "lost": "lost",
    "duplicated": "duplicated",
    "altered": "altered",
}


def make_report(run: Run, mailboxes: list[RunMailbox], finished_at: datetime) -> dict[str, Any]:
    """Plain JSON values only, so that the canonical form survives the database."""
    entries = [
        {
            "mailbox": mailbox.address or mailbox.name,
            "returned_at": mailbox.returned_at.isoformat() if mailbox.returned_at else None,
            **asdict(mailbox.figures or Figures()),
        }
        for mailbox in mailboxes
    ]
    totals = {name: sum(entry[name] for entry in entries) for name in _NUMBERS}
    return {
        "organisation": run.organisation,
        "failback": run.id,
        "activation": run.activation_id,
        "scope": f"{run.scope.kind} {run.scope.id}",
        "actor": run.actor,
        "activated_at": run.activated_at.isoformat(),
        "started_at": run.started_at.isoformat(),
        "finished_at": finished_at.isoformat(),
        "looked": all(entry["looked"] for entry in entries),
        "totals": totals,
        "mailboxes": entries,
    }


def canonical(report: dict[str, Any]) -> bytes:
    """The bytes that are signed: JSON with sorted keys and no white space."""
    return msgspec.json.encode(report, order="sorted")


def digest(report: dict[str, Any]) -> str:
    """SHA-256 of the canonical form, as it stands in the audit."""
    return hashlib.sha256(canonical(report)).hexdigest()


def is_genuine(report: dict[str, Any], signature: bytes, public: bytes) -> bool:
    """Whether the report is exactly what the organisation's key signed."""
    return signing.verify(public, canonical(report), signature)


def as_text(report: dict[str, Any]) -> str:
    """A page for a terminal or a mail."""
    lines = [
        f"Failback of {report['scope']}, {report['organisation']}",
        f"standby from {report['activated_at']}, failback {report['started_at']} to {report['finished_at']}",
        "",
        *(f"{report['totals'][name]:>9}  {_TITLES[name]}" for name in _NUMBERS),
        "",
    ]
    if not report["looked"]:
        lines += ["Some mailboxes could not be looked into (no IMAP): their figures are the server's replies.", ""]
    for entry in report["mailboxes"]:
        figures = ", ".join(f"{name} {entry[name]}" for name in _NUMBERS if entry[name])
        lines.append(f"{entry['mailbox']}: {figures or 'nothing to bring back'}")
        lines += [f"    {text}" for text in entry["remarks"]]
    return "\n".join(lines) + "\n"


def as_html(report: dict[str, Any], signature: bytes | None = None) -> str:
    """A page that stands alone. Everything from outside is escaped."""
    totals = report["totals"]
    good = not (totals["lost"] or totals["duplicated"] or totals["altered"])
    rows = "".join(
        f"<tr><td>{escape(entry['mailbox'])}</td>"
        + "".join(f"<td class=n>{entry[name]}</td>" for name in _NUMBERS)
        + "</tr>"
        + "".join(f"<tr class=r><td colspan={len(_NUMBERS) + 1}>{escape(text)}</td></tr>" for text in entry["remarks"])
        for entry in report["mailboxes"]
    )
    heads = "".join(f"<th>{escape(_TITLES[name])}</th>" for name in _NUMBERS)
    sums = "".join(f"<td class=n>{totals[name]}</td>" for name in _NUMBERS)
    verdict = "Everything came back: nothing lost, duplicated or altered." if good else "Look at the remarks below."
    looked = "" if report["looked"] else "<p>Some mailboxes could not be looked into: there is no IMAP connector.</p>"
    signed = f"<p>Signature (Ed25519): <code>{signature.hex()}</code></p>" if signature else ""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Failback {report['failback']}</title>"
        f"<style>{_STYLE}</style><h1>Failback of {escape(report['scope'])}, {escape(report['organisation'])}</h1>"
        f"<p class={'good' if good else 'bad'}>{verdict}</p>"
        f"<p>Standby from {escape(report['activated_at'])}. Failback from {escape(report['started_at'])} "
        f"to {escape(report['finished_at'])}, started by {escape(report['actor'])}.</p>{looked}"
        f"<table><tr><th>Mailbox</th>{heads}</tr>{rows}<tr class=s><td>All</td>{sums}</tr></table>"
        f"<p>SHA-256: <code>{digest(report)}</code></p>{signed}</html>\n"
    )


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid #ccc;padding:.3rem .5rem;text-align:left}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}.r td{color:#555;font-size:.9rem;padding-left:2rem}"
    ".s td{font-weight:600}.good{color:#0a6b2d}.bad{color:#a11212}code{overflow-wrap:anywhere}"
)
