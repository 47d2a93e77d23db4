"""How a run grows: time, memory and bytes at sizes up to the published one."""
