"""Sends one message to a link at tcp:HOST:PORT and prints the answer: `python3 tcp_client.py HOST PORT TEXT [TOKEN]`.

Somebody who answers, in another terminal: `cargo run --example echo -- tcp:127.0.0.1:7000`.
The standard library is enough; docs/wire.md has every byte of it.
"""
import socket, struct, sys

GONE = "the other side ended the connection before it answered"

def in_a_sentence(kind, why, trace):                          # what goes wrong is one line, and the exit code 1
    if issubclass(kind, (ConnectionResetError, BrokenPipeError)):
        why = GONE
    elif issubclass(kind, TimeoutError):
        why = "no answer came within 10 seconds"
    print(f"tcp_client.py: {why or kind.__name__}", file=sys.stderr)

sys.excepthook = in_a_sentence

def exactly(link, count):
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        assert piece, GONE
        data += piece
    return data

if len(sys.argv) not in (4, 5):
    sys.exit("usage: python3 tcp_client.py HOST PORT TEXT [TOKEN]")
host, port, text, token = (sys.argv[1:] + [""])[:4]
try:
    link = socket.create_connection((host, port), timeout=10)
except OSError as why:
    sys.exit(f"tcp_client.py: nobody listens at tcp:{host}:{port} ({why.strerror or why})")
params = token.encode()
link.sendall(struct.pack("<8sHBBHHQQIBBHQIHBB", b"WHARFLNK", 1, 1, 6, 0, 65535, 256 << 20, 1 << 20,
                         8, 0, 0, len(params), 0, 0, 0, 0, 1) + params)               # hello
answer = exactly(link, 56)
params, words = struct.unpack_from("<H", answer, 38)[0], struct.unpack_from("<H", answer, 52)[0]
rest = exactly(link, params + words)
assert answer[:8] == b"WHARFLNK" and answer[10] == 2, f"refused: {rest.decode()}"     # welcome
text = text.encode()
link.sendall(struct.pack("<IBBH", len(text), 1, 0, 0) + text)                          # one whole message
while True:
    length, kind, ask, _ = struct.unpack("<IBBH", exactly(link, 8))
    if kind == 1:
        break
    exactly(link, 8 if kind in (6, 7) else 0)                                          # the receiver's own words
message = exactly(link, length)
if ask:
    link.sendall(struct.pack("<IBBHQ", 8, 6, 0, 0, 1))                                 # it was taken
link.sendall(struct.pack("<IBBH", 0, 4, 0, 0) + struct.pack("<IBBHQ", 8, 7, 0, 0, 1))  # both halves close
print(message.decode())
