"""The control plane's HTTP face: routes, roles and problems over the controller."""
