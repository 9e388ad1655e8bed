"""The one exception that a user is meant to read."""


class UserError(ValueError):
    """Something in the user's input is wrong; the message says what, where, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 1.
    """
