"""What lives with a worker process.

- `background`: a thread that goes round
- `counters`: what workers count
- `lifespan`: threads and connections that start and end with it
- `no_dumps`: no core dump of what is in memory
"""
