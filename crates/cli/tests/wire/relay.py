"""A wire between two network namespaces: delays every packet, loses some, and counts both.

Usage: relay.py NAMESPACE DEVICE NAMESPACE DEVICE DELAY_MS LOSS_PERCENT

Prints "ready" when both devices exist, and "forwarded lost" when its standard input ends.
"""
import ctypes, fcntl, heapq, os, random, select, struct, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 1, 0x1000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def device(namespace, name):
    with open(f"/run/netns/{namespace}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


first, second = device(sys.argv[1], sys.argv[2]), device(sys.argv[3], sys.argv[4])
delay, loss = float(sys.argv[5]) / 1000, float(sys.argv[6]) / 100
print("ready", flush=True)
chance, waiting, forwarded, lost, number = random.Random(7), [], 0, 0, 0
while True:
    patience = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    ready, _, _ = select.select([first, second, sys.stdin], [], [], patience)
    if sys.stdin in ready:
        break
    for source, goal in ((first, second), (second, first)):
        if source not in ready:
            continue
        packet = os.read(source, 65536)
        if chance.random() < loss:
            lost += 1
        elif len(waiting) < 4096:
            number += 1
            heapq.heappush(waiting, (time.monotonic() + delay, number, goal, packet))
    while waiting and waiting[0][0] <= time.monotonic():
        _, _, goal, packet = heapq.heappop(waiting)
        try:
            os.write(goal, packet)
            forwarded += 1
        except OSError:
            lost += 1
print(forwarded, lost, flush=True)
