"""What the simulated vCenter manages: folders, clusters, hosts with cards, storage, VMs."""
