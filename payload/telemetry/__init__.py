"""What happened on the machine while steps were timed."""
