"""What survives a restart: records of every kind, and the audit log.

`kinds` states each kind of record once.
"""
