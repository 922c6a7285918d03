"""Contract tests that need more than Python run by `make contract`, which names their files."""

collect_ignore = ["test_both.py", "test_govc.py"]
