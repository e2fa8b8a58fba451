"""The client of Iron's API. What the rest of the program uses of it stands here.

- `answers`: an answer as it came, and what it means
- `client`: one method an endpoint
- `proxy`: a way through a proxy
- `signature`: HMAC over a webhook's raw bytes
- `transport`: one kept-alive connection a thread
- `values`: customers, identifications, documents
"""

from pipelines.iron.answers import Answer, answered_by, retry_after_s
from pipelines.iron.client import CALL, IDENTIFICATION, Iron
from pipelines.iron.values import BEFORE_ALL, Customer, Document, Identification, Requirement, Requirements

__all__ = [
    "BEFORE_ALL",
    "CALL",
    "IDENTIFICATION",
    "Answer",
    "Customer",
    "Document",
    "Identification",
    "Iron",
    "Requirement",
    "Requirements",
    "answered_by",
    "retry_after_s",
]
