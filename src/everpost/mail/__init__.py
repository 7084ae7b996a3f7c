"""Pure values and functions of mail: addresses, envelopes, replies, messages. No I/O, no clock, no database."""
