"""What lives with a worker process.

- `background`: a thread that goes round
- `counters`: what workers count
- `lifespan`: threads and connections that start and end with it
- `moving`: a thread that moves due times to a new policy
- `no_dumps`: no core dump of what is in memory
"""
