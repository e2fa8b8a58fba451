"""Hand a job in as a message, to copy from: it imports nothing of this project, only `dramatiq[redis]`.

    BROKER_URL=redis://:password@host:6379/1 python producer.py crm-1 ada@example.com

The address is the one in ONBOARDING_BROKER_URL. There is no answer: the event onboarding.received says that the job is
accepted, and `onboarding refused` lists what was refused, with the reasons. Sending the same job again is harmless.
"""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=os.environ["BROKER_URL"])  # type: ignore[no-untyped-call]
broker.declare_queue("interactive")


def start_onboarding(job: dict[str, object]) -> None:
    """Put one job on the queue."""
    broker.enqueue(
        dramatiq.Message(queue_name="interactive", actor_name="start_onboarding", args=(job,), kwargs={}, options={})
    )


if __name__ == "__main__":
    key, email = sys.argv[1:3]
    start_onboarding({"idempotency_key": key, "customer": {"customer_type": "Person", "email": email}})
    print(f"{key} is on the queue")
