"""A back end for Phalanx: a concierge, who lets users into a team when they ask for it.

It sends messages and manages a group over the business API (docs/api.md), and reacts to what it is told by webhooks (docs/webhooks.md).
Users write to "concierge": `join`, `leave`, or anything else to be told how it works. See README.md beside this file for how to start it.
"""

import asyncio
import logging
import os

from aiohttp import ClientSession, ClientTimeout, web
from standardwebhooks import Webhook, WebhookVerificationError

API = os.environ.get("PHALANX_API", "http://127.0.0.1:50100")
KEY = os.environ.get("PHALANX_API_KEY", "dev-api-key")
SECRET = os.environ["WEBHOOK_SECRET"]
PORT = int(os.environ.get("PORT", "8080"))
ME, TEAM = "concierge", "team"
HELP = 'Write "join" to come into the team, and "leave" to go.'
RETRY_S, REMEMBERED = 0.5, 10_000

log = logging.getLogger("back-end")


class Phalanx:
    """Calls of the business API. What is unavailable is asked for again: each call may be made twice."""

    def __init__(self, session: ClientSession):
        self.session = session

    async def call(self, method: str, path: str, body: dict | None = None) -> dict | None:
        while True:
            try:
                async with self.session.request(method, API + path, json=body) as answer:
                    if answer.status < 400:
                        return None if answer.status == 204 else await answer.json()
                    problem = await answer.json()
                    if answer.status not in (429, 503):
                        raise RuntimeError(f"{method} {path}: {problem['code']}: {problem['detail']}")
                    pause = float(answer.headers.get("Retry-After", RETRY_S))
            except (OSError, asyncio.TimeoutError) as error:
                log.warning("%s %s: %s", method, path, error)
                pause = RETRY_S
            await asyncio.sleep(pause)

    async def send(self, to: dict, text: str, cid: str) -> None:
        """The same `cid` again stores nothing, so an event that comes twice is answered once."""
        await self.call("POST", "/v1/messages", {"from": ME, "to": to, "body": text, "cid": cid[-64:]})


async def react(phalanx: Phalanx, message: dict) -> None:
    """To a message to the concierge."""
    user, wish, cid = message["from"], message["body"], f"re:{message['id']}"
    log.info("%s writes %r", user, wish)
    if wish == "join":
        await phalanx.call("PUT", f"/v1/groups/{TEAM}/members", {"users": [user]})
        await phalanx.send({"group": TEAM}, f"{user} has come in", cid)
    elif wish == "leave":
        await phalanx.call("DELETE", f"/v1/groups/{TEAM}/members", {"users": [user]})
        await phalanx.send({"user": user}, "You have left the team.", cid)
    else:
        await phalanx.send({"user": user}, HELP, cid)


async def take_events(request: web.Request) -> web.Response:
    try:
        # Of the body as it came: written anew it might differ.
        events = Webhook(SECRET).verify(await request.text(), dict(request.headers))["events"]
    except WebhookVerificationError as error:
        log.warning("refused a request: %s", error)
        return web.Response(status=401)
    seen = request.app["seen"]
    for event in events:
        if event["type"] != "message" or event["message"]["to"] != {"user": ME} or event["id"] in seen:
            continue
        # Done before it is answered: were we to die in between, it would come again.
        try:
            await react(request.app["phalanx"], event["message"])
        except RuntimeError as error:
            # Refused for good: it would be each time, and hold up what comes after it.
            log.error("nothing came of %s: %s", event["id"], error)
        seen[event["id"]] = None
        if len(seen) > REMEMBERED:
            del seen[next(iter(seen))]
    return web.Response(status=204)


async def connect(app: web.Application):
    async with ClientSession(headers={"Authorization": f"Bearer {KEY}"}, timeout=ClientTimeout(total=15)) as session:
        app["phalanx"] = Phalanx(session)
        await app["phalanx"].call("PUT", f"/v1/groups/{TEAM}", {"name": "The team"})
        await app["phalanx"].call("PUT", f"/v1/groups/{TEAM}/members", {"users": [ME]})
        yield


logging.basicConfig(level=logging.INFO)
application = web.Application()
application["seen"] = {}
application.cleanup_ctx.append(connect)
application.router.add_post("/phalanx", take_events)
web.run_app(application, host="127.0.0.1", port=PORT)
