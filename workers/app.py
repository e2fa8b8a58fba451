"""The worker process: settings -> logs -> broker -> actors. The only module that acts when it is imported.

Dramatiq's process manager imports it in each worker process, after the fork; nothing else may.
"""

from __future__ import annotations

import sys
from functools import partial

from dramatiq.middleware import CurrentMessage

from pipelines.events import source
from workers.engine.actors import declare_actors
from workers.engine.broker import NudgeBroker
from workers.engine.leases import Leases
from workers.engine.porter import Porter
from workers.engine.pulse import Pulse
from workers.engine.runner import Runner
from workers.events.courier import Courier, new_transport
from workers.intake.messages import DirectEnqueueing
from workers.intake.rejections import Refusals
from workers.intake.submit import FrontDoor
from workers.ledger import Ledger, connect
from workers.logs import configure_logs
from workers.operate.first_call import FirstCall
from workers.process.counters import Tally
from workers.process.lifespan import ProcessLife
from workers.process.moving import Moving
from workers.process.no_dumps import forbid_dumps
from workers.proxies import Proxies
from workers.reconcile.sweep import Sweep
from workers.reidentification.policy_store import Mover
from workers.reminders.policy_store import ReminderMover
from workers.settings import Settings
from workers.stages.ages import ClockMover, Overdue
from workers.watchdog import Watchdog

forbid_dumps()
settings = Settings.load("worker")
# To standard error itself: Dramatiq has put a pipe to its manager in its place, who would write each line once more.
configure_logs(settings.ONBOARDING_LOG, stream=sys.__stderr__)

ledger = Ledger(connect(settings.ledger_url), settings.budget)
leases = Leases(ledger)
broker = NudgeBroker(settings.broker_url)
transport = settings.transport()
iron = settings.iron(transport)
vault = settings.vault
runner = Runner(ledger, leases, broker.send, iron, vault, settings.policy, settings.ONBOARDING_INSTALLATION)
runner.keep_version = settings.IRON_KEEP_API_VERSION
courier = Courier(
    ledger,
    vault,
    source=source(settings.ONBOARDING_INSTALLATION),
    private=settings.ONBOARDING_PRIVATE_ENDPOINTS,
    kept_s=settings.ONBOARDING_EVENTS_KEPT_S,
    transport=partial(new_transport, Proxies.of_environment()),
    counters=runner.counters,
)
tally = Tally(ledger, runner.counters)
direct = DirectEnqueueing(FrontDoor(ledger, vault, broker.send, settings.job_rules), Refusals(ledger))
# The whole middleware: what looks after the process's threads, and what lives with the process. Retries, time limits,
# age limits, pipelines and callbacks are not here because the ledger's due times, leases and steps do their work
# (ops/docs/decisions/0001).
clients = {"ledger": ledger.client, "broker": broker.client}
broker.add_middleware(Watchdog([settings.ledger_url, settings.broker_url], clients))
broker.add_middleware(CurrentMessage())  # a message that cannot be taken now is put back as it is
broker.add_middleware(direct)
sweep = Sweep(ledger, iron, settings.ONBOARDING_SWEEP_INTERVAL_S)
mover = Moving(Mover(ledger, settings.policy.poll_far_s), ReminderMover(ledger), ClockMover(ledger))
pulse, overdue, first_call = Pulse(ledger, broker), Overdue(ledger), FirstCall(ledger, iron)
threads = [leases, Porter(broker), pulse, sweep, mover, overdue, tally, courier, first_call]
broker.add_middleware(ProcessLife(threads, transport, runner.end))
declare_actors(broker, runner)
direct.declare(broker)
