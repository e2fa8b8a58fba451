"""The auditor: finds every broken invariant of a ledger in use, names it, and repairs what is safe to repair.

It never writes a record or its history, and it works beside a running fleet. Source: design sections 2, 5 and 7. These
are the kinds, each a rule or a place in `records`, `motion`, `indexes` or `contents`; with an asterisk: repairable.

    the record      record_malformed, record_unreadable, format_newer (information), phase_unknown, step_unknown,
                    lane_unknown, step_misfit, phase_misfit, times_backwards, times_ahead, effect_old,
                    sub_partner_missing*
    due times       due_missing*, due_finished*, due_wrong_lane*, due_two_lanes*, due_far*, due_nowhere*, overdue,
                    turn_missing*
    claims          lease_over*, claim_other_version*, claim_other_lane*, claim_malformed*, claim_nowhere*
    phases          phase_missing*, phase_wrong*, phase_twice*, phase_score*, phase_nowhere*
    schedule        schedule_wrong*, identified_nowhere*, waiting_nowhere*
    external ids    external_missing*, external_shadowed*, external_stray*, external_nowhere*, external_twice
    Iron's ids      customer_missing*, customer_stray*, customer_nowhere*, customer_twice
    links           link_nowhere*
    e-mails         email_nowhere*
    endpoints       endpoint_nowhere*
    input           input_missing, input_kept*, input_expiring*, input_nowhere*
    people          acts_stranded*, acts_nowhere, evidence_nowhere
    history         history_missing, history_broken, history_head, history_phase, history_length, history_nowhere

- `contents`: rules of what belongs to a record
- `indexes`: rules of the indexes
- `kinds`: what a kind of finding is
- `motion`: rules of due times and claims
- `proof`: the chain of digests
- `records`: rules of the record itself
- `rules`: all rules together
- `seen`: what the auditor sees of a key
- `walk`: the walk through all records
"""

from workers.operate.audit.kinds import KINDS, Kind
from workers.operate.audit.proof import Chain, chain, explained
from workers.operate.audit.walk import MOMENT_S, Auditor, Finding

__all__ = ["KINDS", "MOMENT_S", "Auditor", "Chain", "Finding", "Kind", "chain", "explained"]
