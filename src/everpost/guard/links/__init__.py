"""Links in messages: found, normalised, unwrapped, compared with what is protected or listed, rewritten. No I/O."""
