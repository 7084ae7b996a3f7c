"""Every signal there is: its group, its weight, what it points to, what it means. `docs/signals.md` shows this table.

Valid identifiers, a known sender or a DMARC pass never earn a bonus: an attacker has them too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.model import FindingKind
from everpost.guard.links.model import LinkFindingKind
from everpost.guard.model import Group, Judgement, SignalKind

_KINDS: dict[str, SignalKind] = {}


def _kind(
    name: str, group: Group, weight: float, points_to: Judgement, meaning: str, *, decisive: bool = False
) -> SignalKind:
    assert name not in _KINDS, name
    kind = _KINDS[name] = SignalKind(name, group, weight, points_to, meaning, decisive)
    return kind


def all_kinds() -> Iterator[SignalKind]:
    """In the order in which they are declared."""
    yield from _KINDS.values()


def kind_of(name: str) -> SignalKind | None:
    """The kind with this name; None for one of another version."""
    return _KINDS.get(name)


# ------------------------------------------------------------------ who sends

SPF_FAIL: Final = _kind(
    "spf.fail", Group.IDENTITY, 1.5, Judgement.SPAM,
    "The domain of the reverse-path says that this server may not send for it (RFC 7208).",
)  # fmt: skip
SPF_SOFTFAIL: Final = _kind(
    "spf.softfail", Group.IDENTITY, 0.7, Judgement.SPAM,
    "The domain of the reverse-path says that this server probably may not send for it.",
)  # fmt: skip
SPF_PERMERROR: Final = _kind(
    "spf.permerror", Group.IDENTITY, 0.3, Judgement.SPAM, "The domain's SPF record cannot be evaluated."
)
DKIM_FAIL: Final = _kind(
    "dkim.fail", Group.IDENTITY, 0.5, Judgement.SPAM, "A DKIM signature does not fit the message (RFC 6376)."
)
ARC_FAIL: Final = _kind("arc.fail", Group.IDENTITY, 0.3, Judgement.SPAM, "The ARC chain is broken (RFC 8617).")
DMARC_REJECT: Final = _kind(
    "dmarc.reject", Group.IDENTITY, 8.0, Judgement.PHISHING,
    "The author's domain asks that mail like this be refused: neither SPF nor DKIM vouches for it (RFC 9989).",
    decisive=True,
)  # fmt: skip
DMARC_QUARANTINE: Final = _kind(
    "dmarc.quarantine", Group.IDENTITY, 5.0, Judgement.SPAM,
    "The author's domain asks that mail like this be set apart: neither SPF nor DKIM vouches for it.",
)  # fmt: skip
DMARC_FAIL: Final = _kind(
    "dmarc.fail", Group.IDENTITY, 1.0, Judgement.SPAM,
    "Neither SPF nor DKIM vouches for the author's domain, which asks for nothing to be done about it.",
)  # fmt: skip
DMARC_PERMERROR: Final = _kind(
    "dmarc.permerror",
    Group.IDENTITY,
    0.5,
    Judgement.SPAM,
    "The author cannot be told, or the DMARC record not be read.",
)
NOBODY_VOUCHES: Final = _kind(
    "sender.unauthenticated", Group.IDENTITY, 0.6, Judgement.SPAM,
    "Neither SPF nor DKIM says anything in favour of this message.",
)  # fmt: skip
OWN_DOMAIN: Final = _kind(
    "sender.own-domain", Group.IDENTITY, 3.0, Judgement.PHISHING,
    "A stranger writes under an address of one of our own domains, and nothing vouches for it.",
)  # fmt: skip
NAME_IS_ADDRESS: Final = _kind(
    "sender.name-is-address", Group.IDENTITY, 2.5, Judgement.PHISHING,
    "The author's displayed name is an address of another domain than the one that it stands before.",
)  # fmt: skip
SEVERAL_AUTHORS: Final = _kind(
    "sender.several", Group.IDENTITY, 1.5, Judgement.SPAM, "The message has more than one From field, or none."
)
REPLY_ELSEWHERE: Final = _kind(
    "sender.reply-elsewhere", Group.IDENTITY, 0.8, Judgement.PHISHING,
    "Answers would go to another domain than the author's.",
)  # fmt: skip

# ------------------------------------------------------------------ from where

NO_REVERSE_NAME: Final = _kind(
    "network.no-name", Group.NETWORK, 1.0, Judgement.SPAM, "The client's address has no name in the DNS."
)
REVERSE_NAME_LIES: Final = _kind(
    "network.false-name", Group.NETWORK, 0.7, Judgement.SPAM,
    "The name of the client's address does not lead back to it (RFC 8601 iprev).",
)  # fmt: skip
HELO_IS_OURS: Final = _kind(
    "network.helo-ours", Group.NETWORK, 3.0, Judgement.SPAM, "The client greets with our own name."
)
HELO_BARE: Final = _kind(
    "network.helo-bare", Group.NETWORK, 1.2, Judgement.SPAM,
    "The client greets with a bare word or address instead of its name (RFC 5321 §4.1.1.1).",
)  # fmt: skip
LISTED: Final = _kind(
    "network.listed", Group.NETWORK, 4.0, Judgement.SPAM, "The client's address stands on a block list of the DNS."
)

# ------------------------------------------------------------------ what it carries

ATTACHMENT_KINDS: Final = {
    FindingKind.EXECUTABLE: _kind(
        "file.executable", Group.PAYLOAD, 5.0, Judgement.MALWARE, "A file is a program, by its content or its name."
    ),
    FindingKind.SCRIPT: _kind(
        "file.script", Group.PAYLOAD, 3.0, Judgement.MALWARE, "A file is a script that runs when it is opened."
    ),
    FindingKind.DISK_IMAGE: _kind(
        "file.disk-image",
        Group.PAYLOAD,
        2.5,
        Judgement.MALWARE,
        "A file is a disk image, which hides where its contents came from.",
    ),
    FindingKind.LNK: _kind("file.lnk", Group.PAYLOAD, 5.0, Judgement.MALWARE, "A file is a Windows shortcut."),
    FindingKind.DOUBLE_EXTENSION: _kind(
        "file.double-extension",
        Group.PAYLOAD,
        4.0,
        Judgement.MALWARE,
        "A file's name looks like a document, but is opened as something else.",
    ),
    FindingKind.RIGHT_TO_LEFT_NAME: _kind(
        "file.right-to-left-name",
        Group.PAYLOAD,
        5.0,
        Judgement.MALWARE,
        "A file's name turns its reading direction to hide how it ends.",
    ),
    FindingKind.HIDDEN_CHARACTERS: _kind(
        "file.hidden-characters",
        Group.PAYLOAD,
        2.0,
        Judgement.MALWARE,
        "There are invisible characters in a file's name.",
    ),
    FindingKind.PADDED_NAME: _kind(
        "file.padded-name", Group.PAYLOAD, 3.0, Judgement.MALWARE, "Blanks push the end of a file's name out of sight."
    ),
    FindingKind.TYPE_MISMATCH: _kind(
        "file.type-mismatch",
        Group.PAYLOAD,
        1.0,
        Judgement.MALWARE,
        "A file is something else than its name or its declared type says.",
    ),
    FindingKind.ENCRYPTED: _kind(
        "file.encrypted", Group.PAYLOAD, 0.8, Judgement.MALWARE, "A file cannot be looked into: it is encrypted."
    ),
    FindingKind.PASSWORD_IN_TEXT: _kind(
        "file.password-in-text",
        Group.PAYLOAD,
        2.0,
        Judgement.MALWARE,
        "The password of an encrypted file stands in the message.",
    ),
    FindingKind.APPENDED_DATA: _kind(
        "file.appended-data", Group.PAYLOAD, 0.5, Judgement.MALWARE, "Something is appended to a file behind its end."
    ),
    FindingKind.HIDDEN_MEMBER: _kind(
        "file.hidden-member",
        Group.PAYLOAD,
        1.5,
        Judgement.MALWARE,
        "A container has members that ordinary programs do not show.",
    ),
    FindingKind.TNEF: _kind(
        "file.tnef",
        Group.PAYLOAD,
        0.0,
        Judgement.MALWARE,
        "A file is in Outlook's own format; what it holds is looked at.",
    ),
    FindingKind.SMIME: _kind(
        "file.smime",
        Group.PAYLOAD,
        0.0,
        Judgement.MALWARE,
        "A file is an S/MIME container; what it holds is looked at where it is not encrypted.",
    ),
    FindingKind.MACRO: _kind("file.macro", Group.PAYLOAD, 1.0, Judgement.MALWARE, "A document has macros."),
    FindingKind.AUTO_MACRO: _kind(
        "file.auto-macro", Group.PAYLOAD, 4.0, Judgement.MALWARE, "A document has macros that run by themselves."
    ),
    FindingKind.DDE: _kind(
        "file.dde", Group.PAYLOAD, 4.0, Judgement.MALWARE, "A document starts a program through DDE."
    ),
    FindingKind.TEMPLATE_INJECTION: _kind(
        "file.template-injection",
        Group.PAYLOAD,
        4.0,
        Judgement.MALWARE,
        "A document loads a template from elsewhere when it is opened.",
    ),
    FindingKind.EMBEDDED_OBJECT: _kind(
        "file.embedded-object", Group.PAYLOAD, 1.0, Judgement.MALWARE, "A document has another file embedded."
    ),
    FindingKind.EQUATION_EDITOR: _kind(
        "file.equation-editor",
        Group.PAYLOAD,
        5.0,
        Judgement.MALWARE,
        "A document calls the old equation editor, which is known for its defects.",
    ),
    FindingKind.ONENOTE_EMBEDDED: _kind(
        "file.onenote-embedded", Group.PAYLOAD, 3.0, Judgement.MALWARE, "A OneNote notebook has files embedded."
    ),
    FindingKind.PDF_JAVASCRIPT: _kind(
        "file.pdf-javascript", Group.PAYLOAD, 1.0, Judgement.MALWARE, "A PDF has JavaScript."
    ),
    FindingKind.PDF_LAUNCH: _kind("file.pdf-launch", Group.PAYLOAD, 5.0, Judgement.MALWARE, "A PDF starts a program."),
    FindingKind.PDF_OPEN_ACTION: _kind(
        "file.pdf-open-action", Group.PAYLOAD, 0.3, Judgement.MALWARE, "A PDF does something when it is opened."
    ),
    FindingKind.PDF_EMBEDDED_FILE: _kind(
        "file.pdf-embedded-file", Group.PAYLOAD, 0.3, Judgement.MALWARE, "A PDF has files embedded; they are looked at."
    ),
    FindingKind.HTML_SMUGGLING: _kind(
        "file.html-smuggling",
        Group.PAYLOAD,
        5.0,
        Judgement.MALWARE,
        "A page puts a file together by script when it is opened.",
    ),
    FindingKind.HTML_SCRIPT: _kind(
        "file.html-script", Group.PAYLOAD, 1.0, Judgement.MALWARE, "An attached page has scripts."
    ),
    FindingKind.SVG_SCRIPT: _kind("file.svg-script", Group.PAYLOAD, 4.0, Judgement.MALWARE, "A picture has scripts."),
    FindingKind.XML_ENTITY: _kind(
        "file.xml-entity", Group.PAYLOAD, 2.0, Judgement.MALWARE, "A document defines entities of its own."
    ),
    FindingKind.LNK_COMMAND: _kind(
        "file.lnk-command", Group.PAYLOAD, 5.0, Judgement.MALWARE, "A shortcut starts a command."
    ),
    FindingKind.BOMB: _kind(
        "file.bomb", Group.PAYLOAD, 5.0, Judgement.MALWARE, "A container would unpack to far more than it is."
    ),
    FindingKind.TOO_DEEP: _kind(
        "file.too-deep",
        Group.PAYLOAD,
        2.0,
        Judgement.MALWARE,
        "There are more containers within containers than are unpacked.",
    ),
    FindingKind.TOO_LARGE: _kind(
        "file.too-large", Group.PAYLOAD, 0.3, Judgement.MALWARE, "There is more inside than is looked at."
    ),
    FindingKind.TOO_MANY: _kind(
        "file.too-many", Group.PAYLOAD, 0.3, Judgement.MALWARE, "There are more files inside than are looked at."
    ),
    FindingKind.OUT_OF_TIME: _kind(
        "file.out-of-time", Group.PAYLOAD, 0.5, Judgement.MALWARE, "Looking into the files took longer than it may."
    ),
    FindingKind.DAMAGED: _kind(
        "file.damaged",
        Group.PAYLOAD,
        0.5,
        Judgement.MALWARE,
        "A file is damaged, and could not be looked at as a whole.",
    ),
    FindingKind.NOT_UNPACKED: _kind(
        "file.not-unpacked",
        Group.PAYLOAD,
        0.5,
        Judgement.MALWARE,
        "A file is a container of a kind that is not unpacked.",
    ),
}
"""What each finding of `guard.attachments` is worth."""

# ------------------------------------------------------------------ the form of the message

PARTIAL: Final = _kind(
    "mime.partial", Group.PAYLOAD, 3.0, Judgement.MALWARE,
    "The message is a piece of one that is put together when it is opened: nobody sees the whole (RFC 2046 §5.2.2).",
)  # fmt: skip
UNREAD: Final = _kind(
    "mime.unread", Group.PAYLOAD, 3.0, Judgement.MALWARE,
    "The message has more parts, levels or header than are looked at.",
)  # fmt: skip
AMBIGUOUS: Final = _kind(
    "mime.ambiguous", Group.PAYLOAD, 1.5, Judgement.MALWARE,
    "Two fields of a part say different things, so that programs read it in different ways; all of them are scanned.",
)  # fmt: skip
MALFORMED: Final = _kind(
    "mime.malformed", Group.PAYLOAD, 0.2, Judgement.SPAM,
    "A boundary is missing, or a type or transfer encoding is unknown; what programs may make of it is scanned.",
)  # fmt: skip

# ------------------------------------------------------------------ what scanners say

SCANNER_MALWARE: Final = _kind(
    "scanner.malware", Group.PAYLOAD, 10.0, Judgement.MALWARE,
    "A scanner knows something in the message by a signature, or a YARA rule meets it.", decisive=True,
)  # fmt: skip
SCANNER_SUSPECT: Final = _kind(
    "scanner.suspect", Group.PAYLOAD, 4.0, Judgement.MALWARE,
    "A scanner's heuristic speaks against something in the message, or it is merely unwanted.",
)  # fmt: skip
SCANNER_RULE: Final = _kind(
    "scanner.rule", Group.PAYLOAD, 0.0, Judgement.MALWARE,
    "A YARA rule with a weight of its own (`weight` in its metadata) meets something in the message.",
)  # fmt: skip
SCANNER_INCOMPLETE: Final = _kind(
    "scanner.incomplete", Group.PAYLOAD, 1.0, Judgement.MALWARE,
    "Something was too large to be scanned as a whole.",
)  # fmt: skip
SCANNER_SLOW: Final = _kind(
    "scanner.slow", Group.PAYLOAD, 3.0, Judgement.MALWARE,
    "A scanner that answers otherwise was not done with this message in time.",
)  # fmt: skip

# ------------------------------------------------------------------ links

LINK_KINDS: Final = {
    LinkFindingKind.SHOWN_OTHER_DOMAIN: _kind(
        "link.shown-other-domain",
        Group.LINKS,
        0.8,
        Judgement.PHISHING,
        "A link's text shows another domain than the one it leads to.",
    ),
    LinkFindingKind.SHOWN_PROTECTED_DOMAIN: _kind(
        "link.shown-protected-domain",
        Group.LINKS,
        4.0,
        Judgement.PHISHING,
        "A link's text shows a domain of ours or of a well-known name, and leads elsewhere.",
    ),
    LinkFindingKind.USERINFO: _kind(
        "link.userinfo",
        Group.LINKS,
        3.0,
        Judgement.PHISHING,
        "A link begins with another name before an @, which hides where it leads.",
    ),
    LinkFindingKind.IP_HOST: _kind(
        "link.ip-host", Group.LINKS, 1.5, Judgement.SPAM, "A link leads to a bare address instead of a name."
    ),
    LinkFindingKind.ODD_IP_HOST: _kind(
        "link.odd-ip-host", Group.LINKS, 4.0, Judgement.PHISHING, "A link leads to an address in disguise."
    ),
    LinkFindingKind.PUNYCODE: _kind(
        "link.punycode", Group.LINKS, 0.3, Judgement.SPAM, "A link's domain has letters outside ASCII."
    ),
    LinkFindingKind.MIXED_SCRIPT: _kind(
        "link.mixed-script", Group.LINKS, 3.0, Judgement.PHISHING, "A link's domain mixes letters of several scripts."
    ),
    LinkFindingKind.HIDDEN_CHARACTERS: _kind(
        "link.hidden-characters", Group.LINKS, 2.0, Judgement.PHISHING, "There are invisible characters inside a link."
    ),
    LinkFindingKind.LOOKALIKE: _kind(
        "link.lookalike",
        Group.LINKS,
        2.0,
        Judgement.PHISHING,
        "A link's domain resembles one of ours or a well-known one.",
    ),
    LinkFindingKind.SUBDOMAIN_TRICK: _kind(
        "link.subdomain-trick",
        Group.LINKS,
        3.0,
        Judgement.PHISHING,
        "A link's host begins like a domain of ours or a well-known one, but is another's.",
    ),
    LinkFindingKind.LISTED: _kind(
        "link.listed", Group.LINKS, 6.0, Judgement.PHISHING, "A link leads to an address on a list of bad ones."
    ),
    LinkFindingKind.REDIRECTOR: _kind(
        "link.redirector", Group.LINKS, 0.2, Judgement.SPAM, "A link leads through a redirector."
    ),
    LinkFindingKind.DATA_URI: _kind(
        "link.data-uri", Group.LINKS, 2.5, Judgement.PHISHING, "A link carries its page in itself."
    ),
    LinkFindingKind.JAVASCRIPT_URI: _kind(
        "link.script-uri", Group.LINKS, 2.5, Judgement.PHISHING, "A link runs a script."
    ),
    LinkFindingKind.RISKY_SCHEME: _kind(
        "link.risky-scheme", Group.LINKS, 3.0, Judgement.PHISHING, "A link opens a program or a file share."
    ),
    LinkFindingKind.EXECUTABLE_TARGET: _kind(
        "link.executable-target",
        Group.LINKS,
        2.0,
        Judgement.MALWARE,
        "A link leads to a file that is run when it is opened.",
    ),
    LinkFindingKind.ARCHIVE_TARGET: _kind(
        "link.archive-target", Group.LINKS, 0.3, Judgement.MALWARE, "A link leads to an archive."
    ),
    LinkFindingKind.ODD_PORT: _kind(
        "link.odd-port", Group.LINKS, 0.5, Judgement.SPAM, "A link leads to an unusual port."
    ),
    LinkFindingKind.DEFANGED: _kind(
        "link.defanged", Group.LINKS, 0.3, Judgement.PHISHING, "A link is written so that no program sees one."
    ),
    LinkFindingKind.FREE_HOSTING: _kind(
        "link.free-hosting",
        Group.LINKS,
        0.3,
        Judgement.PHISHING,
        "A link leads to a service where anybody can put a page.",
    ),
    LinkFindingKind.SHORTENER: _kind(
        "link.shortener", Group.LINKS, 0.4, Judgement.SPAM, "A link leads to a service that hides where it leads."
    ),
    LinkFindingKind.QR_LINK: _kind(
        "link.qr", Group.LINKS, 0.5, Judgement.PHISHING, "A picture holds a link as a QR code."
    ),
    LinkFindingKind.TOO_MANY: _kind(
        "link.too-many",
        Group.LINKS,
        0.3,
        Judgement.SPAM,
        "There are more links, or there is more text, than is looked at.",
    ),
}
"""What each finding of `guard.links` is worth."""

# ------------------------------------------------------------------ the organisation's rules

POLICY_RULE: Final = _kind(
    "policy.rule", Group.POLICY, 0.0, Judgement.POLICY, "A rule of the organisation was true of it, and acted."
)
POLICY_SHADOW: Final = _kind(
    "policy.shadow", Group.POLICY, 0.0, Judgement.POLICY, "A rule that is tried out would have acted as it says."
)

# ------------------------------------------------------------------ how much is sent

SENDING_LIMIT: Final = _kind(
    "sending.limit", Group.POLICY, 0.0, Judgement.SUSPICIOUS,
    "Its sender sends more than is usual within an hour or a day: a limit of `[guard.sending]` that only marks.",
)  # fmt: skip
SENDING_LIMIT_QUARANTINE: Final = _kind(
    "sending.limit-quarantine", Group.POLICY, 0.0, Judgement.SUSPICIOUS,
    "As `sending.limit`, of a limit beyond which mail is kept apart, unless a rule accepts it.",
)  # fmt: skip
SENDING_LIMIT_DEFER: Final = _kind(
    "sending.limit-defer", Group.POLICY, 0.0, Judgement.SUSPICIOUS,
    "As `sending.limit`, of a limit beyond which mail has to wait, unless a rule accepts it.",
)  # fmt: skip

# ------------------------------------------------------------------ how it reads

CONTENT_SPAM: Final = _kind(
    "content.spam", Group.CONTENT, 4.5, Judgement.SPAM,
    "It reads like what people called spam; the more so, the more it weighs. The evidence names what decided.",
)  # fmt: skip
CONTENT_HAM: Final = _kind(
    "content.ham", Group.CONTENT, -2.0, Judgement.CLEAN,
    "It reads like what people wanted to have: this speaks for it, a little.",
)  # fmt: skip
CONTENT_UNSURE: Final = _kind(
    "content.unsure", Group.CONTENT, 0.0, Judgement.CLEAN,
    "It reads as much like what people wanted as like what they did not.",
)  # fmt: skip
CONTENT_SILENT: Final = _kind(
    "content.silent", Group.CONTENT, 0.0, Judgement.CLEAN,
    "The classifier has nothing to say: too little was learned, or too little of the message is known.",
)  # fmt: skip

# ------------------------------------------------------------------ what people wish

PERSON_ALLOWS: Final = _kind(
    "person.allows", Group.POLICY, 0.0, Judgement.CLEAN,
    "The recipient will hear from this sender, and something vouches for it: not kept from them.",
)  # fmt: skip
PERSON_DENIES: Final = _kind(
    "person.denies", Group.POLICY, 0.0, Judgement.SPAM,
    "The recipient does not want to hear from this sender: filed under Junk for them.",
)  # fmt: skip

# ------------------------------------------------------------------ faults

STEP_FAILED: Final = _kind(
    "fault.failed",
    Group.FAULT,
    0.0,
    Judgement.SUSPICIOUS,
    "A step could not do its work: what it looks for is unknown.",
)
STEP_LATE: Final = _kind(
    "fault.late", Group.FAULT, 0.0, Judgement.SUSPICIOUS,
    "A step was not done within its time: what it looks for is unknown.",
)  # fmt: skip
SCANNER_AWAY: Final = _kind(
    "fault.scanner", Group.FAULT, 0.0, Judgement.SUSPICIOUS,
    "A scanner did not answer, or could not look: it has not seen this message.",
)  # fmt: skip
SCANNER_AWAY_DEFER: Final = _kind(
    "fault.scanner-defer", Group.FAULT, 0.0, Judgement.SUSPICIOUS,
    "As `fault.scanner`, of one without which mail has to wait (`unavailable = \"defer\"`).",
)  # fmt: skip
SCANNER_AWAY_QUARANTINE: Final = _kind(
    "fault.scanner-quarantine", Group.FAULT, 0.0, Judgement.SUSPICIOUS,
    "As `fault.scanner`, of one without which mail is kept apart (`unavailable = \"quarantine\"`).",
)  # fmt: skip
NO_DNS: Final = _kind(
    "fault.dns", Group.FAULT, 0.0, Judgement.SUSPICIOUS, "The DNS gave no answer: who sends is not known for certain."
)
