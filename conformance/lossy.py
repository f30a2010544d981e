"""An NBD server that passes everything on to another one, except the writes of one block, which it only answers.

It exists to prove that the crash test notices a lost block.
"""

import socket
import struct
import threading

import nbd

GREETING = struct.pack(">8s8sH", b"NBDMAGIC", b"IHAVEOPT", 3)
OPTION_REPLY = 0x3E889045565A9
EXPORT_NAME, ABORT, GO = 1, 2, 7
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
FUA = 1
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
# Has flags, can flush, can FUA, many connections agree.
TRANSMISSION = 1 | 4 | 8 | 256
EIO = 5


class LossyProxy:
    """Serves one export of `uri`; from the write number `drop_from` on, all writes of that write's block are lost."""

    def __init__(self, uri, drop_from):
        self.behind = uri
        self.drop_from = drop_from
        self.writes = 0
        self.lost_block = None
        self.lost_writes = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        self.uri = f"nbd://127.0.0.1:{port}/lossy"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Take no more connections."""
        self.listener.close()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        behind = nbd.NBD()
        try:
            behind.connect_uri(self.behind)
            if self._negotiate(peer, behind.get_size()):
                while self._request(peer, behind):
                    pass
        except (OSError, EOFError, nbd.Error):
            # The server behind us was killed, or the client left: both end this connection only.
            pass
        finally:
            peer.close()

    def _negotiate(self, peer, size):
        peer.sendall(GREETING)
        receive(peer, 4)
        while True:
            _, option, length = struct.unpack(">8sII", receive(peer, 16))
            receive(peer, length)
            reply = lambda kind, data=b"": peer.sendall(
                struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data
            )
            if option == EXPORT_NAME:
                peer.sendall(struct.pack(">QH", size, TRANSMISSION))
                return True
            if option == GO:
                reply(INFO, struct.pack(">HQH", 0, size, TRANSMISSION))
                reply(ACK)
                return True
            if option == ABORT:
                reply(ACK)
                return False
            reply(UNSUPPORTED)

    def _request(self, peer, behind):
        magic, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", receive(peer, 28))
        if magic != REQUEST_MAGIC or command == DISCONNECT:
            return False
        data = receive(peer, length) if command == WRITE else b""
        error, answer = 0, b""
        try:
            if command == READ:
                answer = bytes(behind.pread(length, offset))
            elif command == WRITE and not self._loses(offset):
                behind.pwrite(data, offset, nbd.CMD_FLAG_FUA if flags & FUA else 0)
            elif command == FLUSH:
                behind.flush()
        except nbd.Error:
            error = EIO
        peer.sendall(struct.pack(">IIQ", REPLY_MAGIC, error, cookie) + (answer if error == 0 else b""))
        return True

    def _loses(self, offset):
        self.writes += 1
        if self.writes == self.drop_from:
            self.lost_block = offset
        lost = offset == self.lost_block
        self.lost_writes += lost
        return lost


def receive(peer, length):
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < length:
        part = peer.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
