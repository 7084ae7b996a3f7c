"""What the pages behind a digest's links say. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from everpost.intake.links import Deed


@dataclass(frozen=True, slots=True)
class LinkTexts:
    """One language. `done` is also what a link says that is followed again; `kept_no_more` by what became of it."""

    title: str
    asks: dict[Deed, str]
    buttons: dict[Deed, str]
    done: dict[Deed, str]
    kept_no_more: dict[str, str]
    not_allowed: str
    over: str
    unknown: str
    sender: str
    subject: str


_ENGLISH: Final = LinkTexts(
    title="Kept from you",
    asks={
        Deed.RELEASE: "Release this message? Only if you know the sender and wait for it: it was kept because it looks"
        " dangerous or unwanted.",
        Deed.ASK: "Ask the administrators to release this message? You hear of their answer by mail.",
        Deed.ALLOW: "Always allow this sender? Their mail is then not taken for spam, for you alone.",
        Deed.DENY: "Block this sender? Their mail then goes to your Junk folder.",
    },
    buttons={
        Deed.RELEASE: "Yes, release it", Deed.ASK: "Yes, ask", Deed.ALLOW: "Yes, allow", Deed.DENY: "Yes, block",
    },
    done={
        Deed.RELEASE: "The message was released. It is in your mailbox.",
        Deed.ASK: "The administrators were asked. You hear of their answer by mail.",
        Deed.ALLOW: "The sender is allowed.",
        Deed.DENY: "The sender is blocked.",
    },
    kept_no_more={
        "released": "The message was released already.",
        "expired": "The message was given up. It is not to be had any more.",
    },
    not_allowed="This cannot be done by a link: ask an administrator.",
    over="This link is over: links work for two days. The next digest, your webmail or an administrator helps.",
    unknown="There is nothing here.",
    sender="From",
    subject="Subject",
)  # fmt: skip
_GERMAN: Final = LinkTexts(
    title="Zurückgehaltene Nachricht",
    asks={
        Deed.RELEASE: "Diese Nachricht freigeben? Nur wenn Sie den Absender kennen und darauf warten: sie wurde"
        " zurückgehalten, weil sie gefährlich oder unerwünscht aussieht.",
        Deed.ASK: "Die Administratoren bitten, diese Nachricht freizugeben? Sie erfahren die Antwort per E-Mail.",
        Deed.ALLOW: "Diesen Absender immer erlauben? Seine Nachrichten gelten dann nicht als Spam, nur für Sie.",
        Deed.DENY: "Diesen Absender sperren? Seine Nachrichten gehen dann in Ihren Spam-Ordner.",
    },
    buttons={
        Deed.RELEASE: "Ja, freigeben", Deed.ASK: "Ja, darum bitten", Deed.ALLOW: "Ja, erlauben",
        Deed.DENY: "Ja, sperren",
    },
    done={
        Deed.RELEASE: "Die Nachricht wurde freigegeben. Sie ist in Ihrem Postfach.",
        Deed.ASK: "Die Administratoren wurden gebeten. Sie erfahren die Antwort per E-Mail.",
        Deed.ALLOW: "Der Absender ist erlaubt.",
        Deed.DENY: "Der Absender ist gesperrt.",
    },
    kept_no_more={
        "released": "Die Nachricht wurde bereits freigegeben.",
        "expired": "Die Nachricht wurde aufgegeben. Sie ist nicht mehr zu haben.",
    },
    not_allowed="Das geht nicht über einen Link: fragen Sie einen Administrator.",
    over="Dieser Link ist abgelaufen: Links gelten zwei Tage. Die nächste Übersicht, Ihr Webmail oder ein"
    " Administrator hilft.",
    unknown="Hier ist nichts.",
    sender="Von",
    subject="Betreff",
)  # fmt: skip
_FRENCH: Final = LinkTexts(
    title="Message retenu",
    asks={
        Deed.RELEASE: "Libérer ce message ? Seulement si vous connaissez l’expéditeur et l’attendez : il a été retenu"
        " parce qu’il paraît dangereux ou indésirable.",
        Deed.ASK: "Demander aux administrateurs de libérer ce message ? Vous apprenez leur réponse par e-mail.",
        Deed.ALLOW: "Toujours autoriser cet expéditeur ? Ses messages ne passent plus pour du spam, pour vous seul.",
        Deed.DENY: "Bloquer cet expéditeur ? Ses messages iront dans vos indésirables.",
    },
    buttons={
        Deed.RELEASE: "Oui, libérer", Deed.ASK: "Oui, demander", Deed.ALLOW: "Oui, autoriser",
        Deed.DENY: "Oui, bloquer",
    },
    done={
        Deed.RELEASE: "Le message a été libéré. Il est dans votre boîte.",
        Deed.ASK: "Les administrateurs ont été sollicités. Vous apprenez leur réponse par e-mail.",
        Deed.ALLOW: "L’expéditeur est autorisé.",
        Deed.DENY: "L’expéditeur est bloqué.",
    },
    kept_no_more={
        "released": "Le message a déjà été libéré.",
        "expired": "Le message a été abandonné. On ne peut plus l’avoir.",
    },
    not_allowed="Cela ne se fait pas par un lien : demandez à un administrateur.",
    over="Ce lien n’est plus valable : les liens valent deux jours. Le prochain récapitulatif, votre webmail ou un"
    " administrateur vous aide.",
    unknown="Il n’y a rien ici.",
    sender="De",
    subject="Objet",
)  # fmt: skip
_BY_LANGUAGE: Final = {"en": _ENGLISH, "de": _GERMAN, "fr": _FRENCH}


def link_texts(language: str) -> LinkTexts:
    """English where there is none in the language."""
    return _BY_LANGUAGE.get(language, _ENGLISH)
