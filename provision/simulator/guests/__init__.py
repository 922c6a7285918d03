"""The machines behind the simulated VMs: none, or a real SSH server for each."""
