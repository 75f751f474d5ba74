"""One way to read and write a scan or a mask, whatever it is stored as."""
