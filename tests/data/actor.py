"""A program that does with its sockets what a test tells it to, line by line.

Each line of stdin is a JSON string of Python. An expression is answered with its value, a block with null, an OSError
with the errno's name: so what happened is known to have happened before the test goes on.
"""
import errno
import json
import os
import sys
from socket import *  # noqa: F403 (the tests' lines use it)
from socket import SO_LINGER, SO_REUSEADDR, SO_REUSEPORT, SOCK_STREAM, SOL_SOCKET, socket
from struct import pack

MPTCP = 262
SOL_MPTCP = 284
MPTCP_INFO = 1


def tcp(address, protocol=0):
    """An unbound socket of the address's family."""
    return socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM, protocol)  # noqa: F405


def listen(address, port=0, backlog=16, protocol=0, reuseport=False):
    s = tcp(address, protocol)
    s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    if reuseport:
        s.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
    s.bind((address, port))
    s.listen(backlog)
    return s


def connect(address, port, protocol=0):
    s = tcp(address, protocol)
    s.connect((address, port))
    return s


def port(s):
    return s.getsockname()[1]


def counts_mptcp_bytes(s):
    """Whether the kernel counts what an MPTCP socket carried (since Linux 6.5): its struct mptcp_info has the room then."""
    return len(s.getsockopt(SOL_MPTCP, MPTCP_INFO, 256)) >= 80


def reset(s):
    """Closes with a reset."""
    s.setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
    s.close()


def read(s, count):
    """Reads exactly that much."""
    got = b""
    while len(got) < count:
        piece = s.recv(count - len(got))
        if not piece:
            raise EOFError(f"the peer closed after {len(got)} of {count} bytes")
        got += piece
    return len(got)


def activate(s, program):
    """Runs a program that gets a listening socket as systemd passes them: as descriptor 3, named by LISTEN_FDS."""
    below, above = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(below, 0)
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        if s.fileno() == 3:
            os.set_inheritable(3, True)
        else:
            os.dup2(s.fileno(), 3)
        os.execve(program, [program], {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
    os.close(below)
    return pid, os.fdopen(above, "w")


def serve(lines, answers, names):
    for line in lines:
        code = json.loads(line)
        try:
            try:
                compiled = compile(code, "told", "eval")
            except SyntaxError:
                exec(compile(code, "told", "exec"), names)
                answer = {"value": None}
            else:
                answer = {"value": eval(compiled, names)}
        except OSError as failure:
            answer = {"error": errno.errorcode.get(failure.errno, str(failure))}
        except Exception as failure:
            answer = {"broken": repr(failure)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Child:
    """A forked child, told what to do through its parent."""

    def __init__(self, names):
        down, up = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(down[1])
            os.close(up[0])
            with os.fdopen(down[0]) as lines, os.fdopen(up[1], "w") as answers:
                serve(lines, answers, names)
            os._exit(0)
        os.close(down[0])
        os.close(up[1])
        self.lines, self.answers = os.fdopen(down[1], "w"), os.fdopen(up[0])

    def ask(self, code):
        self.lines.write(json.dumps(code) + "\n")
        self.lines.flush()
        answer = json.loads(self.answers.readline())
        if "value" not in answer:
            raise RuntimeError(answer)
        return answer["value"]


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout, globals())
