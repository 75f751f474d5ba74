"""One command a file: its documentation is the help, ``add`` says what it takes, ``run`` does it."""
