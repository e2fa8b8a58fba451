"""How an onboarding runs: Dramatiq, Redis and pace.

Uses `pipelines`; never imports `ops`.
"""
