"""The one exception whose text is meant for the user."""


class PolyscanError(Exception):
    """Something in the user's input cannot be used.

    The message is one sentence that says what was found, what was expected and what to do. It never holds
    patient data beyond the study identifier that the user gave. The command line prints it and exits with 1.
    """


def sentence(error: BaseException) -> str:
    """What an error says to the user: the text of the PolyscanError behind it, or its own type and text."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PolyscanError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}"
