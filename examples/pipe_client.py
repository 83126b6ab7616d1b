"""Sends one message to a link at pipe:NAME or pipe:PATH and prints the answer: `python3 pipe_client.py NAME TEXT`.

Somebody who answers, in another terminal: `cargo run --example echo -- pipe:echo`.
The standard library is enough; docs/wire.md has every byte of it.
"""
import atexit, fcntl, os, secrets, select, struct, sys

GONE = "the other side ended the link before it answered"

def in_a_sentence(kind, why, trace):                          # what goes wrong is one line, and the exit code 1
    gone = issubclass(kind, (ConnectionResetError, BrokenPipeError))
    print(f"pipe_client.py: {GONE if gone else why or kind.__name__}", file=sys.stderr)

sys.excepthook = in_a_sentence

def exactly(fd, count):
    data = b""
    while len(data) < count:
        assert select.select([fd], [], [], 10)[0], "no answer came within 10 seconds"
        piece = os.read(fd, count - len(data))
        assert piece, GONE
        data += piece
    return data

if len(sys.argv) != 3:
    sys.exit("usage: python3 pipe_client.py NAME TEXT")
name, text = sys.argv[1:]
home = os.environ.get("WHARF_DIR", f"/dev/shm/wharf-{os.getuid()}")
door = name if "/" in name else f"{home}/{name}.pipe"
try:
    ears = os.open(door, os.O_WRONLY | os.O_NONBLOCK)          # ENXIO: whoever listened is dead
except OSError as why:
    sys.exit(f"pipe_client.py: nobody listens at pipe:{name} ({why.strerror})")
number = secrets.token_bytes(16)
names = [f"{os.path.dirname(door) or '.'}/.pipe-{number.hex()}.{end}" for end in ("up", "down")]

def remove_names():
    for path in filter(os.path.lexists, names):
        os.unlink(path)

atexit.register(remove_names)                                  # whoever listens has removed them, if it has opened them
ends = []
for path, how in zip(names, (os.O_RDWR, os.O_RDONLY)):
    os.mkfifo(path, 0o600)
    ends.append(os.open(path, how | os.O_NONBLOCK))
    fcntl.flock(ends[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)       # whoever holds this lives
keep, down = ends
up = os.open(names[0], os.O_WRONLY | os.O_NONBLOCK)
write = lambda data: os.write(up, data)
write(struct.pack("<8sHBBHHQQIBBHQIHBB", b"WHARFLNK", 1, 1, 5, 0, 65535,
                  256 << 20, 1 << 16, 8, 0, 0, 0, 0, 0, 0, 0, 1))                      # hello
os.write(ears, struct.pack("<8sH6x16s", b"WHARFPIP", 1, number))                       # knock
answer = exactly(down, 56)
params, words = struct.unpack_from("<H", answer, 38)[0], struct.unpack_from("<H", answer, 52)[0]
rest = exactly(down, params + words)
assert answer[:8] == b"WHARFLNK" and answer[10] == 2, f"refused: {rest.decode()}"      # welcome
os.close(keep)                                                 # only they read there now: their end is an error
text = text.encode()
write(struct.pack("<IBBH", len(text), 1, 0, 0) + text)                                 # one whole message
while True:
    length, kind, ask, _ = struct.unpack("<IBBH", exactly(down, 8))
    if kind == 1:
        break
    exactly(down, 8 if kind in (6, 7) else 0)                                          # the receiver's own words
message = exactly(down, length)
if ask:
    write(struct.pack("<IBBHQ", 8, 6, 0, 0, 1))                                        # it was taken
write(struct.pack("<IBBH", 0, 4, 0, 0) + struct.pack("<IBBHQ", 8, 7, 0, 0, 1))         # both halves close
print(message.decode())
