"""A look at the site before it is published: built into a temporary folder, served to this machine alone."""

import tempfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rsbench.board_cache import NO_CACHE, Cache
from rsbench.board_site import build
from rsbench.types import UserError


class _Quiet(SimpleHTTPRequestHandler):
    """Files, without a line of log for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def serve_site(rows: Path, port: int, say: Callable[[str], None], cache: Cache = NO_CACHE) -> None:
    """Serve until interrupted.

    Raises:
        UserError: the rows can't be built, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="rsbench-site-") as folder:
        made = build(rows, Path(folder), None, cache)
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=folder))
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror}; another one, or 0 for a free one") from error
        with server:
            say(f"{made.rows} rows: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                say("stopped")
