"""How much people and primaries send: counts that all workers share, and the limits they are held against."""
