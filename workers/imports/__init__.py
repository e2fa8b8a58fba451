"""Files of jobs: loaded, followed, paused, cancelled.

- `completion`: when imports will be finished
- `imports`: an import under its name
- `loading`: rows into records
"""
