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

#: Situation -> heading, and paragraphs.
SITUATIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "identify": {
        "en": (
            "Confirm your identity",
            "Before your account can be opened, you need to show who you are. It takes about five minutes.",
            "Have your identity card or passport at hand, and use a device with a camera.",
        ),
        "de": (
            "Bestätigen Sie Ihre Identität",
            "Bevor Ihr Konto eröffnet werden kann, weisen Sie sich bitte aus. Das dauert etwa fünf Minuten.",
            "Halten Sie Personalausweis oder Reisepass bereit, und nehmen Sie ein Gerät mit Kamera.",
        ),
    },
    "step_up": {
        "en": (
            "Something more is needed",
            "You can use your account again as soon as we have what is missing.",
        ),
        "de": (
            "Es fehlt noch etwas",
            "Sobald Sie nachgereicht haben, was fehlt, können Sie Ihr Konto wieder nutzen.",
        ),
    },
    "preparing": {
        "en": ("One moment", "Your personal link is being prepared. This page looks again by itself."),
        "de": ("Einen Moment", "Ihr persönlicher Link wird vorbereitet. Diese Seite sieht von selbst wieder nach."),
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
            "Thank you, nothing more is needed from you now. A check takes from some minutes to a few working days.",
            "You can open this link at any time to see the status.",
        ),
        "de": (
            "Ihre Angaben werden geprüft",
            "Vielen Dank, mehr ist jetzt nicht nötig. Eine Prüfung dauert einige Minuten bis wenige Werktage.",
            "Dieser Link bleibt gültig: Öffnen Sie ihn jederzeit, um den Stand zu sehen.",
        ),
    },
    "expired": {
        "en": (
            "Start again",
            "Your last attempt was not finished in time and has expired. That is no problem: begin a new one.",
        ),
        "de": (
            "Noch einmal beginnen",
            "Ihr letzter Versuch ist abgelaufen. Das macht nichts: Beginnen Sie einfach einen neuen.",
        ),
    },
    "expired_for_good": {
        "en": (
            "This attempt has expired",
            "We cannot start another attempt here. Please contact {company}.",
        ),
        "de": (
            "Dieser Versuch ist abgelaufen",
            "Hier können Sie gerade keinen weiteren beginnen. Bitte wenden Sie sich an {company}.",
        ),
    },
    "declined": {
        "en": (
            "Your identity could not be confirmed",
            "That happens, for example with a blurred photo. You can try again.",
        ),
        "de": (
            "Ihre Identität konnte nicht bestätigt werden",
            "Das kommt vor, zum Beispiel bei einem unscharfen Foto. Sie können es noch einmal versuchen.",
        ),
    },
    "declined_final": {
        "en": (
            "Your identity could not be confirmed",
            "You cannot try again here. To go on, please get in touch with {company}.",
        ),
        "de": (
            "Ihre Identität konnte nicht bestätigt werden",
            "Hier können Sie es nicht noch einmal versuchen. Wie es weitergeht, erfahren Sie von {company}.",
        ),
    },
    "signings": {
        "en": (
            "Your identity is confirmed",
            "Now only your consent to the documents is missing. You will be asked for it by {company}.",
        ),
        "de": (
            "Ihre Identität ist bestätigt",
            "Jetzt fehlt nur noch Ihre Zustimmung zu den Dokumenten. Darum bittet Sie {company}.",
        ),
    },
    "finishing": {
        "en": ("Almost done", "Your identity is confirmed, and the last steps run by themselves."),
        "de": ("Fast geschafft", "Ihre Identität ist bestätigt, und die letzten Schritte laufen von selbst."),
    },
    "active": {
        "en": ("All done", "Your identity is confirmed and your account is open. There is nothing left to do here."),
        "de": ("Alles erledigt", "Ihre Identität ist bestätigt und Ihr Konto ist offen. Hier ist nichts mehr zu tun."),
    },
    "suspended": {
        "en": (
            "Your account is on hold",
            "You cannot use it now. {company} can explain why.",
        ),
        "de": (
            "Ihr Konto ist angehalten",
            "Es kann gerade nicht genutzt werden. Hier ist nichts zu tun; mehr erfahren Sie von {company}.",
        ),
    },
    "closed": {
        "en": ("This case is closed", "There is nothing left to do here. If you have questions, please ask {company}."),
        "de": ("Dieser Vorgang ist abgeschlossen", "Hier ist nichts mehr zu tun. Fragen beantwortet {company}."),
    },
    "revoked": {
        "en": ("This link is no longer valid", "It was replaced or withdrawn. Please ask {company} for a new one."),
        "de": ("Dieser Link gilt nicht mehr", "Er wurde ersetzt oder zurückgezogen. Einen neuen gibt Ihnen {company}."),
    },
    "unknown": {
        "en": (
            "This link does not work",
            "Perhaps a part of it got lost when it was copied. Please open the message that brought it once more.",
            "If that does not help, please ask {company} for a new one.",
        ),
        "de": (
            "Dieser Link funktioniert nicht",
            "Vielleicht ging ein Teil davon verloren. Bitte öffnen Sie die Nachricht noch einmal, mit der er kam.",
            "Hilft das nicht, dann gibt Ihnen {company} einen neuen.",
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
    "renew": {"en": "Start again", "de": "Noch einmal beginnen"},
    "where": {
        "en": "You continue at {host}, which does this for {company}.",
        "de": "Es geht weiter bei {host}; dort wird das für {company} erledigt.",
    },
    "reasons": {"en": "It is about:", "de": "Es geht um:"},
    "documents": {"en": "Documents:", "de": "Dokumente:"},
    "slow": {
        "en": "This takes longer than usual. You may close this page and open your link again later.",
        "de": "Das dauert länger als sonst. Sie können diese Seite schließen und Ihren Link später wieder öffnen.",
    },
    "again": {"en": "Look again", "de": "Noch einmal nachsehen"},
    "languages": {"en": "Language", "de": "Sprache"},
    "promise": {
        "en": "Nobody will ask you here for a password, a PIN or a payment.",
        "de": "Hier fragt Sie niemand nach einem Passwort, einer PIN oder einer Zahlung.",
    },
}

#: What Iron's codes of requirements mean, for the customer. Source: iron-api 3.10.
REASONS: Mapping[str, Texts] = {
    "kyc_selfie": {"en": "a photo of your face", "de": "ein Foto Ihres Gesichts"},
    "kyc_identity": {"en": "your identity document", "de": "Ihr Ausweisdokument"},
    "kyc_proof_of_residence": {"en": "a proof of where you live", "de": "ein Nachweis Ihrer Anschrift"},
    "kyc_questionnaire": {"en": "the questionnaire", "de": "der Fragebogen"},
    "kyb_company_data": {"en": "details of your company", "de": "Angaben zu Ihrem Unternehmen"},
    "kyb_company_beneficiaries": {"en": "who owns your company", "de": "die Eigentümer Ihres Unternehmens"},
    "kyb_company_documents": {"en": "documents of your company", "de": "Unterlagen Ihres Unternehmens"},
    "kyb_questionnaire": {"en": "the questionnaire for companies", "de": "der Fragebogen für Unternehmen"},
    "identification_kyc": {"en": "your identification", "de": "Ihre Identifizierung"},
    "identification_kyb": {"en": "your company's identification", "de": "die Identifizierung Ihres Unternehmens"},
    "kyc_data_missing": {"en": "details that are missing", "de": "fehlende Angaben"},
    "kyc_data_invalid": {"en": "details that do not fit", "de": "unstimmige Angaben"},
    "kyb_data_missing": {"en": "missing details of your company", "de": "fehlende Angaben zum Unternehmen"},
    "kyb_data_invalid": {"en": "details of your company that do not fit", "de": "unstimmige Angaben zum Unternehmen"},
}  # fmt: skip

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
