# The other end of an IP-in-IP tunnel, in user space and by the words of RFC 2003 alone: a raw socket of protocol 4 on one side,
# a TUN device on the other. Prints one JSON object per packet that it unpacked.
#
#   ipip-peer.py LOCAL REMOTE DEVICE [options]      options: outer headers with IP options
import fcntl, json, os, select, socket, struct, sys

local, remote, device = sys.argv[1:4]
options = b'\x01' * 4 if sys.argv[4:] == ['options'] else b''

tun = os.open('/dev/net/tun', os.O_RDWR)
IFF_TUN_NO_PI = 0x1001
TUNSETIFF = 0x400454CA
fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', device.encode(), IFF_TUN_NO_PI))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)
IP_HDRINCL = 3
raw.setsockopt(socket.IPPROTO_IP, IP_HDRINCL, 1)
raw.bind((local, 0))
print('ready', flush=True)
serial = 4711


def packed(inner):
    """Identification and TTL differ from the inner header's on purpose; the kernel fills the checksum in."""
    global serial
    serial = (serial + 1) & 0xFFFF
    words = 5 + len(options) // 4
    dont_fragment = struct.unpack('>H', inner[6:8])[0] & 0x4000
    head = struct.pack('>BBHHHBBH', 0x40 | words, inner[1], words * 4 + len(inner), serial, dont_fragment, 17, 4, 0)
    return head + socket.inet_aton(local) + socket.inet_aton(remote) + options + inner


while True:
    for ready in select.select([raw, tun], [], [])[0]:
        if ready is tun:
            inner = os.read(tun, 65535)
            if inner[0] >> 4 == 4:
                raw.sendto(packed(inner), (remote, 0))
            continue
        packet, sender = raw.recvfrom(65535)
        if sender[0] != remote:
            continue
        inner = packet[20:]
        seen = {'outer': packet[:20].hex(), 'inner': inner[:20].hex(), 'bytes': len(inner)}
        print(json.dumps(seen), flush=True)
        os.write(tun, inner)
