"""Everything on one machine, for `demo`, `dev` and the tests.

- `demo`: the sample from file to final phases
- `embedded`: a Redis server of our own
- `processes`: child processes, watched and stopped
- `story`: what is to become of the sample
- `system`: Redis, sandbox, workers and gateway together
"""
