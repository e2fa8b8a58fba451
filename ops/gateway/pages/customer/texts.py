"""Every text of the customer's page, in each language. A language is one more column; a test finds what is missing.

`{company}` is the company whose customer reads this, `{host}` where the hosted page is. Sentences are short, say who
does what, and never blame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Languages by their code, each with its own name for itself. The first is the one for everybody else.
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}

Texts = Mapping[str, str]

#: What stands in the place of a company that has not told us its name.
NOBODY: Texts = {
    "en": "the company that sent you this link",
    "de": "das Unternehmen, das Ihnen diesen Link geschickt hat",
}

#: Situation -> heading, and paragraphs. No sentence begins with {company}: the name may be the words of NOBODY.
SITUATIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "identify": {
        "en": (
            "Confirm your identity",
            "To open your account we need to confirm who you are. It takes about 5 minutes.",
            "You need an identity card or passport and a device with a camera.",
        ),
        "de": (
            "Bestätigen Sie Ihre Identität",
            "Für Ihr Konto müssen wir wissen, wer Sie sind. Das dauert etwa 5 Minuten.",
            "Sie brauchen einen Personalausweis oder Reisepass und ein Gerät mit Kamera.",
        ),
    },
    "step_up": {
        "en": (
            "We need something more",
            "You can use your account again as soon as we have what is missing.",
        ),
        "de": (
            "Es fehlt noch etwas",
            "Sie können Ihr Konto wieder nutzen, sobald wir haben, was fehlt.",
        ),
    },
    "preparing": {
        "en": ("Just a moment", "We are preparing your personal link."),
        "de": ("Einen Moment", "Wir bereiten Ihren persönlichen Link vor."),
    },
    "delayed": {
        "en": (
            "This takes a little longer",
            "You have nothing to do now. We are taking care of it.",
            "Come back to this link later, or ask {company}.",
        ),
        "de": (
            "Es dauert etwas länger",
            "Sie müssen jetzt nichts tun. Wir kümmern uns darum.",
            "Öffnen Sie diesen Link später noch einmal, oder fragen Sie {company}.",
        ),
    },
    "review": {
        "en": (
            "Your details are being checked",
            "Thank you. You have nothing to do now.",
            "It usually takes a few minutes, sometimes a few working days.",
            "You can open this link at any time to see the status.",
        ),
        "de": (
            "Ihre Angaben werden geprüft",
            "Vielen Dank. Sie müssen jetzt nichts tun.",
            "Meist dauert es einige Minuten, manchmal einige Werktage.",
            "Mit diesem Link können Sie den Stand jederzeit ansehen.",
        ),
    },
    "expired": {
        "en": (
            "Start again",
            "Your last attempt was not finished in time. That happens. You can start again now.",
        ),
        "de": (
            "Neu beginnen",
            "Ihr letzter Versuch wurde nicht rechtzeitig fertig. Das kommt vor. Sie können jetzt neu beginnen.",
        ),
    },
    "expired_for_good": {
        "en": (
            "Please contact us",
            "Your last attempt has expired. We cannot start another one here.",
            "Please contact {company}.",
        ),
        "de": (
            "Bitte melden Sie sich bei uns",
            "Ihr letzter Versuch ist abgelaufen. Hier können wir keinen neuen beginnen.",
            "Bitte wenden Sie sich an {company}.",
        ),
    },
    "declined": {
        "en": (
            "Your identity could not be confirmed",
            "This often has a simple reason, such as a blurred photo. You can try again.",
        ),
        "de": (
            "Ihre Identität konnte nicht bestätigt werden",
            "Das hat oft einen einfachen Grund, etwa ein unscharfes Foto. Sie können es noch einmal versuchen.",
        ),
    },
    "declined_final": {
        "en": (
            "Your identity could not be confirmed",
            "You cannot try again here. To go on, please contact {company}.",
        ),
        "de": (
            "Ihre Identität konnte nicht bestätigt werden",
            "Hier können Sie es nicht noch einmal versuchen. Wie es weitergeht, sagt Ihnen {company}.",
        ),
    },
    "signings": {
        "en": (
            "Your identity is confirmed",
            "One last step: {company} will ask you to agree to these documents.",
        ),
        "de": (
            "Ihre Identität ist bestätigt",
            "Es fehlt nur noch Ihre Zustimmung zu diesen Dokumenten. Darum bittet Sie {company}.",
        ),
    },
    "finishing": {
        "en": ("Almost done", "Your identity is confirmed. We are finishing the last steps."),
        "de": ("Fast geschafft", "Ihre Identität ist bestätigt. Wir erledigen die letzten Schritte."),
    },
    "active": {
        "en": ("All done", "Your identity is confirmed and your account is open. You have nothing left to do here."),
        "de": ("Alles erledigt", "Ihre Identität ist bestätigt und Ihr Konto ist offen. Hier ist nichts mehr zu tun."),
    },
    "suspended": {
        "en": (
            "Your account is paused",
            "You cannot use it now. To learn why, please ask {company}.",
        ),
        "de": (
            "Ihr Konto ist vorübergehend gesperrt",
            "Sie können es zurzeit nicht nutzen. Den Grund nennt Ihnen {company}.",
        ),
    },
    "closed": {
        "en": ("This process has ended", "You have nothing left to do here. Questions? Please ask {company}."),
        "de": ("Dieser Vorgang ist beendet", "Hier ist nichts mehr zu tun. Fragen beantwortet {company}."),
    },
    "revoked": {
        "en": (
            "This link is no longer valid",
            "Please use the newest link that you have, or ask {company} for a new one.",
        ),
        "de": (
            "Dieser Link gilt nicht mehr",
            "Bitte nehmen Sie den neuesten Link, den Sie haben. Einen neuen gibt Ihnen {company}.",
        ),
    },
    "unknown": {
        "en": (
            "This link does not work",
            "Part of the link may have been cut off. Please open it again from the original message.",
            "If that does not help, please ask {company} for a new one.",
        ),
        "de": (
            "Dieser Link funktioniert nicht",
            "Vielleicht fehlt ein Teil davon. Bitte öffnen Sie ihn noch einmal aus der ursprünglichen Nachricht.",
            "Hilft das nicht? Einen neuen Link gibt Ihnen {company}.",
        ),
    },
    "away": {
        "en": ("Please try again in a minute", "We cannot look up your status now. Nothing is lost."),
        "de": ("Bitte gleich noch einmal versuchen", "Wir können gerade nicht nachsehen. Nichts ist verloren."),
    },
}  # fmt: skip

#: What else a page may say.
PHRASES: Mapping[str, Texts] = {
    "open": {"en": "Continue", "de": "Weiter"},
    "renew": {"en": "Start again", "de": "Neu beginnen"},
    "try_again": {"en": "Try again", "de": "Noch einmal versuchen"},
    "where": {
        "en": "You continue on {host}, our partner for identification.",
        "de": "Weiter geht es bei {host}, unserem Partner für die Identifizierung.",
    },
    "reasons": {"en": "What is missing or does not match:", "de": "Was fehlt oder nicht stimmt:"},
    "documents": {"en": "Documents:", "de": "Dokumente:"},
    "by_itself": {"en": "This page updates by itself.", "de": "Diese Seite aktualisiert sich von selbst."},
    "slow": {
        "en": "This takes longer than usual. You can close this page and open your link again later.",
        "de": "Das dauert länger als sonst. Sie können diese Seite schließen und Ihren Link später wieder öffnen.",
    },
    "again": {"en": "Check again", "de": "Noch einmal nachsehen"},
    "languages": {"en": "Language", "de": "Sprache"},
    "promise": {
        "en": "We never ask for a password, PIN or payment here.",
        "de": "Wir fragen hier nie nach Passwort, PIN oder Zahlung.",
    },
}

_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
#: As much of the header as is looked at, in characters: far more than any browser sends.
_LONGEST = 500


def language(asked: str | None, accepted: str) -> str:
    """Choose the language: the one asked for, else the best of an Accept-Language header. Source: RFC 9110, 12.5.4."""
    if asked is not None and asked in LANGUAGES:
        return asked
    default = next(iter(LANGUAGES))
    best, best_quality = default, 0.0
    for part in accepted[:_LONGEST].split(","):
        found = _RANGE.fullmatch(part)
        name, quality = (found[1].lower(), float(found[2] or 1)) if found else ("", 0.0)
        if name in LANGUAGES and quality > best_quality:
            best, best_quality = name, quality
    return best
