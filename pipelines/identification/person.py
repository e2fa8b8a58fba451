"""Identification of a person: by a hosted link, by a share token, or with data collected by the partner.

Source: iron-api.md sections 5.1 to 5.3 and 5.5.
"""

from __future__ import annotations

from typing import Literal

from pipelines.identification.fields import Shape


class Link(Shape):
    """Iron's hosted page collects everything; the customer gets a link. For persons and businesses."""

    type: Literal["Link"] = "Link"
    with_edd: bool = False
