"""What the pages of clicked links say, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from everpost.guard.links.clicked import ClickOutcome


@dataclass(frozen=True, slots=True)
class Words:
    """`outcomes`: title and explanation of each page."""

    language: str
    outcomes: Mapping[ClickOutcome, tuple[str, str]]
    leads_to: str
    go_on: str
    help: str


_WORDS: Final = {
    "en": Words(
        "en",
        {
            ClickOutcome.BLOCKED: (
                "This link is blocked", "It leads to a place that is known or taken to be dangerous."
            ),
            ClickOutcome.WARNED: ("Look twice before you go on", "There is something odd about this link."),
            ClickOutcome.EXPIRED: (
                "This link is too old", "Links in messages are kept for a year. Its address still stands below."
            ),
            ClickOutcome.NOT_OURS: (
                "This link is not complete",
                "It was changed or cut on its way. Open it from the message again, or ask its sender for it.",
            ),
        },
        "It leads to", "Go there all the same",
        "If you think this is wrong, tell the people who look after your mail.",
    ),
    "de": Words(
        "de",
        {
            ClickOutcome.BLOCKED: (
                "Dieser Link ist gesperrt",
                "Er führt an einen Ort, der als gefährlich bekannt ist oder dafür gehalten wird.",
            ),
            ClickOutcome.WARNED: ("Sehen Sie genau hin", "An diesem Link ist etwas ungewöhnlich."),
            ClickOutcome.EXPIRED: (
                "Dieser Link ist zu alt", "Links in Nachrichten gelten ein Jahr. Seine Adresse steht noch unten."
            ),
            ClickOutcome.NOT_OURS: (
                "Dieser Link ist nicht vollständig",
                "Er wurde unterwegs verändert oder gekürzt. Öffnen Sie ihn noch einmal aus der Nachricht, oder fragen "
                "Sie den Absender danach.",
            ),
        },
        "Er führt zu", "Trotzdem dorthin",
        "Wenn Sie das für falsch halten, sagen Sie es denen, die sich um Ihre E-Mail kümmern.",
    ),
    "fr": Words(
        "fr",
        {
            ClickOutcome.BLOCKED: ("Ce lien est bloqué", "Il mène à un endroit connu ou tenu pour dangereux."),
            ClickOutcome.WARNED: ("Regardez-y à deux fois", "Ce lien a quelque chose d'inhabituel."),
            ClickOutcome.EXPIRED: (
                "Ce lien est trop ancien",
                "Les liens des messages sont gardés un an. Son adresse figure encore ci-dessous.",
            ),
            ClickOutcome.NOT_OURS: (
                "Ce lien n'est pas complet",
                "Il a été modifié ou coupé en route. Ouvrez-le à nouveau depuis le message, ou demandez-le à "
                "l'expéditeur.",
            ),
        },
        "Il mène à", "Y aller quand même",
        "Si vous pensez que c'est une erreur, dites-le aux personnes qui s'occupent de votre messagerie.",
    ),
}  # fmt: skip


def words_for(accept_language: str) -> Words:
    """By the languages that a browser asks for, the first that is known."""
    for wanted in accept_language[:200].split(","):
        found = _WORDS.get(wanted.strip()[:2].lower())
        if found is not None:
            return found
    return _WORDS["en"]
