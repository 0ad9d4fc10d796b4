"""Socket calls through io_uring, by system calls alone (io_uring_setup(2), io_uring_enter(2), linux/io_uring.h)."""
import ctypes
import errno
import mmap
import os
import socket
from struct import pack, pack_into, unpack_from

SETUP, ENTER, REGISTER = 425, 426, 427
SETUP_SQPOLL, SETUP_SINGLE_ISSUER, SETUP_DEFER_TASKRUN = 1 << 1, 1 << 12, 1 << 13
ENTER_GETEVENTS, ENTER_SQ_WAKEUP = 1, 2
REGISTER_FILES, REGISTER_PROBE = 2, 8
ACCEPT, CONNECT, CLOSE, SEND, RECV, SHUTDOWN, SOCKET, BIND, LISTEN = 13, 16, 19, 26, 27, 34, 45, 56, 57
FIXED_FILE, ASYNC = 1, 1 << 4
ACCEPT_MULTISHOT = 1
CQE_MORE = 2

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(number, *arguments):
    result = libc.syscall(*[ctypes.c_long(value) for value in (number, *arguments)])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def address_of(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def sockaddr(address, port):
    """A `struct sockaddr_in` or `sockaddr_in6`."""
    if ":" in address:
        return pack("=H", socket.AF_INET6) + pack("!HI", port, 0) + socket.inet_pton(socket.AF_INET6, address) + bytes(4)
    return pack("=H", socket.AF_INET) + pack("!H", port) + socket.inet_aton(address) + bytes(8)


class Ring:
    """A ring of this process, with as many places for direct descriptors."""

    def __init__(self, flags=0, sqe_flags=0, direct=16):
        params = bytearray(120)
        self.sqe_flags, self.sqpoll = sqe_flags, bool(flags & SETUP_SQPOLL)
        self.fd = call(SETUP, 32, address_of(params))
        entries, cq_entries = unpack_from("II", params, 0)
        # struct io_sqring_offsets, io_cqring_offsets
        self.sq_head, self.sq_tail, self.sq_mask, _, _, _, self.sq_array = unpack_from("7I", params, 40)
        self.cq_head, self.cq_tail, self.cq_mask, _, _, self.cqes = unpack_from("6I", params, 80)
        self.sq = mmap.mmap(self.fd, self.sq_array + entries * 4, offset=0)
        self.cq = mmap.mmap(self.fd, self.cqes + cq_entries * 16, offset=0x8000000)
        self.sqes = mmap.mmap(self.fd, entries * 64, offset=0x10000000)
        self.kept = {}
        self.done = {}
        self.last = 0
        if direct:
            places = bytearray(pack("i", -1) * direct)
            call(REGISTER, self.fd, REGISTER_FILES, address_of(places), direct)

    def knows(self, opcode):
        """Whether this kernel has the operation."""
        probe = bytearray(16 + 256 * 8)
        call(REGISTER, self.fd, REGISTER_PROBE, address_of(probe), 256)
        last = probe[0]
        return opcode <= last and bool(unpack_from("H", probe, 16 + opcode * 8 + 2)[0] & 1)

    def begin(self, opcode, fd, off=0, addr=0, length=0, op_flags=0, place=0, ioprio=0, keep=None, flags=0):
        """Submits one operation; returns its name."""
        self.last += 1
        self.kept[self.last] = keep
        tail = unpack_from("I", self.sq, self.sq_tail)[0]
        index = tail & unpack_from("I", self.sq, self.sq_mask)[0]
        flags |= self.sqe_flags
        sqe = pack("=BBHiQQIIQHHIQQ", opcode, flags, ioprio, fd, off, addr, length, op_flags, self.last, 0, 0, place, 0, 0)
        self.sqes[index * 64 : index * 64 + 64] = sqe
        pack_into("I", self.sq, self.sq_array + 4 * index, index)
        pack_into("I", self.sq, self.sq_tail, (tail + 1) & 0xFFFFFFFF)
        call(ENTER, self.fd, 1, 0, ENTER_SQ_WAKEUP if self.sqpoll else 0, 0, 0)
        return self.last

    def finish(self, name):
        """Waits for a result of the operation."""
        while not self.done.get(name):
            head, tail = unpack_from("I", self.cq, self.cq_head)[0], unpack_from("I", self.cq, self.cq_tail)[0]
            if head == tail:
                call(ENTER, self.fd, 0, 1, ENTER_GETEVENTS, 0, 0)
                continue
            at = self.cqes + (head & unpack_from("I", self.cq, self.cq_mask)[0]) * 16
            user, result, flags = unpack_from("QiI", self.cq, at)
            pack_into("I", self.cq, self.cq_head, (head + 1) & 0xFFFFFFFF)
            self.done.setdefault(user, []).append(result)
            if not flags & CQE_MORE:
                self.kept.pop(user, None)
        result = self.done[name].pop(0)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def do(self, *arguments, **more):
        return self.finish(self.begin(*arguments, **more))

    def begin_accept(self, fd, place=None, flags=0, ioprio=0):
        """`place`: of a direct descriptor, else the new one is an ordinary one."""
        return self.begin(ACCEPT, fd, place=0 if place is None else place + 1, flags=flags, ioprio=ioprio)

    def accept(self, fd, place=None, flags=0):
        return self.finish(self.begin_accept(fd, place, flags))

    def connect(self, fd, address, port, flags=0):
        to = bytearray(sockaddr(address, port))
        return self.do(CONNECT, fd, off=len(to), addr=address_of(to), keep=to, flags=flags)

    def bind(self, fd, address, port, flags=0):
        to = bytearray(sockaddr(address, port))
        return self.do(BIND, fd, off=len(to), addr=address_of(to), keep=to, flags=flags)

    def listen(self, fd, backlog, flags=0):
        return self.do(LISTEN, fd, length=backlog, flags=flags)

    def socket(self, family=socket.AF_INET, place=None):
        return self.do(SOCKET, family, off=socket.SOCK_STREAM, place=0 if place is None else place + 1)

    def close(self, fd=0, place=None):
        return self.do(CLOSE, fd if place is None else 0, place=0 if place is None else place + 1)

    def send(self, fd, payload, flags=0):
        what = bytearray(payload)
        return self.do(SEND, fd, addr=address_of(what), length=len(what), keep=what, flags=flags)

    def recv(self, fd, length, flags=0):
        room = bytearray(length)
        got = self.do(RECV, fd, addr=address_of(room), length=length, keep=room, flags=flags)
        return bytes(room[:got])
