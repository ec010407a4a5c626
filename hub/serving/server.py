"""REST and gRPC on two ports over one `Repository`."""

import contextlib
import os
import socket
import threading
from concurrent import futures
from typing import Self

import grpc
import uvicorn

from hub.serving import grpc_service, rest
from hub.serving.repository import Repository

_GRACE = 5  # seconds that requests in flight have to end


class Server:
    """Serve `repository` until the `with` block ends.

    Args:
        repository: the models.
        host: name or address to listen on.
        rest_port: port of the REST API; 0 takes a free one.
        grpc_port: port of the gRPC API; 0 takes a free one.

    Raises:
        OSError: a port is in use or not permitted, or the host is not of this machine.
        ValueError: a port is not in 0..65535.
    """

    def __init__(
        self, repository: Repository, host: str = "127.0.0.1", rest_port: int = 8501, grpc_port: int = 8500
    ) -> None:
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(_listen(host, rest_port))
            _listen(host, grpc_port).close()  # gRPC itself reports a taken port in the log, not in words
            self._grpc = grpc.server(
                futures.ThreadPoolExecutor(4 * (os.cpu_count() or 1), "grpc"),
                options=[
                    ("grpc.max_receive_message_length", -1),
                    ("grpc.max_send_message_length", -1),
                    ("grpc.so_reuseport", 0),
                ],
            )
            grpc_service.add_services(repository, self._grpc)
            name = f"[{host}]" if ":" in host else host
            self.rest_url = f"http://{name}:{self._socket.getsockname()[1]}"
            self.grpc_address = f"{name}:{self._grpc.add_insecure_port(f'{name}:{grpc_port}')}"
            undo.pop_all()
        settings = uvicorn.Config(
            rest.application(repository),
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE,
        )
        self._rest = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._rest.run, args=([self._socket],), name="rest", daemon=True)

    def __enter__(self) -> Self:
        self._grpc.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.should_exit = True
        self._grpc.stop(_GRACE).wait()
        self._thread.join()
        self._socket.close()

    def wait(self) -> None:
        """Block until the server is stopped or the process interrupted."""
        self._grpc.wait_for_termination()


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ValueError(f"A port is a number from 0 to 65535. Received: {port}.")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(
            f"Cannot listen on {host} port {port}: {(error.strerror or str(error)).partition(' (')[0]}."
        ) from error
