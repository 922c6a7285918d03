"""A world that several tests make VMs in."""

TEMPLATES = """
DC0:
  templates:
    u24: {memory: 4 GiB, disk: 40 GiB, hardware: 19, extra: {from: template}}
    old: {hardware: 14}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 256 GiB, cards: {count: 2, model: A100-80}}
        esx-02: {memory: 512 GiB}
        esx-03: {connection: disconnected}
        esx-04: {datastores: [small]}
    other: {hosts: {esx-09: {}}}
  datastores: {vsan: 1 TiB, small: 30 GiB}
  networks: [VM Network, storage]
"""
