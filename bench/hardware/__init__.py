"""What a device can do at most: measured ones kept per machine, else its datasheet. No engine here."""
