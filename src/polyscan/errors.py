"""The one exception whose text is meant for the user."""


class PolyscanError(Exception):
    """Something in the user's input cannot be used.

    The message is one sentence that says what was found, what was expected and what to do. It never holds
    patient data beyond the study identifier that the user gave. The command line prints it and exits with 1.
    """


def sentence(error: BaseException) -> str:
    """What an error says to the user: the text of the PolyscanError behind it, or type and first line of its root."""
    while True:
        if isinstance(error, PolyscanError):
            return str(error)
        cause = error.__cause__ or error.__context__
        if cause is None:
            text = str(error).strip().splitlines()
            return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
        error = cause
