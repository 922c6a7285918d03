"""What happens inside the machines: inventory, host keys, playbooks."""
