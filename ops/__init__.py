"""How people reach and run the pipeline.

- `cli`: the command line
- `gateway`: the HTTP gateway
- `listening`: the socket of a server of ours
- `local`: everything on one machine
- `sandbox`: the simulated provider
"""
