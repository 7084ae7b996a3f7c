"""All operations, in the order of the manual."""

from __future__ import annotations

from everpost.serve.web.api import (
    activations,
    audits,
    delegates,
    drills,
    events,
    failbacks,
    messages,
    overview,
    people,
    policies,
    quarantines,
    queues,
    settings,
    trust,
)
from everpost.serve.web.api.registry import Operation, Section

SECTIONS: tuple[Section, ...] = (
    people.section,
    overview.section,
    trust.section,
    activations.section,
    failbacks.section,
    drills.section,
    delegates.section,
    messages.section,
    quarantines.section,
    queues.section,
    policies.section,
    settings.section,
    audits.section,
    events.section,
)
OPERATIONS: tuple[Operation, ...] = tuple(operation for section in SECTIONS for operation in section.operations)
