"""Counts that go on from document to document, with figures given for single documents.

Nothing is wrong with a memory that is declared: `carries_state = True` makes this a warning with
the size of the gain. Undeclared, the figure of a document depends on the order of all of them, and
a text whose documents repeat is scored as if it had been learned.
"""

from counting import Counting


class Scorer(Counting):
    """Begins anew only once."""

    def begin(self) -> None:
        """Keep what there is."""
        if not hasattr(self, "counts"):
            super().begin()
        self.seen = []
