"""What the tests of `everpost.auth` share: a DNS of their own, and where the vectors of others are."""
