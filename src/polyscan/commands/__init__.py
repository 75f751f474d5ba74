"""One command a file: ``add`` says what it takes, ``run`` does it; ``polyscan.cli`` puts them together."""
