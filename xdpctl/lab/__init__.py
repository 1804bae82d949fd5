"""Network namespaces with hosts in them, and bounded traffic between them.

For the demo, the lab tests and the benchmark: everything lives in namespaces made here and
goes with them.
"""
