"""One step: message, claim, step, commit, message.

- `actors`: one Dramatiq actor for each step
- `broker`: the queues, and the wake-up of a waiting consumer
- `leases`: claims in hand, renewed together
- `pulse`: what is due goes to the queues
- `runner`: claim, call, commit, send
"""
