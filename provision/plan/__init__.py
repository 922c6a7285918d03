"""`plan(lab, snapshot) -> Plan`: placement, findings and differences. Pure."""
