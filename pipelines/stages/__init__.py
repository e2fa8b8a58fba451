"""Stages, each a phase and who must act in it: how long they take, and their limits. Contract section 8.

- `clock`: which stage a record is in, and since when
- `percentiles`: what the counted lengths say
- `policy`: the limits as they are written and in force
"""
