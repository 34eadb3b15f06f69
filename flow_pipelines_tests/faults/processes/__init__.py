"""Many workers at one night: what several processes and hosts may do to each other."""
