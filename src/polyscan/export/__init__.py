"""What was predicted, in the formats that others read."""
