"""What ``monailabel start_server --app src/polyscan/label_app`` looks for."""

from polyscan.label_app.app import PolyscanApp

__all__ = ["PolyscanApp"]
