"""A second Iron, written from the two fact sheets alone, for tests that must not trust one reading of them.

Where the sheets say what Iron does, it does that. Where they are silent, or contradict themselves, it draws what to do
by seed: questions.py is the list of all such questions. The same seed and the same requests give the same answers.

Four rules keep it fair, so that a right client always comes to the right end:
- what is false or unreadable ends: after a few reads or ten minutes, and is followed by at least as many true ones;
- a well-formed "no" on the look-up by external id, and a list that lacks something, are at most 60 s behind;
- GET by id shows the truth but for those spells;
- whoever signs again what required-signings still lists by mistake gets the signature that exists, not a second one; a
  document that was replaced meanwhile is refused, though still listed, and the next reading of the list shows why.
"""

from tests.second_iron.provider import SecondIron
from tests.second_iron.questions import QUESTIONS, Question
from tests.second_iron.webhooks import Hook

__all__ = ["QUESTIONS", "Hook", "Question", "SecondIron"]
