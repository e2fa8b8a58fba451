"""The customer's consent to documents, as it is submitted: one shape for every door. Pure.

Who gave it and where the proof is are personal: they are only ever stored sealed.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from pipelines.identification.fields import Key, Name, Shape, Text, TimeWithOffset


class Consent(Shape):
    """The customer's consent to documents. Who gave it and where the proof is are stored encrypted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "documents": ["6f1f6c0e-3f5a-4c39-9d3d-0f4b8ad3a9a1"],
                    "signed_by": "Ada Example",
                    "signed_at": "2026-11-22T10:00:00Z",
                    "evidence": "consent-4711",
                }
            ]
        }
    )

    documents: Annotated[list[Key], Field(min_length=1, max_length=100, description="Ids of `signings`.")]
    signed_by: Annotated[Name, Field(description="Who agreed.")]
    signed_at: Annotated[TimeWithOffset | None, Field(description="When, with its offset (default: now).")] = None
    evidence: Annotated[Text | None, Field(description="Where the proof of consent is kept.")] = None
