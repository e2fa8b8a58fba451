"""The forms of the provider's answers, and its closed lists.

- `answers`: answers and refusals
- `enums`: closed lists of values
"""
