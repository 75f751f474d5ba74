"""Where one scan lies on another, and whether to believe it."""

from polyscan.registration.register import Registration, register_rigid, register_study

__all__ = ["Registration", "register_rigid", "register_study"]
