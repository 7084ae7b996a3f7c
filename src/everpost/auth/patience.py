"""A resolver that does not wait for a DNS that is not there: mail must not stand still because of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from everpost.auth.resolver import Lookup, RecordType, Resolver, Status

log = structlog.get_logger()

FAILURES: Final = 10
PAUSE_S: Final = 2.0


class PatientResolver:
    """Passes questions on. After so many in a row without any answer it answers `TEMPORARY` at once, but for one
    question every `pause_s` seconds; the first that is answered ends this.
    """

    def __init__(
        self,
        inner: Resolver,
        *,
        failures: int = FAILURES,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._failures = failures
        self._pause_s = pause_s
        self._clock = clock
        self._unanswered = 0
        self._next_try = 0.0

    @property
    def given_up(self) -> bool:
        """Whether the DNS has not answered for a while."""
        return self._unanswered >= self._failures

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """Ask, unless nobody answers anyway."""
        if self.given_up:
            now = self._clock()
            if now < self._next_try:
                return Lookup(Status.TEMPORARY, reason="the DNS has not answered for a while")
            self._next_try = now + self._pause_s
        answer = await self._inner.lookup(name, kind)
        self._note(answer)
        return answer

    def _note(self, answer: Lookup) -> None:
        if not answer.temporary:
            if self.given_up:
                log.info("dns.answers_again")
            self._unanswered = 0
            return
        self._unanswered += 1
        if self._unanswered == self._failures:
            self._next_try = self._clock() + self._pause_s
            log.warning("dns.does_not_answer", reason=answer.reason, questions=self._unanswered)
