"""The one exception that means "the user can mend this"."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, said in one clear sentence that names file, row and column where they are known.

    Command lines print the sentence and exit with code 2; nothing else catches it.
    """
