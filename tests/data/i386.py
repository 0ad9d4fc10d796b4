"""The system calls of a 32-bit program, made from this one: `int $0x80` enters the kernel as i386 programs do
(entry_INT80_compat in arch/x86/entry/entry_64_compat.S)."""
import ctypes
import mmap
import os
from struct import pack

from uring import sockaddr

SOCKETCALL, SOCKET, BIND, CONNECT, LISTEN, ACCEPT4 = 102, 359, 361, 362, 363, 364
SYS_BIND, SYS_CONNECT, SYS_LISTEN, SYS_ACCEPT = 2, 3, 4, 5

# Below 4 GiB, where a 32-bit pointer reaches: a page of code, and one for what calls point to.
MAP_32BIT = 0x40
page = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
base = ctypes.addressof(ctypes.c_char.from_buffer(page))
room = base + 4096
page.write(
    b"\x53"  # push %rbx
    b"\x89\xf8"  # mov %edi, %eax: the call
    b"\x89\xf3"  # mov %esi, %ebx: its arguments
    b"\x41\x89\xd0"  # mov %edx, %r8d
    b"\x89\xca"  # mov %ecx, %edx
    b"\x44\x89\xc1"  # mov %r8d, %ecx
    b"\x31\xf6"  # xor %esi, %esi
    b"\xcd\x80"  # int $0x80
    b"\x5b"  # pop %rbx
    b"\xc3"  # ret
)
enter = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int)(base)


def call(number, *arguments):
    result = enter(number, *(*arguments, 0, 0, 0)[:3])
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def put(content):
    page[4096 : 4096 + len(content)] = content
    return room


def bind(fd, address, port):
    to = sockaddr(address, port)
    return call(BIND, fd, put(to), len(to))


def connect(fd, address, port):
    to = sockaddr(address, port)
    return call(CONNECT, fd, put(to), len(to))


def listen(fd, backlog):
    return call(LISTEN, fd, backlog)


def accept(fd):
    return call(ACCEPT4, fd, 0, 0)


def socketcall(which, *arguments):
    """As the C library of old does it: one call for all."""
    return call(SOCKETCALL, which, put(pack(f"{len(arguments)}I", *arguments)))
