"""The GPU domain: cards, profiles, MMIO size, what fits where. Pure; knows no vSphere."""
