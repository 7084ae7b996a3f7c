"""Trust in the primary: detection, activation, failback, reconciliation, drills."""
