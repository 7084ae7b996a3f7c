"""Coming back: what happened in the standby is replayed to the primary, which then is the master again."""
