"""Pictures of other servers, fetched for a reader who asked for them; the sender learns nothing of the reader."""
