"""Folder of the Ansible callback plugin; ansible-playbook loads it, vdl itself does not."""
