"""What digests and answers say, in the languages that people are written to in. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from everpost.guard.model import Judgement
from everpost.intake.links import Deed


@dataclass(frozen=True, slots=True)
class Texts:
    """One language. Texts in braces are filled in."""

    one: str
    many: str
    what: str
    expires: str
    more: str
    malware: str
    no_subject: str
    no_sender: str
    deeds: dict[Deed, str]
    judgements: dict[Judgement, str]
    answers: dict[str, str]
    answer_subject: str
    reason: str


_ENGLISH: Final = Texts(
    one="1 message is kept from you",
    many="{count} messages are kept from you",
    what="These messages for {address} look dangerous or unwanted. Nobody gets them before somebody releases them.",
    expires="The links below work for two days, ask before they do anything, and need no login."
    " Do not pass this message on: whoever has it can use them.",
    more="And {count} more: your webmail shows them.",
    malware="Only an administrator can release it.",
    no_subject="(no subject)",
    no_sender="(no sender)",
    deeds={
        Deed.RELEASE: "Release", Deed.ASK: "Ask for release", Deed.ALLOW: "Always allow the sender",
        Deed.DENY: "Block the sender",
    },
    judgements={
        Judgement.CLEAN: "clean", Judgement.SUSPICIOUS: "suspicious", Judgement.SPAM: "spam",
        Judgement.PHISHING: "phishing", Judgement.MALWARE: "malware", Judgement.POLICY: "not allowed",
    },
    answers={
        "released": "The message that you asked for was released. It stands in your Inbox.",
        "refused": "The release of the message that you asked for was refused.",
        "expired": "The message that you asked for was given up. It is not to be had any more.",
    },
    answer_subject="Your request for a message kept in quarantine",
    reason="Reason: {reason}",
)  # fmt: skip
_GERMAN: Final = Texts(
    one="1 Nachricht wird zurückgehalten",
    many="{count} Nachrichten werden zurückgehalten",
    what="Diese Nachrichten an {address} sehen gefährlich oder unerwünscht aus. Niemand bekommt sie, bevor jemand sie"
    " freigibt.",
    expires="Die Links unten gelten zwei Tage, fragen nach, bevor sie etwas tun, und brauchen keine Anmeldung. Leiten"
    " Sie diese Nachricht nicht weiter: wer sie hat, kann die Links benutzen.",
    more="Und {count} weitere: Ihr Webmail zeigt sie.",
    malware="Nur ein Administrator kann sie freigeben.",
    no_subject="(kein Betreff)",
    no_sender="(kein Absender)",
    deeds={
        Deed.RELEASE: "Freigeben", Deed.ASK: "Um Freigabe bitten", Deed.ALLOW: "Absender immer erlauben",
        Deed.DENY: "Absender sperren",
    },
    judgements={
        Judgement.CLEAN: "unbedenklich", Judgement.SUSPICIOUS: "verdächtig", Judgement.SPAM: "Spam",
        Judgement.PHISHING: "Phishing", Judgement.MALWARE: "Schadsoftware", Judgement.POLICY: "nicht erlaubt",
    },
    answers={
        "released": "Die Nachricht, um die Sie gebeten haben, wurde freigegeben. Sie steht in Ihrem Posteingang.",
        "refused": "Die Freigabe der Nachricht, um die Sie gebeten haben, wurde abgelehnt.",
        "expired": "Die Nachricht, um die Sie gebeten haben, wurde aufgegeben. Sie ist nicht mehr zu haben.",
    },
    answer_subject="Ihre Bitte um eine Nachricht in Quarantäne",
    reason="Grund: {reason}",
)  # fmt: skip
_FRENCH: Final = Texts(
    one="1 message est retenu",
    many="{count} messages sont retenus",
    what="Ces messages pour {address} paraissent dangereux ou indésirables. Personne ne les reçoit avant que quelqu’un"
    " les libère.",
    expires="Les liens ci-dessous valent deux jours, demandent confirmation avant d’agir et ne demandent pas de mot de"
    " passe. Ne transférez pas ce message : qui l’a peut s’en servir.",
    more="Et {count} autres : votre webmail les montre.",
    malware="Seul un administrateur peut le libérer.",
    no_subject="(sans objet)",
    no_sender="(sans expéditeur)",
    deeds={
        Deed.RELEASE: "Libérer", Deed.ASK: "Demander la libération", Deed.ALLOW: "Toujours autoriser l’expéditeur",
        Deed.DENY: "Bloquer l’expéditeur",
    },
    judgements={
        Judgement.CLEAN: "sain", Judgement.SUSPICIOUS: "suspect", Judgement.SPAM: "spam",
        Judgement.PHISHING: "hameçonnage", Judgement.MALWARE: "logiciel malveillant", Judgement.POLICY: "interdit",
    },
    answers={
        "released": "Le message que vous avez demandé a été libéré. Il est dans votre boîte de réception.",
        "refused": "La libération du message que vous avez demandé a été refusée.",
        "expired": "Le message que vous avez demandé a été abandonné. On ne peut plus l’avoir.",
    },
    answer_subject="Votre demande pour un message en quarantaine",
    reason="Raison : {reason}",
)  # fmt: skip
_BY_LANGUAGE: Final = {"en": _ENGLISH, "de": _GERMAN, "fr": _FRENCH}


def texts_in(language: str) -> Texts:
    """English where there is none in the language."""
    return _BY_LANGUAGE.get(language, _ENGLISH)
