"""Many sockets of python-socketio's AsyncClient, for the tests of another language: tests/support/clients/python.mjs.

Reads what to do and tells what happens, a line of JSON each; every line names its socket by a number:

    {"do": "open", "url", "ticket", "transports"}       {"is": "connect"}
    {"do": "emit", "event", "payload", "ask"}           {"is": "refused", "message", "data"}
    {"do": "disconnect"}                                {"is": "event", "name", "payload"}
    {"do": "cut"}                                       {"is": "answer", "ask", "answer"}
                                                        {"is": "disconnect", "reason"}
                                                        {"is": "gone"}: after a goodbye, nothing comes any more

`ask` is the number that the answer carries; without it none is asked for. Bytes in a payload are written as Node writes a Buffer.
Ends when its input ends.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys

import aiohttp
import socketio

REQUEST_S = 20
# More than the largest payload that a test sends.
LINE_BYTES = 64 << 20


class Socket:
    """One connection of python-socketio."""

    def __init__(self, number):
        self.number = number
        self.is_cut = False
        self.sockets = []

    async def open(self, url, transports, ticket=None):
        connector = aiohttp.TCPConnector(socket_factory=self.make_socket)
        self.session = aiohttp.ClientSession(connector=connector)
        # Each connection needs a ticket of its own: the library's reconnection would offer the used one.
        self.client = socketio.AsyncClient(
            reconnection=False, handle_sigint=False, request_timeout=REQUEST_S, http_session=self.session
        )
        self.client.on("*", lambda name, payload=None: self.tell("event", name=name, payload=payload))
        self.client.on("connect", lambda: self.tell("connect"))
        self.client.on("connect_error", self.refused)
        self.client.on("disconnect", lambda reason: self.tell("disconnect", reason=reason))
        # `connect_error` has told why not.
        with contextlib.suppress(socketio.exceptions.ConnectionError):
            auth = {} if ticket is None else {"ticket": ticket}
            await self.client.connect(url, auth=auth, transports=transports, wait=False)

    def make_socket(self, address):
        if self.is_cut:
            raise OSError("the network is cut")
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        self.sockets = [each for each in self.sockets if each.fileno() >= 0] + [made]
        return made

    def refused(self, error=None):
        words = error if isinstance(error, dict) else {"message": str(error)}
        self.tell("refused", message=words.get("message"), data=words.get("data"))

    async def emit(self, event, payload, ask=None):
        answer = None if ask is None else lambda answer=None: self.tell("answer", ask=ask, answer=answer)
        # A tuple, because None alone would be no argument. Nobody answers on a connection that has ended.
        with contextlib.suppress(socketio.exceptions.BadNamespaceError):
            await self.client.emit(event, (payload,), callback=answer)

    async def disconnect(self):
        # Asked while a request of its polling is under way, the library's writing ends without a goodbye.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.client.eio.queue.join(), 1)
        await self.client.disconnect()
        await self.session.close()
        self.tell("gone")

    async def cut(self):
        self.is_cut = True
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def tell(self, what, **report):
        print(json.dumps({"socket": self.number, "is": what, **report}), flush=True)


def buffers(value):
    """What Node has written as a Buffer is bytes."""
    return bytes(value["data"]) if value.get("type") == "Buffer" else value


async def obey(number, commands):
    """Does what one socket is told, one after the other."""
    one = Socket(number)
    while True:
        command = await commands.get()
        await getattr(one, command.pop("do"))(**command)


async def main():
    commands = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    queues = {}
    tasks = set()
    while line := await commands.readline():
        command = json.loads(line, object_hook=buffers)
        number = command.pop("socket")
        if number not in queues:
            queues[number] = asyncio.Queue()
            task = asyncio.create_task(obey(number, queues[number]))
            tasks.add(task)
            # A fault of this program ends it, and is told by the tests: a socket would hang otherwise.
            task.add_done_callback(lambda done: done.cancelled() or fail(done.exception()))
        queues[number].put_nowait(command)
    # Nobody is left to say goodbye for.
    os._exit(0)


def fail(error):
    sys.excepthook(type(error), error, error.__traceback__)
    os._exit(1)


asyncio.run(main())
