"""Following what detectors write or publish, and handing it to their hook. At least once: events
may be said again, and do no harm then.
"""
