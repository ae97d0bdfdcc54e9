"""Runs a command whose every route off loopback ends here, and prints how many IPv4 packets took one.

Start it in a network namespace of its own: ``unshare -n python watched_run.py COMMAND ...``.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

NAME = b"watched0"

# linux/if_tun.h, linux/sockios.h, linux/if.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8916, 0x8913, 0x8914
SIOCADDRT, RTF_UP = 0x890B, 0x0001
IFF_UP = 1


def bring_up(control: socket.socket, name: bytes) -> None:
    flags = struct.unpack("16sH", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH", name, 0)))[1]
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH", name, flags | IFF_UP))


def address(name: bytes, ip: str) -> bytes:
    return struct.pack("16sH2s4s8s", name, socket.AF_INET, b"", socket.inet_aton(ip), b"")


def default_route(control: socket.socket, name: bytes) -> None:
    """A route to everywhere; ``struct rtentry`` of linux/route.h."""
    device = ctypes.create_string_buffer(name)
    anywhere = struct.pack("H2s4s8s", socket.AF_INET, b"", socket.inet_aton("0.0.0.0"), b"")  # noqa: S104 - a route
    entry = struct.pack(
        "L16s16s16sHhLPhPLLH", 0, anywhere, anywhere, anywhere, RTF_UP, 0, 0, 0, 0, ctypes.addressof(device), 0, 0, 0
    )
    fcntl.ioctl(control, SIOCADDRT, entry)


def open_trap() -> int:
    """A device that every address but loopback is reached through; reading it yields the packets."""
    trap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(trap, TUNSETIFF, struct.pack("16sH", NAME, IFF_TUN | IFF_NO_PI))
    Path(f"/proc/sys/net/ipv6/conf/{NAME.decode()}/disable_ipv6").write_text("1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        bring_up(control, b"lo")
        fcntl.ioctl(control, SIOCSIFADDR, address(NAME, "198.51.100.1"))
        bring_up(control, NAME)
        default_route(control, NAME)
    return trap


def main() -> int:
    trap = open_trap()
    done = subprocess.run(sys.argv[1:], check=False)
    packets = 0
    while True:
        try:
            packet = os.read(trap, 65536)
        except BlockingIOError:
            break
        packets += packet[0] >> 4 == 4  # the version
    sys.stdout.write(f"packets: {packets}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
