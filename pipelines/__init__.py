"""What an onboarding is: rules, steps and the provider's client; no Redis, no queue, no environment, no logs."""
