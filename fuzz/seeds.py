#!/usr/bin/env python3
"""Makes the first inputs of every fuzz target from the captures in the repository: fuzz/corpus/TARGET/seed-….

The same captures give the same files. What a target takes is said in its harness in fuzz/src; how an input is divided, in
fuzz/src/input.rs.
"""
import gzip
import hashlib
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"

ETHERNET, NULL, RAW, WLAN, LOOP, SLL, RADIOTAP, IPV4, IPV6, SLL2 = range(10)
"""Link types by their place in fuzz/src/traffic.rs."""
SYN, ACK, FIN, PSH = 2, 16, 1, 8
MOST_SEEDS = 150


def save(target, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("seed-" + hashlib.sha1(data).hexdigest()[:16])).write_bytes(data)


def divided(pieces, settings=0):
    """An input of pieces, each with its control bytes."""
    pieces = pieces[:255]
    steps = b"".join(control + struct.pack("<H", len(piece)) for control, piece in pieces)
    return b"".join(piece for _, piece in pieces) + steps + bytes([len(pieces), settings])


def pcap_frames(data):
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16:at + 16 + length]
        at += 16 + length


def pcapng_blocks(data):
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, data[at:at + length]
        at += length


def pcapng_frames(data):
    for kind, block in pcapng_blocks(data):
        if kind == 6:
            length = struct.unpack_from("<I", block, 20)[0]
            yield block[28:28 + length]


def layers(frame):
    """EtherType or SNAP organisation and protocol, and what follows."""
    kind, rest = frame[12:14], frame[14:]
    while kind in (b"\x81\x00", b"\x88\xa8"):
        kind, rest = rest[2:4], rest[4:]
    if int.from_bytes(kind, "big") <= 1500 and rest[:3] == b"\xaa\xaa\x03":
        return rest[3:8], rest[8:int.from_bytes(kind, "big")]
    return kind, rest


def transport(frame):
    """Protocol, both ends, and the transport's header and data, of a whole IPv4 packet; else nothing."""
    kind, ip = layers(frame)
    if kind != b"\x08\x00" or len(ip) < 20:
        return None
    header, length = (ip[0] & 15) * 4, int.from_bytes(ip[2:4], "big")
    data = ip[header:length]
    if ip[9] not in (6, 17) or len(data) < 8:
        return None
    return ip[9], (ip[12:16], data[0:2]), (ip[16:20], data[2:4]), data


def conversations(frames):
    """What each TCP connection's sides said, in turn: (is the first speaker, bytes)."""
    found = {}
    for packet in filter(None, map(transport, frames)):
        proto, source, target, data = packet
        if proto != 6 or len(data) < 20:
            continue
        payload, seq = data[(data[12] >> 4) * 4:], int.from_bytes(data[4:8], "big")
        if not payload:
            continue
        first, turns, seen = found.setdefault(frozenset((source, target)), (source, [], set()))
        if (source, seq) not in seen:
            seen.add((source, seq))
            turns.append((source == first, payload))
    return [turns for _, turns, _ in found.values()]


def clipped(turns, most):
    for first, payload in turns:
        if most <= 0:
            return
        yield first, payload[:most]
        most -= len(payload)


def datagrams(frames):
    place = {b"\x08\x06": "arp", b"\x88\xcc": "lldp", b"\x00\x00\x0c\x20\x00": "cdp"}
    for frame in frames:
        kind, rest = layers(frame)
        packet = transport(frame)
        if kind in place:
            for origin in (0, 4):
                yield place[kind], rest + bytes([origin])
        elif packet and packet[0] == 17 and packet[3][2:4] in (b"\0C", b"\0D", b"\x0f\xab"):
            to_server = packet[3][2:4] == b"\0C"
            yield "dhcp", packet[3][8:] + bytes([0 if to_server else 1])
            yield "dhcp", packet[3][8:] + bytes([2])
        elif packet and packet[0] == 17 and b"\x005" in (packet[3][:2], packet[3][2:4]):
            yield "dns", packet[3][8:] + bytes([1])


def as_stream(turns):
    return [(bytes([first]), payload) for first, payload in clipped(turns, 6_000)]


def as_script(turns, connection):
    """A connection from its handshake to its end, for the reassembly target."""
    def step(first, flags, payload=b"", seq=0, later=0):
        return (struct.pack("<BBhh", connection | first << 2 | later << 5, flags, seq, 0), payload)
    talk = [step(first, ACK | PSH, payload) for first, payload in clipped(turns, 700)]
    opening = [step(1, SYN), step(0, SYN | ACK), step(1, ACK)]
    ending = [step(1, FIN | ACK), step(0, FIN | ACK)]
    yield opening + talk + ending
    yield talk
    # One side goes on far from where it stood.
    far = struct.pack("<BBHH", connection | 1 << 2 | 1 << 3, ACK, 0x1000, 0)
    yield opening + talk + [(far, talk[0][1])] + talk[1:]
    if len(talk) > 1:
        # The second segment is lost, then the first one comes again and reaches into it.
        yield opening + talk[:1] + [(control[:2] + struct.pack("<hh", 40, 0), p) for control, p in talk[2:]] + ending
        yield opening + talk[:1] + [step(1, ACK, talk[0][1], -len(talk[0][1]) // 2)] + talk[1:] + ending
        # What is behind a hole waits, and is given up in time.
        yield opening + [step(1, ACK, talk[0][1], 200), step(0, ACK, later=3), step(1, ACK, talk[0][1], 300, 4)]


def fragments(datagram, udp, six, ident, cut=64):
    kind = (3 if six else 2) << 3 | 1 << 2
    for at in range(0, len(datagram), cut):
        more = at + cut < len(datagram)
        yield struct.pack("<BBHH", kind, more | udp << 1 | ident << 2, at // 8, 0), datagram[at:at + cut]


def internet(source, target, proto, data):
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 7, 0, 64, proto, 0) + source + target + data


def internet6(next_header, data):
    return struct.pack(">IHBB", 6 << 28, len(data), next_header, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + data


def udp(port, data):
    return struct.pack(">HHHH", 40_000, port, 8 + len(data), 0) + data


def wrapped(frame):
    """The frame in every encapsulation that is read, and as other link types hold it."""
    macs, kind, packet = frame[:12], frame[12:14], frame[14:]
    a, b = b"\x0a\x14\x00\x01", b"\x0a\x14\x00\x02"

    def outer(proto, data):
        return ETHERNET, macs + b"\x08\x00" + internet(a, b, proto, data)
    six = kind == b"\x86\xdd"
    yield ETHERNET, macs + b"\x88\xa8\x00\x64\x81\x00\x00\x14" + kind + packet
    yield outer(47, b"\x00\x00\x88\xbe" + frame)
    yield outer(47, b"\x10\x00\x88\xbe\0\0\0\1" + struct.pack(">II", 0x10140005, 0) + frame)
    yield outer(47, b"\x10\x00\x22\xeb\0\0\0\1" + struct.pack(">III", 0x20140005, 0, 0) + frame)
    yield outer(47, b"\x20\x00" + kind + b"\0\0\0\7" + packet)
    yield outer(47, b"\x20\x00\x65\x58\0\0\7\0" + frame)
    yield outer(17, udp(4_789, b"\x08\0\0\0\0\0\7\0" + frame))
    yield outer(17, udp(6_081, b"\x01\0\x65\x58\0\0\7\0\0\0\0\0" + frame))
    snap = b"\xaa\xaa\3\0\0\0" + kind + packet
    yield outer(17, udp(5_247, b"\x00\x20\x03\x20\0\0\0\0" + b"\x08\x01\0\0" + macs + macs[:6] + b"\0\0" + snap))
    yield outer(97, b"\x30\x00" + frame)
    yield outer(41 if six else 4, packet)
    yield outer(137, b"\x00\x06\x41\x40" + packet)
    yield ETHERNET, macs + b"\x88\x47" + b"\x00\x06\x40\x40" + b"\x00\x07\x41\x40" + packet
    yield ETHERNET, macs + b"\x88\x47" + b"\x00\x07\x41\x40" + bytes(4) + frame
    ppp = (b"\0\x57" if six else b"\0\x21") + packet
    yield ETHERNET, macs + b"\x88\x64" + struct.pack(">BBHH", 0x11, 0, 9, len(ppp)) + ppp
    yield ETHERNET, macs + b"\x89\x26" + b"\x00\x01\x00\x02" + kind + packet
    yield ETHERNET, macs + b"\x88\xe7" + b"\x00\x00\x00\x07" + frame
    last = b"\x29" if six else b"\x04"
    extensions = b"\x2b\0\1\4\0\0\0\0" + b"\x3c\0\0\0\0\0\0\0" + last + b"\0\1\4\0\0\0\0"
    yield ETHERNET, macs + b"\x86\xdd" + internet6(0, extensions + packet)
    yield ETHERNET, macs + b"\x86\xdd" + internet6(51, b"\x2c\4" + bytes(22) + last + b"\0\0\0\0\0\0\7" + packet)
    yield NULL, b"\x02\0\0\0" + packet
    yield LOOP, b"\0\0\0\x02" + packet
    for link in (RAW, IPV6 if six else IPV4):
        yield link, packet
    yield SLL, b"\0\0\0\1\0\6" + macs[6:] + b"\0\0" + kind + packet
    yield SLL2, kind + b"\0\0\0\0\0\1\0\1\0\6" + macs[6:] + b"\0\0" + packet
    air = b"\x88\x02\0\0" + macs + macs[:6] + b"\0\0\0\0" + snap
    yield WLAN, air
    yield RADIOTAP, b"\0\0\x08\0\0\0\0\0" + air


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(order, kind, body):
    length = 12 + len(body) + -len(body) % 4
    return struct.pack(order + "II", kind, length) + body + bytes(-len(body) % 4) + struct.pack(order + "I", length)


def pcapng(frames, order):
    out = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    options = option(order, 2, b"eth0") + option(order, 9, b"\x09") + option(order, 14, struct.pack(order + "q", 3))
    out += block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + options + bytes(4))
    out += block(order, 1, struct.pack(order + "HHI", 101, 0, 96) + option(order, 9, b"\x8a"))
    for n, frame in enumerate(frames):
        head = struct.pack(order + "IIII", 0x5A0, n << 20, len(frame), len(frame) + n)
        out += (block(order, 6, struct.pack(order + "I", n % 3) + head + frame + option(order, 1, b"comment"))
                if n % 4 < 2 else
                block(order, 2, struct.pack(order + "HH", n % 2, 1) + head + frame) if n % 4 == 2 else
                block(order, 3, struct.pack(order + "I", len(frame)) + frame))
    return out + block(order, 5, bytes(12)) + block(order, 0xBAD, bytes(32))


def turned(capture):
    """A little-endian pcap as big-endian."""
    out = struct.pack(">IHHIIII", *struct.unpack_from("<IHHIIII", capture))
    at = 24
    while at + 16 <= len(capture):
        head = struct.unpack_from("<IIII", capture, at)
        out += struct.pack(">IIII", *head) + capture[at + 16:at + 16 + head[2]]
        at += 16 + head[2]
    return out


def zstd(data):
    """Blocks as they are, then one of a byte many times."""
    blocks = [struct.pack("<I", len(part) << 3)[:3] + part for part in (data[:100], data[100:])]
    last = struct.pack("<I", 1 | 1 << 1 | 1_000 << 3)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data) + 1_000) + b"".join(blocks) + last


def formats(captures, ward):
    small = [capture for capture in captures if len(capture) <= 4_000]
    for capture in small:
        save("pcap", capture[4:] + bytes([2 | 8]))
        save("pcap", turned(capture)[4:] + bytes([3 | 16]))
        save("compressed", gzip.compress(capture, mtime=0))
    one, two = small[0], small[-1]
    for variant, capture in enumerate((one, turned(one), one, turned(one), one, turned(one))):
        save("pcap", capture[4:] + capture + bytes([variant | 24]))
    for data in (one, one + two, gzip.compress(one, mtime=0) + gzip.compress(two, mtime=0), zstd(one), zstd(one) * 2,
                 b"\x50\x2a\x4d\x18\2\0\0\0ab" + zstd(two), ward[:2_000]):
        save("compressed", data)
    for order in "<>":
        files = [pcapng(list(pcap_frames(capture)), order) for capture in small]
        for file in files:
            save("pcapng", file[4:] + b"\x18")
        save("compressed", gzip.compress(files[0], mtime=0))
    save("pcapng", pcapng(list(pcap_frames(one)), "<")[4:] + pcapng(list(pcap_frames(two)), ">") + b"\x08")
    save("pcapng", ward[4:8_000] + b"\x08")


def main():
    paths = sorted(ROOT.glob("dissectors/*/fixtures/*.pcap"))
    captures = {path: path.read_bytes() for path in paths}
    ward = (ROOT / "fixtures" / "ward.pcapng").read_bytes()
    ward_frames = list(pcapng_frames(ward))
    everything = [frame for capture in captures.values() for frame in pcap_frames(capture)] + ward_frames

    by_target = {}
    for target, data in datagrams(everything):
        by_target.setdefault(target, {})[data] = None
    for path, capture in captures.items():
        name = path.parts[-3]
        if name in ("dicom", "dns", "hl7", "tls"):
            for turns in conversations(pcap_frames(capture)):
                seeds = by_target.setdefault(name, {})
                seeds[divided(as_stream(turns), 1 + 2 * (len(seeds) % 9))] = None
    for turns in conversations(ward_frames):
        start = turns[0][1]
        name = "hl7" if b"MSH|" in start[:8] else "dicom" if start[:2] == b"\1\0" else None
        if name:
            by_target[name][divided(as_stream(turns), 1 + 2 * (len(by_target.get(name, ())) % 9))] = None
            for script in as_script(turns, len(by_target["hl7"]) % 4):
                by_target.setdefault("reassembly", {})[divided(script, 1)] = None
                by_target["reassembly"][divided(script, 3)] = None

    lease = next(transport(frame)[3] for frame in everything if (transport(frame) or b"\0")[0] == 17)
    for six in (0, 1):
        parts = list(fragments(lease, 1, six, 1))
        by_target["reassembly"][divided(parts, 1)] = None
        by_target["reassembly"][divided(parts[::-1] + parts[1:], 3)] = None
        many = [part for n in range(8) for part in fragments(lease[:40], 1, six, n, 24)]
        by_target["reassembly"][divided(many, 0xf2)] = None

    seen = set()
    for n in range(0, len(ward_frames), 8):
        group = [frame for frame in ward_frames[n:n + 8] if len(frame) < 900 or n % 64 == 0][:5]
        shape = frozenset((layers(frame)[0], len(frame) // 64, frame[36:38]) for frame in group)
        if not shape <= seen:
            seen |= shape
            by_target.setdefault("decode", {})[divided([(bytes(3), frame) for frame in group], n // 8 % 4 == 0)] = None
    for capture in captures.values():
        frames = list(pcap_frames(capture))[:12]
        by_target["decode"][divided([(bytes(3), frame) for frame in frames], 3)] = None
    by_kind = {layers(frame)[0]: frame for frame in everything if frame[12:14] in (b"\x08\x00", b"\x86\xdd")}
    for frame in by_kind.values():
        for link, inside in wrapped(frame):
            by_target["decode"][divided([(bytes([link, 0, 0]), inside)])] = None

    for target, inputs in by_target.items():
        step = max(1, len(inputs) // MOST_SEEDS)
        for data in list(inputs)[::step]:
            save(target, data)
    formats(list(captures.values()), ward)


main()
