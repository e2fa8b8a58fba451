"""What Iron's codes and labels mean: a phrase for those who work here, and what a customer may be told.

Customers are told in English or German. A label that hints at a suspicion (forgery, a sanctions list) says nothing to
the customer: telling them may be an offence. A code or label that is new to us stands for itself. Sources: iron-api
3.10 for codes; the labels are those of the identification provider's public documentation, since Iron lists none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code or a label means. `en`, `de`: for the customer; empty where nothing may be said."""

    staff: str
    en: str = ""
    de: str = ""

    def for_customer(self, language: str) -> str:
        """Return the text for the customer, or "" where there is none."""
        return self.de if language == "de" else self.en


#: What is missing or wrong, by Iron's codes of requirements.
CODES: Mapping[str, Meaning] = {
    "kyc_selfie": Meaning("a selfie", "a photo of your face", "ein Foto Ihres Gesichts"),
    "kyc_identity": Meaning("an identity document", "your identity document", "Ihr Ausweisdokument"),
    "kyc_proof_of_residence": Meaning(
        "a proof of residence",
        "proof of your address (for example a utility bill)",
        "ein Nachweis Ihrer Adresse (zum Beispiel eine Stromrechnung)",
    ),
    "kyc_questionnaire": Meaning("the questionnaire", "the questionnaire", "der Fragebogen"),
    "kyb_company_data": Meaning("the company's data", "details of your company", "Angaben zu Ihrem Unternehmen"),
    "kyb_company_beneficiaries": Meaning(
        "the company's beneficiaries", "who owns your company", "die Eigentümer Ihres Unternehmens"
    ),
    "kyb_company_documents": Meaning(
        "the company's documents", "documents of your company", "Unterlagen Ihres Unternehmens"
    ),
    "kyb_questionnaire": Meaning(
        "the company's questionnaire", "the questionnaire for companies", "der Fragebogen für Unternehmen"
    ),
    "identification_kyc": Meaning("the identification of the person", "your identification", "Ihre Identifizierung"),
    "identification_kyb": Meaning(
        "the identification of the company", "your company's identification", "die Identifizierung Ihres Unternehmens"
    ),
    "kyc_data_missing": Meaning("missing personal details", "some of your details", "einige Ihrer Angaben"),
    "kyc_data_invalid": Meaning(
        "invalid personal details", "details that do not match", "Angaben, die nicht zusammenpassen"
    ),
    "kyb_data_missing": Meaning(
        "missing company details", "some details of your company", "einige Angaben zu Ihrem Unternehmen"
    ),
    "kyb_data_invalid": Meaning(
        "invalid company details",
        "details of your company that do not match",
        "Angaben zu Ihrem Unternehmen, die nicht zusammenpassen",
    ),
    "country_not_supported": Meaning("a country that Iron does not serve"),
}

#: Why something was rejected, by the identification provider's labels.
LABELS: Mapping[str, Meaning] = {
    "UNSATISFACTORY_PHOTOS": Meaning(
        "photos of poor quality", "the photos were not clear enough", "die Fotos waren nicht deutlich genug"
    ),
    "LOW_QUALITY": Meaning(
        "a document of poor quality", "the picture was not sharp enough", "das Bild war nicht scharf genug"
    ),
    "SCREENSHOTS": Meaning(
        "a screenshot in place of a photo",
        "a screenshot was sent: please take a photo of the document itself",
        "es kam ein Bildschirmfoto: bitte fotografieren Sie das Dokument selbst",
    ),
    "BLACK_AND_WHITE": Meaning("a black and white copy", "a colour photo is needed", "ein Farbfoto wird benötigt"),
    "INCOMPLETE_DOCUMENT": Meaning(
        "a part of the document is missing", "a part of the document was cut off", "ein Teil des Dokuments fehlte"
    ),
    "DOCUMENT_PAGE_MISSING": Meaning(
        "a page is missing", "a page of the document is missing", "eine Seite des Dokuments fehlt"
    ),
    "FRONT_SIDE_MISSING": Meaning(
        "the front is missing", "the front of the document is missing", "die Vorderseite des Dokuments fehlt"
    ),
    "BACK_SIDE_MISSING": Meaning(
        "the back is missing", "the back of the document is missing", "die Rückseite des Dokuments fehlt"
    ),
    "DOCUMENT_DAMAGED": Meaning(
        "a damaged document", "the document is damaged: please use another one", "das Dokument ist beschädigt"
    ),
    "EXPIRATION_DATE": Meaning("an expired document", "the document has expired", "das Dokument ist abgelaufen"),
    "ID_INVALID": Meaning(
        "a document that is not valid", "the document is not valid: please use another one", "das Dokument ist ungültig"
    ),
    "NOT_DOCUMENT": Meaning(
        "no identity document", "this was not an identity document", "das war kein Ausweisdokument"
    ),
    "UNSUPPORTED_LANGUAGE": Meaning(
        "a document in a language that is not supported",
        "the document's language is not supported: please use another document",
        "die Sprache des Dokuments wird nicht unterstützt",
    ),
    "BAD_SELFIE": Meaning("a bad selfie", "the photo of your face was not clear", "das Foto Ihres Gesichts war unklar"),
    "BAD_AVATAR": Meaning("a picture without a face", "your face was not visible", "Ihr Gesicht war nicht zu sehen"),
    "BAD_PROOF_OF_ADDRESS": Meaning(
        "a proof of address that does not do",
        "the proof of your address was not accepted: it must be recent and show your name",
        "der Adressnachweis wurde nicht anerkannt: er muss aktuell sein und Ihren Namen zeigen",
    ),
    "BAD_PROOF_OF_IDENTITY": Meaning(
        "an identity document that does not do",
        "the identity document was not accepted",
        "das Ausweisdokument wurde nicht anerkannt",
    ),
    "WRONG_ADDRESS": Meaning(
        "an address that does not match",
        "the address does not match the one you gave",
        "die Adresse stimmt nicht mit Ihrer Angabe überein",
    ),
    "REQUESTED_DATA_MISMATCH": Meaning(
        "data that do not match the document",
        "your details do not match the document",
        "Ihre Angaben stimmen nicht mit dem Dokument überein",
    ),
    "PROBLEMATIC_APPLICANT_DATA": Meaning(
        "data that do not match the document",
        "your details do not match the document",
        "Ihre Angaben stimmen nicht mit dem Dokument überein",
    ),
    "ADDITIONAL_DOCUMENT_REQUIRED": Meaning(
        "another document is needed", "one more document is needed", "ein weiteres Dokument wird benötigt"
    ),
    "AGE_REQUIREMENT_MISMATCH": Meaning("the person is too young"),
    "WRONG_USER_REGION": Meaning("a country that is not served"),
    "SELFIE_MISMATCH": Meaning("the face does not match the document"),
    "BAD_FACE_MATCHING": Meaning("the face does not match the document"),
    "INCONSISTENT_PROFILE": Meaning("documents of different people"),
    "DUPLICATE": Meaning("somebody who is known already"),
    "SPAM": Meaning("too many or senseless uploads"),
    "REGULATIONS_VIOLATIONS": Meaning("a rule of the provider was broken"),
    "DOCUMENT_TEMPLATE": Meaning("a template in place of a document"),
    "GRAPHIC_EDITOR": Meaning("signs of an edited picture"),
    "FORGERY": Meaning("signs of a forgery"),
    "FRAUDULENT_PATTERNS": Meaning("signs of fraud"),
    "FRAUDULENT_LIVENESS": Meaning("signs of fraud in the video"),
    "COMPROMISED_PERSONS": Meaning("a person of whom Iron wants to know more"),
    "BLACKLIST": Meaning("a list of refused people"),
    "PEP": Meaning("a politically exposed person"),
    "SANCTIONS": Meaning("a sanctions list"),
    "ADVERSE_MEDIA": Meaning("reports in the media"),
    "CRIMINAL": Meaning("criminal records"),
}

_NONE = Meaning("")


def explained(name: str) -> str:
    """Return for people here what a code or a label means; one that is new to us stands for itself."""
    return meaning(name).staff or name


def meaning(name: str) -> Meaning:
    """Return what a code or a label means; an empty meaning for one that is new to us."""
    return CODES.get(name) or LABELS.get(name) or _NONE


def for_customer(names: Iterable[str], language: str) -> list[str]:
    """Return what of these codes and labels a customer may be told, each text once."""
    texts = (meaning(name).for_customer(language) for name in names)
    return list(dict.fromkeys(text for text in texts if text))


def explanations(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return codes and labels with what they mean: `code`, `text`, and `customer` by language, or null."""
    return [
        {
            "code": name,
            "text": explained(name),
            "customer": {"en": found.en, "de": found.de} if (found := meaning(name)).en else None,
        }
        for name in names
    ]
