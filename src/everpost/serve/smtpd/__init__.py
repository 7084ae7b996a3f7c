"""The SMTP face: listeners for the internet (MX), for primaries (smarthost) and for people (submission)."""
