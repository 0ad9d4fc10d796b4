"""Begins a handshake that nobody will end."""
import socket
from struct import pack, unpack


def checksum(data):
    total = sum(unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def send_syn(source, source_port, address, port, payload=b""):
    """Sends a SYN, with data if there is any, from an address that need not be this host's (ip(7), IP_HDRINCL; RFC 9293, section 3.1)."""
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    segment = pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 65535, 0, 0)
    sum_of = checksum(ends + pack("!BBH", 0, socket.IPPROTO_TCP, len(segment) + len(payload)) + segment + payload + bytes(len(payload) % 2))
    segment = segment[:16] + pack("!H", sum_of) + segment[18:] + payload
    header = pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, socket.IPPROTO_TCP, 0) + ends
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(header + segment, (address, 0))
