#!/usr/bin/env python3
"""Fills a chat server with members and measures it (standard library only, Linux).

usage: load.py PID HOST:PORT MEMBERS ROOMS MESSAGES

Joins MEMBERS, spread over ROOMS, says MESSAGES in the first room, one every quarter of a second, and prints what the
process PID needs, and how long a message takes until every member of the room has it. Everybody is on this machine, and
the members' side takes processor time too. Ends within three minutes.
"""

import json
import os
import select
import socket
import sys
import time

DEADLINE = time.monotonic() + 180
TICK_S = os.sysconf("SC_CLK_TCK")
UPGRADE = (
    "GET /chat HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def frame(request):
    """A text frame, masked with zeros: these members have nothing to hide from a proxy."""
    payload = json.dumps(request).encode()
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + payload


class Members:
    def __init__(self, host, count, rooms):
        self.poll = select.epoll()
        self.sockets = {}
        self.waiting = None
        address, port = host.rsplit(":", 1)
        for number in range(count):
            member = socket.create_connection((address, int(port)))
            room = f"room-{number % rooms}"
            session = f"session-of-member-{number}"
            join = {"type": "join", "room": room, "name": f"member {number}", "session": session}
            member.sendall(UPGRADE.format(host).encode())
            self.read_until(member, b"\r\n\r\n")
            member.sendall(frame(join))
            self.read_until(member, b'"type":"welcome"')
            member.setblocking(False)
            self.sockets[member.fileno()] = member
            self.poll.register(member, select.EPOLLIN)

    @staticmethod
    def read_until(member, wanted):
        member.settimeout(30)
        got = b""
        while wanted not in got:
            more = member.recv(65536)
            if not more:
                sys.exit(f"the server has hung up: {got}")
            got += more

    def read(self, wanted, seconds):
        """Reads what comes, until `wanted` has come to everybody of a room or the time is over; returns how many got it."""
        until = min(time.monotonic() + seconds, DEADLINE)
        got = 0
        while got < wanted[1] and time.monotonic() < until:
            for descriptor, _ in self.poll.poll(max(0, until - time.monotonic())):
                data = self.sockets[descriptor].recv(65536)
                if not data:
                    sys.exit("the server has hung up on a member")
                if data[0] == 0x89:  # A ping comes by itself here, so it is at the front.
                    size = data[1]
                    self.sockets[descriptor].send(bytes([0x8A, 0x80 | size]) + bytes(4) + data[2 : 2 + size])
                got += wanted[0] in data
        return got


def status(pid):
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    with open(f"/proc/{pid}/stat") as file:
        times = file.read().rsplit(")", 1)[1].split()
    return {
        "memory_kib": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "processor_s": (int(times[11]) + int(times[12])) / TICK_S,
    }


def main():
    pid, host, count, rooms, messages = sys.argv[1:]
    pid, count, rooms, messages = int(pid), int(count), int(rooms), int(messages)
    before = status(pid)
    began = time.monotonic()
    members = Members(host, count, rooms)
    took = time.monotonic() - began
    joined = status(pid)
    print(f"{count} members in {rooms} rooms joined in {took:.1f} s, {joined['processor_s'] - before['processor_s']:.1f} s of processor time")
    members.read((b"never", 1), 10)  # Who is here is told to everybody, and that settles.

    idle = status(pid)
    members.read((b"never", 1), 10)
    now = status(pid)
    print(f"idle: {now['threads']} threads, {now['descriptors']} descriptors, {now['memory_kib'] / 1024:.0f} MiB, "
          f"{(now['memory_kib'] - before['memory_kib']) / count:.1f} KiB a member, "
          f"{(now['processor_s'] - idle['processor_s']) * 10:.1f} % of a processor")

    in_room = len(range(0, count, rooms))
    speaker = next(iter(members.sockets.values()))
    durations = []
    for number in range(messages):
        text = f"message {number} of the load"
        began = time.monotonic()
        speaker.send(frame({"type": "say", "id": number + 1, "text": text}))
        got = members.read((text.encode(), in_room), 20)
        if got != in_room:
            sys.exit(f"message {number} came to {got} of {in_room}")
        durations.append(time.monotonic() - began)
        members.read((b"never", 1), max(0, 0.25 - durations[-1]))
    after = status(pid)
    durations.sort()
    print(f"{messages} messages to {in_room} members each: until the last has it, median {durations[messages // 2] * 1000:.0f} ms, "
          f"longest {durations[-1] * 1000:.0f} ms; {(after['processor_s'] - now['processor_s']) / messages / in_room * 1e6:.1f} us of the server's "
          f"processor time a member; {after['memory_kib'] / 1024:.0f} MiB then")


if __name__ == "__main__":
    main()
