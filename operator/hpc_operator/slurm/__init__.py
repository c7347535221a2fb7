"""The only room that speaks Slurm: its configuration files, and what the scheduler has to say about nodes."""
