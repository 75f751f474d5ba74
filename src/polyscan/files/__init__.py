"""Walk folders; write files whole or not at all."""
