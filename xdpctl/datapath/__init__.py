"""The kernel's half: pinned maps, plans of writes to them, and the port that the control plane uses.

`plan` and `set_plan` are pure. Imports model, base and abi.
"""
