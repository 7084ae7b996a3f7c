"""The methods of JMAP over the standby mailboxes."""
