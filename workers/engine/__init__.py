"""One step: message, claim, step, commit, message.

- `actors`: one Dramatiq actor for each step
- `broker`: the queues, and the wake-up of a waiting consumer
- `decoding`: messages of any producer, read without trust
- `inventory`: what lies in the broker's database, and what does not move
- `leases`: claims in hand, renewed together
- `porter`: what nobody would take goes to where it is taken
- `pulse`: what is due goes to the queues
- `runner`: claim, call, commit, send
"""
