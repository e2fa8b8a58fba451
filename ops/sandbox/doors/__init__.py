"""Doors beside the API.

- `control`: the control interface under `/_sandbox/`
- `hosted_page`: the page behind a hosted link
- `spec`: the OpenAPI document
"""
