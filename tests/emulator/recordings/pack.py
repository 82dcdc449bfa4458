"""Pack a folder of recorded cases (`<server>/<case>.json`) into one file a server, as the tests read them.

pack.py FOLDER
"""

import gzip
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent


def pack(folder: pathlib.Path) -> None:
    """Write one file, always the same bytes for the same cases."""
    cases = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    text = json.dumps(cases, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    number = folder.name.partition("-")[0]
    (HERE / f"{number}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    for server in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        if server.is_dir():
            pack(server)
