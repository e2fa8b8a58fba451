"""Where a sandbox lives: a server, a test, a file.

- `delivery`: webhooks go out
- `server`: an HTTP server
- `state`: a file that outlives it
- `transport`: an httpx transport in the same process
"""
