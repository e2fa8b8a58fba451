"""Stages: a phase and who must act in it. How long they take, and the limits that a policy has for them. Section 8.

- `clock`: which stage a record is in, and since when
- `percentiles`: what the counted lengths say
- `policy`: the limits as they are written and in force
"""
