"""What any simulated vSphere API needs: objects, sessions, tasks, properties, two doors."""
