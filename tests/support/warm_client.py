"""What is started in the place of a worker, see ``warm_worker.py``; a script that imports next to nothing."""

import os
import signal
import socket
import sys
import time

LONGEST_START_S = 120

if __name__ == "__main__":
    end = time.monotonic() + LONGEST_START_S
    while not os.path.exists(sys.argv[1]) and time.monotonic() < end:  # noqa: PTH110 - a quick start
        time.sleep(0.01)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    socket.send_fds(connection, [b"x"], [0, 1, 2])
    connection.sendall("\0".join(f"{name}={value}" for name, value in os.environ.items()).encode())
    connection.shutdown(socket.SHUT_WR)
    for stream in (0, 1, 2):
        os.close(stream)
    code = int(connection.recv(16) or b"1")
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)
