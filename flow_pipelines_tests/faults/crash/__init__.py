"""Every instant at which a process can die, tried one by one."""
