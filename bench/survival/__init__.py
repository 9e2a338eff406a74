"""What survives: killed upstreams and workers, bad neighbours, reloads, idle and slow clients."""
