"""Uses the store of the example `key_value` over tcp:HOST:PORT: `python3 key_value_client.py HOST PORT`.

`cargo run --example key_value` starts the store at a free port, and this client.
The standard library is enough; docs/wire.md has every byte of it.
"""
import socket, struct, sys

GONE = "the server is gone: nobody knows what became of the call"

def in_a_sentence(kind, why, trace):                          # what goes wrong is one line, and the exit code 1
    if issubclass(kind, (ConnectionResetError, BrokenPipeError)):
        why = GONE
    elif issubclass(kind, TimeoutError):
        why = "no answer came within 10 seconds"
    print(f"key_value_client.py: {why or kind.__name__}", file=sys.stderr)

sys.excepthook = in_a_sentence

REQUEST, ITEM, REPLY, END, FAILED, REFUSED, BYE = 1, 3, 4, 5, 6, 7, 8
SECOND = 10**9

class Service:
    """One connection to a service."""

    def __init__(self, host, port):
        try:
            self.link = socket.create_connection((host, port), timeout=10)
        except OSError as why:
            sys.exit(f"key_value_client.py: nobody serves at tcp:{host}:{port} ({why.strerror or why})")
        self.number = 0
        self.link.sendall(struct.pack("<8sHBBHHQQIBBHQIHBB", b"WHARFLNK", 1, 1, 6, 0, 65535, 256 << 20, 1 << 20,
                                      8, 0, 0, 0, 0, 0, 0, 0, 2))                     # hello
        answer = self.exactly(56)
        params, words = struct.unpack_from("<H", answer, 38)[0], struct.unpack_from("<H", answer, 52)[0]
        rest = self.exactly(params + words)
        assert answer[:8] == b"WHARFLNK" and answer[10] == 2, f"refused: {rest.decode()}"

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.link.recv(count - len(data))
            assert piece, GONE
            data += piece
        return data

    def message(self):
        """The next message, put together where it comes in fragments."""
        while True:
            length, kind, _, _ = struct.unpack("<IBBH", self.exactly(8))
            if kind == 1:
                return self.exactly(length)
            if kind == 2:
                whole = b""
                while len(whole) < length:
                    whole += self.exactly(struct.unpack("<IBBH", self.exactly(8))[0])
                return whole
            self.exactly(length)                                                      # the receiver's own words

    def call(self, request, seconds=5):
        """All results of one call."""
        self.number += 1
        call = struct.pack("<BBHIQQ", 1, REQUEST, 0, 0, self.number, seconds * SECOND) + request.encode()
        self.link.sendall(struct.pack("<IBBH", len(call), 1, 0, 0) + call)
        results = []
        while True:
            message = self.message()
            kind, number, payload = message[1], struct.unpack_from("<Q", message, 8)[0], message[24:].decode()
            if number != self.number and kind != BYE:
                continue                                                              # late, of an earlier call
            if kind in (FAILED, REFUSED, BYE):
                raise RuntimeError(payload)
            if kind in (ITEM, REPLY):
                results.append(payload)
            if kind in (REPLY, END):
                return results

    def close(self):
        self.link.sendall(struct.pack("<IBBH", 0, 4, 0, 0))                           # nothing more to ask

if len(sys.argv) != 3:
    sys.exit("usage: python3 key_value_client.py HOST PORT")
store = Service(sys.argv[1], sys.argv[2])
for place, name in [("planet/3", "Earth"), ("planet/1", "Mercury"), ("planet/2", "Venus"), ("star", "Sun")]:
    store.call(f"set {place} {name}")
print("planet/2 is", *store.call("get planet/2"))
print("the planets:", *store.call("list planet/"), sep="\n  ")
print("deleted:", *store.call("delete planet/1"))
try:
    store.call("get planet/1")
except RuntimeError as why:
    print("then", why)
store.call("set large " + "x" * 100_000)
print("a large value has", len(store.call("get large")[0]), "characters")
store.call("delete large")
store.close()
