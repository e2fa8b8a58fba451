"""Very many customers who wait: one is brought there by the real pipeline, and copied in Redis by the thousand."""

from __future__ import annotations

from typing import Any

import redis

from tests.world import World
from workers.ledger import PREFIX

#: Copies one customer: its record, input, history and places in every index, under numbers of its own. Due in a year.
_COPY = """
local prefix, key, customer, first, last, due = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local record = redis.call('GET', prefix .. 'record:' .. key)
local input = redis.call('HGETALL', prefix .. 'input:' .. key)
local history = redis.call('LRANGE', prefix .. 'history:' .. key, 0, -1)
local phase, since = string.match(record, '^%S+ %S+ %S+ %S+ (%S+) %S+ %S+ (%S+)')
local function other(text, number)
  text = string.gsub(text, string.sub(customer, -12), string.format('%012d', number))
  return (string.gsub(text, string.sub(key, -7), string.format('%07d', number)))
end
for number = first, last do
  local copy = other(key, number)
  redis.call('SET', prefix .. 'record:' .. copy, other(record, number))
  if #input > 0 then redis.call('HSET', prefix .. 'input:' .. copy, unpack(input)) end
  redis.call('RPUSH', prefix .. 'history:' .. copy, unpack(history))
  redis.call('ZADD', prefix .. 'due:interactive', due, copy)
  redis.call('ZADD', prefix .. 'phase:' .. phase, since, copy)
  redis.call('HSET', prefix .. 'external', copy, copy)
  redis.call('HSET', prefix .. 'customer', other(customer, number), copy)
  redis.call('HSET', prefix .. 'email', string.format('%022d', number), copy)
end
"""

#: Copies made with one call: some hundred milliseconds.
BATCH = 10_000
YEAR_MS = 365 * 86_400_000
KEY = "crm-0000000"


def waiting(client: redis.Redis, *, entries: int | None = None) -> str:
    """Bring one customer to where it waits for the customer's identification; answers its Iron id.

    `entries`: how long its history is made, by repeating what is there.
    """
    world = World(client)
    world.submit(KEY, "manual")
    record = world.run_until(KEY, "identification_pending")
    if entries is not None:
        history: Any = client.lrange(f"{PREFIX}history:{KEY}", 0, -1)
        client.delete(f"{PREFIX}history:{KEY}")
        client.rpush(f"{PREFIX}history:{KEY}", *(history[min(number, 2)] for number in range(entries)))
    return str(record.customer_id)


def fill(client: redis.Redis, customer_id: str, first: int, last: int) -> None:
    """Copy the waiting customer under the numbers from `first` to `last`."""
    copy = client.register_script(_COPY)
    seconds, _ = client.time()  # type: ignore[misc] -- redis-py's answers are typed for every mode at once
    due = seconds * 1000 + YEAR_MS
    for start in range(first, last + 1, BATCH):
        copy(keys=[PREFIX], args=[KEY, customer_id, start, min(start + BATCH - 1, last), due])
