"""A chat's main job with python-socketio: ticket, connect, ready, send, ack, resume, sync, kicked.

    main_job.py KIND TRANSPORT TICKET_URL TOKEN_OF_ALICE TOKEN_OF_BOB

KIND is `sync` (requests, websocket-client) or `async` (aiohttp); TRANSPORT is `websocket`, `polling`, or `both`: polling that goes
over to WebSocket. Ends with 0 where everything was as docs/protocol.md says.
"""

import asyncio
import json
import sys
import urllib.request

import socketio

BUDGET_S = 20


def ticket(ticket_url, token, device):
    """`POST /v1/tickets`."""
    request = urllib.request.Request(
        f"{ticket_url}/v1/tickets",
        data=json.dumps({"device": device}).encode(),
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=BUDGET_S) as response:
        return json.load(response)


class Device:
    """One device of a user over all its connections: what it was told stands in `events`."""

    def __init__(self, kind, transports, ticket_url, token, name):
        self.kind, self.transports = kind, transports
        self.ticket_url, self.token, self.name = ticket_url, token, name

    async def connect(self):
        given = ticket(self.ticket_url, self.token, self.name)
        self.events = asyncio.Queue()
        self.messages = []
        self.refused = None
        self.loop = asyncio.get_running_loop()
        # Each connection needs a ticket of its own: the library's reconnection would offer the used one.
        make = socketio.AsyncClient if self.kind == "async" else socketio.Client
        self.client = make(reconnection=False)
        if self.kind == "async":
            self.client.on("*", self.heard_async)
        else:
            self.client.on("*", self.heard)
        options = {"auth": {"ticket": given["ticket"]}, "transports": self.transports, "wait_timeout": BUDGET_S}
        await self.call(self.client.connect, given["spear"]["url"], **options)
        assert self.client.transport() == self.transports[-1], self.client.transport()
        ready = await self.next("ready")
        assert ready["protocol"] == 1 and ready["device"] == self.name, ready
        return ready

    def heard(self, name, payload):
        self.loop.call_soon_threadsafe(self.events.put_nowait, (name, payload))

    async def heard_async(self, name, payload):
        self.heard(name, payload)

    async def call(self, function, *arguments, **options):
        """Calls the library, which is asynchronous or a thread's."""
        if self.kind == "async":
            return await asyncio.wait_for(function(*arguments, **options), BUDGET_S)
        return await asyncio.wait_for(asyncio.to_thread(function, *arguments, **options), BUDGET_S)

    async def next(self, wanted):
        """The next event of this name; others before it must not have come."""
        name, payload = await asyncio.wait_for(self.events.get(), BUDGET_S)
        assert name == wanted, f"{self.name} waited for {wanted}, got {name} {payload}"
        return payload

    async def ask(self, event, payload):
        return await self.call(self.client.call, event, payload, timeout=BUDGET_S)

    async def must(self, event, payload):
        answer = await self.ask(event, payload)
        assert answer["ok"] is True, f"{event}: {answer}"
        return answer

    async def close(self):
        await self.call(self.client.disconnect)


async def main_job(kind, transports, ticket_url, token_of_alice, token_of_bob):
    alice = Device(kind, transports, ticket_url, token_of_alice, "python-a")
    bob = Device(kind, transports, ticket_url, token_of_bob, "python-b")
    assert (await alice.connect())["resumed"] is False
    bobs = (await bob.connect())["user"]

    # Stored, delivered, in order; a repeated cid is stored once.
    sent = [await alice.must("send", {"to": {"user": bobs}, "cid": f"c-{n}", "body": {"text": f"ünd {n} ☕"}}) for n in (1, 2, 3)]
    again = await alice.must("send", {"to": {"user": bobs}, "cid": "c-3", "body": {"text": "ünd 3 ☕"}})
    assert [answer["seq"] for answer in sent] == [1, 2, 3], sent
    assert (again["id"], again["duplicate"]) == (sent[2]["id"], True), again
    for n in (1, 2, 3):
        message = await bob.next("message")
        assert (message["seq"], message["id"], message["body"]["text"]) == (n, sent[n - 1]["id"], f"ünd {n} ☕"), message
    conversation = sent[0]["conversation"]

    # What was not confirmed comes again, what was confirmed does not.
    await bob.must("ack", {"conversation": conversation, "seq": 2})
    await bob.close()
    await alice.must("send", {"to": {"user": bobs}, "body": 4})
    assert (await bob.connect())["resumed"] is True
    assert [(await bob.next("message"))["seq"] for _ in range(2)] == [3, 4]

    # History, a refusal, and an event that nobody knows.
    page = await bob.must("sync", {"conversation": conversation, "after": 0, "limit": 3})
    assert ([message["seq"] for message in page["messages"]], page["more"], page["last_seq"]) == ([1, 2, 3], True, 4), page
    refused = await bob.ask("sync", {"conversation": "u:x:y"})
    assert (refused["ok"], refused["error"]["code"]) == (False, "forbidden"), refused
    assert (await bob.ask("no-such-event", {}))["error"]["code"] == "bad_request"
    binary = await bob.ask("send", {"to": {"user": bobs}, "body": b"bytes"})
    assert binary["error"]["code"] == "bad_request", binary

    # The same device again replaces the older connection.
    newer = Device(kind, transports, ticket_url, token_of_bob, "python-b")
    await newer.connect()
    assert await bob.next("kicked") == {"reason": "replaced", "reconnect": False}
    await newer.close()
    await alice.close()


if __name__ == "__main__":
    KIND, TRANSPORT, *ARGUMENTS = sys.argv[1:]
    TRANSPORTS = ["polling", "websocket"] if TRANSPORT == "both" else [TRANSPORT]
    asyncio.run(main_job(KIND, TRANSPORTS, *ARGUMENTS))
    print("done")
