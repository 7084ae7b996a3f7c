"""The options of the limits on what goes out: `[guard.sending]`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from everpost.app.options import Section, doc
from everpost.guard.sending.model import Action, Amount, Limit, SendingLimits

_MOST: Final = 100_000_000


class Sending(Section, frozen=True):
    """How much may be sent before somebody has to look. What it is for stands in
    [guard-sending.md](guard-sending.md).
    """

    person: Annotated[
        Literal["off", "mark", "quarantine", "defer"],
        doc("What is done with a person's mail beyond the limits: nothing, a mark, keep it apart, answer 4xx."),
    ] = "quarantine"
    person_messages_hour: Annotated[int, doc("A person's messages within an hour. 0: no limit.", ge=0, le=_MOST)] = 100
    person_messages_day: Annotated[int, doc("A person's messages within a day. 0: no limit.", ge=0, le=_MOST)] = 500
    person_recipients_hour: Annotated[
        int, doc("Recipients outside of a person's messages within an hour. 0: no limit.", ge=0, le=_MOST)
    ] = 500
    person_recipients_day: Annotated[
        int, doc("Recipients outside of a person's messages within a day. 0: no limit.", ge=0, le=_MOST)
    ] = 1500
    person_strangers_hour: Annotated[
        int,
        doc("Recipients outside within an hour whom this person has never written to. 0: no limit.", ge=0, le=_MOST),
    ] = 150
    person_strangers_day: Annotated[
        int,
        doc("Recipients outside within a day whom this person has never written to. 0: no limit.", ge=0, le=_MOST),
    ] = 400
    primary: Annotated[
        Literal["off", "mark", "quarantine", "defer"],
        doc("What is done with mail that a primary relays beyond the limits of a whole primary."),
    ] = "mark"
    primary_messages_hour: Annotated[
        int, doc("Messages that a primary relays within an hour. 0: no limit.", ge=0, le=_MOST)
    ] = 10_000
    primary_messages_day: Annotated[
        int, doc("Messages that a primary relays within a day. 0: no limit.", ge=0, le=_MOST)
    ] = 100_000
    primary_recipients_hour: Annotated[
        int, doc("Recipients outside of what a primary relays within an hour. 0: no limit.", ge=0, le=_MOST)
    ] = 20_000
    primary_recipients_day: Annotated[
        int, doc("Recipients outside of what a primary relays within a day. 0: no limit.", ge=0, le=_MOST)
    ] = 200_000

    def limits(self) -> SendingLimits:
        """As the guard has them."""
        person = Limit(
            Action(self.person),
            Amount(self.person_messages_hour, self.person_recipients_hour, self.person_strangers_hour),
            Amount(self.person_messages_day, self.person_recipients_day, self.person_strangers_day),
        )
        primary = Limit(
            Action(self.primary),
            Amount(self.primary_messages_hour, self.primary_recipients_hour),
            Amount(self.primary_messages_day, self.primary_recipients_day),
        )
        return SendingLimits(person, primary)
