"""What a scraper or an orchestrator asks.

- `metrics`: `GET /metrics`
- `probes`: `GET /healthz` and `GET /readyz`
"""
