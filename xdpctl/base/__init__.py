# SPDX-License-Identifier: GPL-2.0-or-later
"""What knows nothing of filtering: clocks, durations, periodic tasks, worker threads.

Everything may import it; it imports only errors.
"""
