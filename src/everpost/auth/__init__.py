"""Who sends: SPF, DKIM, ARC and DMARC. Decisions only; the DNS is reached through a `Resolver`."""
