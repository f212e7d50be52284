// What the tests of this process have open, so that nothing outlives its test.

const open = new Set();

/** Notes something that has a `close()`. */
export function noteSession(session) {
  open.add(session);
  return session;
}

/** Closes everything that was noted. */
export async function closeSessions() {
  const sessions = [...open];
  open.clear();
  await Promise.all(sessions.map((session) => session.close()));
}
