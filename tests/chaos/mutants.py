"""Are the guards needed? Takes each guard of the protocol out of a copy of the code and sees whether a test fails.

    python -m tests.chaos.mutants [part of a name]

Prints a table; exit status 1 when a guard can be taken out and nothing fails. A guard is a place in the text of a file
and what stands there without it; a place that is no longer there is an error, so that the list stays true. All tests
must pass while every guard stands, and a guard is caught by a test file that fails twice: neither a test that is always
broken nor one that fails now and then is taken for one that notices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.figures import keep

ROOT = Path(__file__).resolve().parents[2]

#: Tests that look after the protocol, the quickest first; those of a line run in one process, since starting is slow.
TESTS = (
    (
        "unit/test_keys.py",
        "unit/test_attempt.py",
        "unit/test_acts.py",
        "unit/test_step*.py",
        "unit/test_advance.py",
        "unit/test_reminders.py",
    ),
    ("integration/test_ledger.py", "integration/test_clocks.py", "integration/test_news.py"),
    ("integration/test_findings.py", "integration/test_life.py", "integration/test_no_dead_ends.py"),
    (
        "integration/test_pace.py",
        "integration/test_sweep.py",
        "integration/test_broker.py",
        "integration/test_pulse.py",
    ),
    (
        "integration/test_resume.py",
        "integration/test_adopt.py",
        "integration/test_reidentify.py",
        "integration/test_reminders.py",
        "integration/test_stages.py",
    ),
    ("chaos/test_chaos.py",),
)


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard: what it is for, where it stands, and what is there without it."""

    name: str
    purpose: str
    file: str
    there: str
    without: str


SAFETY, SPEED = "never twice, never stranded", "speed or load"

GUARDS = (
    Guard(
        "the random part of the fence", SAFETY, "workers/ledger/ledger.py",
        "return [step, call_token(), LEASE_MS,", 'return [step, "fence", LEASE_MS,',
    ),
    Guard("the fence check", SAFETY, "workers/ledger/lua/commit.lua", "or claim.fence ~= fence then", "then"),
    Guard(
        "a new fence for each claim, also one that applies an act", SAFETY, "workers/ledger/lua/claim.lua",
        "fence = fence, ends = now_ms + lease_ms", "fence = claim and claim.fence or fence, ends = now_ms + lease_ms",
    ),
    Guard(
        "the lease's end in the due set", SAFETY, "workers/ledger/lua/base.lua",
        "redis.call('ZADD', due_of(claim.place), int(claim.ends), key)", "redis.call('ZREM', due_of(claim.place), key)",
    ),
    Guard(
        "acts that come while a record is in hand wait for its next claim", SAFETY, "workers/ledger/lua/commit.lua",
        "for _, act in ipairs(cjson.decode(applied)) do redis.call('LREM', prefix .. 'acts:' .. key, 1, act) end",
        "redis.call('DEL', prefix .. 'acts:' .. key)",
    ),
    Guard(
        "no reminder once somebody did something", SAFETY, "workers/ledger/lua/commit.lua",
        "if claim.woken ~= '0' and string.find(told, ' reminder_due/', 1, true) then return {'withheld'} end", "",
    ),
    Guard(
        "no reminder without a read", SAFETY, "pipelines/reminders/plan.py",
        "    if not following.read:", "    if False:",
    ),
    Guard(
        "a reminder is counted with what it tells", SAFETY, "pipelines/reminders/plan.py",
        "Reminded(due.need, since_ms, due.count, now_ms)", "Reminded(due.need, since_ms, due.count - 1, now_ms)",
    ),
    Guard(
        "the clock of a stage ends with it", SAFETY, "workers/ledger/lua/ages.lua",
        "  forget_stage(key, before)\n", "",
    ),
    Guard(
        "one record for an external id", SAFETY, "workers/ledger/lua/create.lua",
        "if other then return {'external_id_taken', other} end", "",
    ),
    Guard(
        "acts wait until a call in doubt is certain", SAFETY, "pipelines/acts.py",
        "(doubtful and row.waits)", "False",
    ),
    Guard(
        "derived keys", SAFETY, "pipelines/keys.py",
        "hashlib.sha256(material).digest()[:16]", "__import__('os').urandom(16)",
    ),
    Guard(
        "the subject in the key, not the input", SAFETY, "pipelines/onboarding.py",
        "(record.external_id,),", "(record.external_id, str(record.revision)),",
    ),
    Guard(
        "the document in a signature's key", SAFETY, "pipelines/onboarding.py",
        "(customer_id, due.id, str(due.occasion)),", '(customer_id, "", str(due.occasion)),',
    ),
    Guard(
        "the occasion in a signature's key", SAFETY, "pipelines/onboarding.py",
        "(customer_id, due.id, str(due.occasion)),", '(customer_id, due.id, ""),',
    ),
    Guard(
        "the look before the first call of a key", SAFETY, "pipelines/attempt.py",
        "first = effect.last_ms is None and not (none_yet and untouched)", "first = False",
    ),
    Guard(
        "the look after most of the retention", SAFETY, "pipelines/attempt.py",
        "forgotten = effect.forgotten(now_ms, self.policy)", "forgotten = False",
    ),
    Guard(
        "the in-flight check", SAFETY, "pipelines/onboarding.py",
        "(newest.id != follows or newest.status not in over)", "newest.id != follows",
    ),
    Guard(
        "the settle time", SAFETY, "pipelines/model.py",
        "now_ms - self.last_ms >= policy.settle_s * 1000", "True",
    ),
    Guard(
        "a new generation only for a fault that was repeated, or a refusal", SAFETY, "pipelines/attempt.py",
        "known = effect.confirmed or effect.refused", "known = True",
    ),
    Guard(
        "no new generation while a worker may sleep", SAFETY, "pipelines/attempt.py",
        "return known and not effect.abandoned", "return known",
    ),
    Guard(
        "a new generation is committed before it is used", SAFETY, "pipelines/attempt.py",
        "                raise RenewedError\n", "                effect = self.effect\n",
    ),
    Guard(
        "generations end with the retention", SAFETY, "pipelines/attempt.py",
        "effect = self._begun_again(effect, now_ms)", "pass",
    ),
    Guard(
        "patience on a 409 that shows nothing", SAFETY, "pipelines/model.py",
        "if isinstance(error, ServerFaultError) else None",
        "if isinstance(error, ServerFaultError | ConflictError) else None",
    ),
    Guard(
        "the wait for a worker asleep with a late generation", SAFETY, "pipelines/attempt.py",
        "if asleep or (effect.last_ms", "if (effect.last_ms",
    ),
    Guard(
        "a clock that jumped commits nothing", SAFETY, "workers/ledger/lua/commit.lua",
        "if math.abs(now_ms - at_ms) > tonumber(tolerance_ms) then return {'jumped'} end", "",
    ),
    Guard(
        "a clock that jumped is not renewed", SAFETY, "workers/ledger/ledger.py",
        "if held and claim.agrees(now_ms):", "if held:",
    ),
    Guard(
        "news for a commit that comes late", SAFETY, "workers/ledger/lua/wake.lua",
        "  if claim then\n    mark(claim, what)", "  if claim and claim.ends > now then\n    mark(claim, what)",
    ),
    Guard(
        "acts that waited for a doubt come at once", SAFETY, "pipelines/advance.py",
        "if left and apply_acts(following.record, left).acts else following", "if False else following",
    ),
    Guard(
        "the sweep", SAFETY, "workers/reconcile/sweep.py",
        "if customer.status != record.customer_status:\n        return True", "if True:\n        return False",
    ),
    Guard(
        "a list that is behind does not count", SAFETY, "pipelines/reading.py",
        "    return []\n", "    return identifications\n",
    ),
    Guard(
        "the customer is read before a step comes again", SAFETY, "pipelines/advance.py",
        "return replace(_read_first(following), keep=", "return replace(following, keep=",
    ),
    Guard("two strikes", SAFETY, "pipelines/model.py", "STRIKES = 2", "STRIKES = 1"),
    Guard(
        "only refusals in a row count", SAFETY, "pipelines/model.py",
        "conflict=isinstance(error, ConflictError), strikes=0)", "conflict=isinstance(error, ConflictError))",
    ),
    Guard(
        "the refusal of a read counts against nobody", SAFETY, "pipelines/errors.py",
        "return not self.of_effect or self.status not in ABOUT_DETAILS", "return self.status not in ABOUT_DETAILS",
    ),
    Guard(
        "the refusal of whoever calls counts against nobody", SAFETY, "pipelines/errors.py",
        "return not self.of_effect or self.status not in ABOUT_DETAILS", "return not self.of_effect",
    ),
    Guard(
        "only the keyed call answers for a job", SAFETY, "pipelines/attempt.py",
        "            error.of_effect = True\n", "            pass\n",
    ),
    Guard(
        "a refused signature fails nobody", SAFETY, "pipelines/advance.py",
        "case RequestRefusedError() if STEPS[record.step].carries and", "case RequestRefusedError() if",
    ),
    Guard(
        "certainty comes before the next signature", SAFETY, "pipelines/onboarding.py",
        "if doubtful and not in_doubt(due, attempt):", "if False:",
    ),
    Guard(
        "what was signed before an error is kept", SAFETY, "pipelines/onboarding.py",
        'return Partly({"signings": signings}, error)', "return Partly({}, error)",
    ),
    Guard(
        "the list is read when the customer has other identifications", SAFETY, "pipelines/reading.py",
        "    if len(ids) != max(record.identifications, 1):\n        return False\n", "",
    ),
    Guard(
        "a lost claim's step is not replaced by a read", SAFETY, "workers/ledger/lua/wake.lua",
        "  if claim_of(key) then\n    keep_hint",
        "  local claim = claim_of(key)\n  if claim and claim.ends > now then\n    keep_hint",
    ),
    Guard(
        "news that came while a record was in hand", SAFETY, "workers/ledger/lua/commit.lua",
        "new = newest(phase, json, redis.call('GET', prefix .. 'hints:' .. key) or '!')", "new = nil",
    ),
    Guard(
        "news lets the customer be read", SPEED, "workers/ledger/lua/commit.lua",
        "if new and cjson.decode(json).customer_id then step = 'refresh' end", "",
    ),
    Guard(
        "an effect is carried on until a read shows it", SAFETY, "pipelines/advance.py",
        "    if record.phase in (before.phase, Phase.CANCELLED):\n        return effect\n",
        "",
    ),
    Guard(
        "an effect ends with the phase that leads to it", SAFETY, "pipelines/advance.py",
        "    return effect if record.phase in STEPS[effect.step].doubtful_in else None",
        "    return effect",
    ),
    Guard(
        "an effect ends when another identification has begun", SAFETY, "pipelines/advance.py",
        '        if follows != (record.identification_id or ""):\n            return None',
        "        if False:\n            return None",
    ),
    Guard(
        "what Iron refused is refused until somebody corrects it", SAFETY, "pipelines/advance.py",
        "        return record.phase  # what Iron refused is",
        "        pass  # what Iron refused is",
    ),
    Guard(
        "what failed goes on when Iron goes on", SAFETY, "pipelines/advance.py",
        "if record.phase is Phase.FAILED and phase in STEPS[refused].doubtful_in:",
        "if record.phase is Phase.FAILED:",
    ),
    Guard(
        "another call's refusal is not this one's", SAFETY, "pipelines/advance.py",
        "effect.refused and effect.step == record.step:",
        "effect.refused:",
    ),
    Guard(
        "a refused key is renewed after the settle time", SAFETY, "pipelines/attempt.py",
        "known = effect.confirmed or effect.refused",
        "known = effect.confirmed",
    ),
    Guard(
        "what was refused is looked for before it is sent again", SAFETY, "pipelines/attempt.py",
        "answered_long_ago = (effect.error or effect.refused) and settled",
        "answered_long_ago = effect.error and settled",
    ),
    Guard(
        "a correction takes another key after the first refusal", SAFETY, "pipelines/acts.py",
        '    """Let the table decide again, with a key under which Iron has not refused yet."""\n    '
        "effect = record.effect\n    if effect is not None and (effect.refused or effect.strikes):",
        '    """Let the table decide again, with a key under which Iron has not refused yet."""\n    '
        "effect = record.effect\n    if effect is not None and effect.refused:",
    ),
    Guard(
        "the list is read of who was approved before", SAFETY, "pipelines/reading.py",
        "if record.was_active or record.restart or ids",
        "if record.restart or ids",
    ),
    Guard(
        "the customer's word counts only for the identification we know", SAFETY, "pipelines/reading.py",
        " or record.identification_id not in ids:",
        ":",
    ),
    Guard(
        "a broken list keeps nobody from being read", SAFETY, "pipelines/reading.py",
        "        return None\n\n\ndef _says_enough",
        "        raise\n\n\ndef _says_enough",
    ),
    Guard(
        "a replayed answer does not say that there is none yet", SAFETY, "pipelines/onboarding.py",
        '"none_yet": attempt.called and before is None and customer',
        '"none_yet": attempt.called and customer',
    ),
    Guard(
        "none yet holds for the settle time", SAFETY, "pipelines/onboarding.py",
        "record.none_yet and follows is None and fresh,",
        "record.none_yet and follows is None,",
    ),
    Guard(
        "no new identification while ours may have begun", SAFETY, "pipelines/reading.py",
        "if listed is not None and _may_be_begun(record, listed, attempt):",
        "if False:",
    ),
    Guard(
        "a customer whom a late look shows active again", SAFETY, "pipelines/reading.py",
        "if customer.status == CustomerStatus.ACTIVE and _just_begun(record, attempt):",
        "if False:",
    ),
    Guard(
        "signing ends before the step's limit", SAFETY, "pipelines/onboarding.py",
        "and attempt.now_ms() - began_ms < SIGNING_FOR_S * 1000:",
        "and True:",
    ),
    Guard(
        "documents are read again while all are signed", SAFETY, "pipelines/advance.py",
        "return record.reads > 1 or (", "return bool(",
    ),
    Guard(
        "an operator hears of lasting refusals", SAFETY, "pipelines/advance.py",
        "(LASTING if error.weather else TOLD)",
        "(LASTING if error.weather else 10**9)",
    ),
    Guard(
        "an operator hears of lasting answers", SAFETY, "pipelines/advance.py",
        "problem = replace(problem, operator=now_ms - problem.first_seen_ms >= attempt.policy.settle_s * 1000)",
        "pass",
    ),
    Guard(
        "a document in doubt that is gone was signed", SAFETY, "pipelines/signing.py",
        "return replace(signing, signed_ms=attempt.now_ms()) if ours and",
        "return replace(signing, signed_ms=attempt.now_ms()) if False and",
    ),
    Guard(
        "what nobody understands is news", SPEED, "workers/ledger/lua/news.lua",
        "if not kind or kind == 'unclear' then return 'now' end",
        "if not kind then return 'now' elseif kind == 'unclear' then return nil end",
    ),
    Guard(
        "another identification is news", SPEED, "workers/ledger/lua/news.lua",
        "if shown.identification_id ~= id then return 'now' end",
        "if shown.identification_id ~= id then return nil end",
    ),
    Guard(
        "more webhooks than are kept are news", SPEED, "workers/ledger/lua/news.lua",
        "#kept > HINTS_MOST and '!' or kept", "#kept > HINTS_MOST and hint or kept",
    ),
    Guard(
        "news puts nothing off", SPEED, "workers/ledger/lua/wake.lua", "math.min(at, due or at)", "at",
    ),
    Guard(
        "a customer is read once a second because of webhooks", SPEED, "workers/ledger/lua/news.lua",
        "if math.abs(now_ms - last) < NEWS_EVERY_MS then", "if false then",
    ),
    Guard(
        "news of a lost claim is compared by the next commit", SPEED, "workers/ledger/lua/claim.lua",
        "woken = unread and 2 or 0", "woken = 0",
    ),
    Guard(
        "nobody goes on past news", SPEED, "workers/ledger/lua/onward.lua",
        "if committed[6] ~= given[n + 1] and not repeated then return {committed} end", "",
    ),
    Guard(
        "one onboarding alone opens no breaker", SPEED, "workers/ledger/lua/pace.lua",
        "if not string.find(refused_keys, '\\n' .. key .. '\\n', 1, true) then", "do",
    ),
    Guard(
        "a granted call in between opens no breaker", SPEED, "workers/ledger/lua/pace.lua",
        "if since then redis.call('HDEL', PACE, 'refused', 'refused_since') end", "",
    ),
    Guard(
        "a record in hand is claimed by nobody else", SPEED, "workers/ledger/lua/claim.lua",
        "if claim and claim.ends > now then return {'leased'} end", "",
    ),
    Guard(
        "a job takes over only what nobody has in hand", SPEED, "workers/ledger/lua/join.lua",
        "or (claim and claim.ends > now) or", "or",
    ),
    Guard(
        "a claim that is repeated", SPEED, "workers/ledger/lua/claim.lua",
        "if not (claim and claim.fence == fence) then", "do",
    ),
    Guard(
        "a commit that is repeated", SPEED, "workers/ledger/lua/commit.lua",
        "if record and record.token == fence then", "if false then",
    ),
    Guard(
        "a webhook before the commit that knows its customer", SPEED, "workers/ledger/lua/commit.lua",
        "new = new == 'now' and new or newest(phase, json, unclaimed)", "new = new",
    ),
    Guard(
        "the version in nudges", SPEED, "workers/ledger/lua/claim.lua",
        "if record.version ~= tonumber(version) or record.step ~= step then", "if record.step ~= step then",
    ),
    Guard(
        "the nudge after the commit", SPEED, "workers/engine/runner.py",
        "            self.send(found)\n", "            pass\n",
    ),
    Guard(
        "a call to go on that is repeated", SPEED, "workers/ledger/lua/onward.lua",
        "if committed[4] ~= 1 and not repeated then", "if committed[4] ~= 1 then",
    ),
    Guard(
        "the wake counter", SPEED, "workers/ledger/lua/commit.lua",
        "local new, asked = nil, claim.woken == '1' or claim.woken == '3'", "local new, asked = nil, false",
    ),
    Guard(
        "the lease check before a call", SPEED, "workers/ledger/values.py",
        "if self.clock() > self.holds_until - LEASE_MARGIN_S:", "if False:",
    ),
    Guard("byte-stable bodies", SPEED, "pipelines/keys.py", "sort_keys=True, ", ""),
    Guard("the poison count", SPEED, "workers/ledger/values.py", "POISON_CRASHES = 5", "POISON_CRASHES = 10**9"),
    Guard("the bound of the queues", SPEED, "workers/engine/pulse.py", "QUEUE_DEPTH - depths[lane]", "10_000"),
    Guard("the bell", SPEED, "workers/engine/broker.py", "self.bell(nudge.lane).set()", "pass"),
    Guard("the bell after many nudges", SPEED, "workers/engine/broker.py", "self.bell(lane).set()", "pass"),
    Guard(
        "the closed tap", SPEED, "workers/ledger/lua/pace.lua",
        "if closed and tonumber(closed) > now then return 'closed', closed - now end", "",
    ),
    Guard(
        "the pause of a lane", SPEED, "workers/ledger/lua/pace.lua",
        "redis.call('HEXISTS', PAUSED, lane) == 1", "false",
    ),
    Guard("the breaker", SPEED, "workers/ledger/lua/pace.lua", "and bads >= goods then", "and false then"),
    Guard(
        "the breaker for refusals", SPEED, "workers/ledger/lua/pace.lua",
        "select(2, string.gsub(refused_keys, '\\n', '')) > REFUSED", "false",
    ),
    Guard(
        "an answer does not close the breaker for refusals", SPEED, "workers/ledger/lua/pace.lua",
        "if refusal and not granted then good = 0 end", "",
    ),
    Guard(
        "what a record shows already wakes nobody", SPEED, "workers/ledger/lua/wake.lua",
        "if not new then return {'known'} end", "new = new or 'now'",
    ),
    Guard(
        "what a commit shows already lets nobody be read", SPEED, "workers/ledger/lua/news.lua",
        "return shown.customer_status ~= status and 'now' or nil", "return 'now'",
    ),
    Guard(
        "reads are frequent after what we did", SPEED, "pipelines/advance.py",
        "return record.evolve(reads=-1, fresh_ms=attempt.now_ms())", "return record",
    ),
    Guard(
        "one probe at a time", SPEED, "workers/ledger/lua/pace.lua",
        "if probe and tonumber(probe_ends) > now then", "if false then",
    ),
    Guard(
        "the floors of the lanes", SPEED, "workers/ledger/lua/pace.lua",
        "(share and class.floor <= now and wait <= BELOW_FLOOR_MS)", "false",
    ),
    Guard(
        "the horizons of the lanes", SPEED, "workers/ledger/lua/pace.lua",
        "if wait <= horizon_ms or", "if wait <= 60000 or",
    ),
    Guard(
        "the question before a call that has waited", SPEED, "workers/budget/permits.py",
        "            self._gate.allowed(lane, holder)\n", "",
    ),
    Guard(
        "permits that lapse", SPEED, "workers/budget/permits.py",
        "now <= min(permit.until for permit in permits.values())", "True",
    ),
    Guard(
        "the weather burns no attempt", SPEED, "pipelines/advance.py",
        "case IronError() if error.weather or error.concerns_caller:", "case IronError() if error.concerns_caller:",
    ),
    Guard(
        "a step that comes again comes ever later", SPEED, "pipelines/advance.py",
        '    if before.step != "refresh" or record.step != before.tried or',
        "    if True or",
    ),
    Guard(
        "the step that met an answer is remembered over a read", SPEED, "pipelines/advance.py",
        'step="refresh", tried=record.step)',
        'step="refresh")',
    ),
    Guard(
        "an explanation is given up", SPEED, "pipelines/advance.py",
        "and record.attempts >= EXPLAINED_WITHIN:",
        "and False:",
    ),
    Guard(
        "updates are capped", SPEED, "pipelines/reading.py",
        "if record.revision == 0 or record.updates >= MAX_UPDATES:",
        "if record.revision == 0:",
    ),
    Guard(
        "a refused update is counted", SPEED, "pipelines/onboarding.py",
        '"updates": record.updates + (not error.concerns_caller)',
        '"updates": record.updates',
    ),
    Guard(
        "a refused re-identification is not tried again", SPEED, "pipelines/advance.py",
        "    if given_up(record):\n        return",
        "    if False:\n        return",
    ),
    Guard(
        "a probe says nothing about its record", SPEED, "pipelines/advance.py",
        "    if attempt.probe:\n        return",
        "    if False:\n        return",
    ),
    Guard(
        "the first read after our last signature comes soon", SPEED, "pipelines/advance.py",
        "if record.signings and not open_ and record.reads == 0:",
        "if False:",
    ),
)  # fmt: skip


def first_failure(root: Path, tests: Iterable[str]) -> str | None:
    """Run files of tests on a copy of the project; answers the first that failed, or None.

    Tests that do not start show nothing about a guard: SystemExit.
    """
    files = [str(file.relative_to(root)) for test in tests for file in sorted((root / "tests").glob(test))]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *files]
    # CI: hypothesis then has no deadline, so that a busy machine is not taken for a test that noticed something.
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "CI": "1"}
    run = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=1800
    )  # fmt: skip
    if run.returncode == 0:
        return None
    failed = [line for line in run.stdout.splitlines() if line.startswith("FAILED ")]
    if not failed:
        raise SystemExit(f"{' '.join(files)}: does not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return failed[0].split(" - ")[0].removeprefix("FAILED ")


@contextmanager
def copied() -> Iterator[Path]:
    """Copy the project."""
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
    with tempfile.TemporaryDirectory() as folder:
        yield shutil.copytree(ROOT, Path(folder) / "copy", ignore=ignored)


def tests_of(guard: Guard | None) -> tuple[tuple[str, ...], ...]:
    """Give the files that may notice: the unit tests look at the pipelines alone, which know nothing of workers."""
    return TESTS[1:] if guard and guard.file.startswith("workers/") else TESTS


def caught_by(guard: Guard | None) -> str | None:
    """Take a guard out of a copy and run the tests; answers the first that fails, and does so again, or None.

    No guard: what fails though all of them stand.
    """
    with copied() as root:
        if guard:
            file = root / guard.file
            text = file.read_text(encoding="utf-8")
            if guard.there not in text:
                message = f"{guard.name}: {guard.file} has no {guard.there!r} any more; mend the list"
                raise SystemExit(message)
            file.write_text(text.replace(guard.there, guard.without, 1), encoding="utf-8")
        for tests in tests_of(guard):
            if (failed := first_failure(root, tests)) and first_failure(root, [_file_of(failed)]):
                return failed
    return None


def _file_of(test: str) -> str:
    return test.partition("::")[0].removeprefix("tests/")


def main(part: str = "") -> int:
    """Try every guard whose name has this part, and print the table."""
    guards = [guard for guard in GUARDS if part in guard.name]
    survivors = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        whole = pool.submit(caught_by, None)
        for guard, test in zip(guards, pool.map(caught_by, guards), strict=True):
            survivors += test is None
            print(f"{guard.name:<66}{guard.purpose:<30}{test or 'NOTHING FAILED'}", flush=True)
        if failed := whole.result():
            raise SystemExit(f"{failed} fails though every guard stands, so nothing is shown")
    print(f"{len(guards)} guards taken out, {len(guards) - survivors} caught; all tests pass while every guard stands")
    keep("mutants", {"all": len(GUARDS), "removed": len(guards), "caught": len(guards) - survivors})
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
