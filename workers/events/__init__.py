"""News goes out: the event stream, delivered to endpoints.

- `courier`: which process delivers to which endpoint
- `dispatcher`: one endpoint's deliveries, in order
- `endpoints`: endpoints as they are stored
- `sender`: one delivery over HTTP
- `stream`: the stream as it is read
"""
