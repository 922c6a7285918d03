"""What the machine is: processors, memory, hypervisor, GPUs."""
