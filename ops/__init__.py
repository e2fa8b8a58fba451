"""How people reach and run the pipeline.

- `cli`: the command line
- `durations`: durations as people write them
- `gateway`: the HTTP gateway
- `listening`: the socket of a server of ours
- `local`: everything on one machine
- `sandbox`: the simulated provider
"""
