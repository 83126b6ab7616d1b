"""Calls a service at tcp:HOST:PORT and prints its results, one a line: `python3 service_client.py HOST PORT REQUEST`.

A server for it, in another terminal: `wharf serve tcp:127.0.0.1:7000 -- tr a-z A-Z`.
The standard library is enough; docs/wire.md has every byte of it.
"""
import socket, struct, sys

GONE = "the server is gone: nobody knows what became of the call"

def in_a_sentence(kind, why, trace):                          # what goes wrong is one line, and the exit code 1
    if issubclass(kind, (ConnectionResetError, BrokenPipeError)):
        why = GONE
    elif issubclass(kind, TimeoutError):
        why = "no answer came within 10 seconds"
    print(f"service_client.py: {why or kind.__name__}", file=sys.stderr)

sys.excepthook = in_a_sentence

def exactly(link, count):
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        assert piece, GONE
        data += piece
    return data

if len(sys.argv) != 4:
    sys.exit("usage: python3 service_client.py HOST PORT REQUEST")
host, port, request = sys.argv[1:4]
try:
    link = socket.create_connection((host, port), timeout=10)
except OSError as why:
    sys.exit(f"service_client.py: nobody serves at tcp:{host}:{port} ({why.strerror or why}): 'wharf serve tcp:{host}:{port} -- cat' does")
link.sendall(struct.pack("<8sHBBHHQQIBBHQIHBB", b"WHARFLNK", 1, 1, 6, 0, 65535, 256 << 20, 1 << 20,
                         8, 0, 0, 0, 0, 0, 0, 0, 2))                                  # hello
answer = exactly(link, 56)
params, words = struct.unpack_from("<H", answer, 38)[0], struct.unpack_from("<H", answer, 52)[0]
rest = exactly(link, params + words)
assert answer[:8] == b"WHARFLNK" and answer[10] == 2, f"refused: {rest.decode()}"     # welcome
call = struct.pack("<BBHIQQ", 1, 1, 0, 0, 1, 5 * 10**9) + request.encode()            # request 1, five seconds
link.sendall(struct.pack("<IBBH", len(call), 1, 0, 0) + call)
while True:
    length, kind, ask, _ = struct.unpack("<IBBH", exactly(link, 8))
    if kind in (1, 2):                                                                # a message, or one in fragments
        message = exactly(link, length) if kind == 1 else b""
        while kind == 2 and len(message) < length:
            message += exactly(link, struct.unpack("<IBBH", exactly(link, 8))[0])
        what, payload = message[1], message[24:].decode()
        assert what not in (6, 7, 8), f"the call failed: {payload}"                   # failed, refused, farewell
        if what in (3, 4):                                                            # an item, or the reply
            print(payload)
        if what in (4, 5):                                                            # the reply, or no more items
            break
    else:
        exactly(link, length)                                                         # the receiver's own words
link.sendall(struct.pack("<IBBH", 0, 4, 0, 0))                                        # nothing more to ask
