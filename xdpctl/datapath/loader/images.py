# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl.datapath.loader.images FOLDER`: compiles what a package ships.

With these images a box needs no compiler: they fit every capacity, and the flow memory's default
size. The bytecode depends on no kernel.
"""

import gzip
import json
import sys
from pathlib import Path

from xdpctl.datapath.loader.compiler import compile_now
from xdpctl.datapath.loader.filter_program import filter_request, teacher_request
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.model.capacity import FlowSettings


def main() -> None:
    folder, flows = Path(sys.argv[1]), FlowSettings()
    folder.mkdir(parents=True, exist_ok=True)
    requests = [filter_request(None, rehearsal=True)]
    for layer in LinkLayer:
        requests += [filter_request(of, layer=layer) for of in (None, flows)]
        requests.append(teacher_request(flows, layer))
    for request in requests:
        data = json.dumps(compile_now(request), sort_keys=True).encode()
        (folder / request.image()).write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    main()
