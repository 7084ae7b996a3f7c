"""Whatever a stranger sends: nothing raises, nothing of ours breaks."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attachment_tools import look
from everpost.guard.attachments import Attachment, inspect
from everpost.guard.attachments.walk import INTERNAL
from fuzz.targets.attachments import SEEDS, run

STARTS = [seed[:length] for seed in SEEDS for length in (4, 16, 64, len(seed) // 2)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(STARTS), st.binary(max_size=400), st.text(max_size=40), st.text(max_size=60))
def test_any_octets(start: bytes, rest: bytes, name: str, text: str) -> None:
    found = inspect([Attachment(name, name[:10], start + rest)], [text])
    assert not [finding for finding in found.findings if finding.evidence.startswith(INTERNAL)]


@pytest.mark.parametrize("number", range(len(SEEDS)))
def test_damaged_samples(number: int) -> None:
    chance = random.Random(number)
    for _ in range(15):
        data = bytearray(SEEDS[number])
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        run(bytes(data[: chance.choice((len(data), chance.randrange(len(data)) + 1))]))


def test_every_sample_cut_anywhere() -> None:
    for seed in SEEDS:
        for at in range(0, len(seed), max(1, len(seed) // 12)):
            look(seed[:at], "a.bin")
