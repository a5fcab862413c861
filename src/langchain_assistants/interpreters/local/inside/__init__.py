"""What runs in the jail, in a process of its own: the stdlib and nothing else."""
