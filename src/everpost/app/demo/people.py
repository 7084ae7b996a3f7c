"""The demo's people: a first name each, and no more."""

from __future__ import annotations

from everpost.app.demo.messages import Person

_NAMES = (
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Klara", "Leo", "Mia", "Noah",
    "Olga", "Paul", "Rosa", "Simon", "Thea", "Viktor", "Wanda", "Yara", "Zoe", "Amir", "Bea", "Carl", "Dora", "Elif",
    "Finn", "Gina", "Hana", "Ivan", "Jana", "Kofi", "Lena", "Max", "Nora", "Otto", "Petra", "Ravi",
)  # fmt: skip


def make_people(domain: str) -> list[Person]:
    """Forty of them."""
    return [Person(name, f"{name.lower()}@{domain}") for name in _NAMES]
