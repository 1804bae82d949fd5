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
from xdpctl.model.capacity import FlowSettings


def main() -> None:
    folder, flows = Path(sys.argv[1]), FlowSettings()
    folder.mkdir(parents=True, exist_ok=True)
    requests = [filter_request(None), filter_request(flows), teacher_request(flows)]
    for request in [*requests, filter_request(None, rehearsal=True)]:
        data = json.dumps(compile_now(request), sort_keys=True).encode()
        (folder / request.image()).write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    main()
