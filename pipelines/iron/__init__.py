"""The client of Iron's API. What the rest of the program uses of it stands here.

- `answers`: an answer as it came, and what it means
- `client`: one method an endpoint
- `looking`: what people ask Iron for
- `proxy`: a way through a proxy
- `transport`: one kept-alive connection a thread
- `values`: customers, identifications, documents
"""

from pipelines.iron.answers import Answer, answered_by
from pipelines.iron.client import CALL, IDENTIFICATION, Iron
from pipelines.iron.values import (
    BEFORE_ALL,
    NO_FILTERS,
    Customer,
    Document,
    Filters,
    Identification,
    Requirement,
    Requirements,
)

__all__ = [
    "BEFORE_ALL",
    "CALL",
    "IDENTIFICATION",
    "NO_FILTERS",
    "Answer",
    "Customer",
    "Document",
    "Filters",
    "Identification",
    "Iron",
    "Requirement",
    "Requirements",
    "answered_by",
]
