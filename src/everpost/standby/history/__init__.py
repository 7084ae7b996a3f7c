"""What a mailbox had before: sources of messages with their folders, dates and flags, read one by one."""
