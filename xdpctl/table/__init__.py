"""The source table: which slots every listed prefix leads to, in memory that the filter reads.

No system call, no clock: everything here works on byte buffers, the maps' own or a test's.
"""
