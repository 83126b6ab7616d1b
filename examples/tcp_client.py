"""Sends one message to a link at tcp:HOST:PORT and prints the answer: `python3 tcp_client.py HOST PORT TEXT [TOKEN]`.

The standard library is enough; docs/wire.md has every byte of it.
"""
import socket, struct, sys

def exactly(link, count):
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        assert piece, "the other side ended the connection"
        data += piece
    return data

host, port, text, token = (sys.argv[1:] + [""])[:4]
link = socket.create_connection((host, int(port)))
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
