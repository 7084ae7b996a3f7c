"""A stand-in for an organisation's mail server, so that the demo runs without one.

It really speaks SMTP and a subset of IMAP4rev1, keeps what it accepted through a kill -9, and runs as a process of
its own: `python -m everpost.app.demo.standin`. It is no mail server for production: no TLS, loopback only, no quotas,
no relaying, passwords in a file. The tests use Postfix and Dovecot for what only real servers can prove.
"""
