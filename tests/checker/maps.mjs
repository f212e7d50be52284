// Maps of maps, which the rules keep what they have seen in.

/** The map that a map has at a key; the first one to ask makes it. */
export function of(map, key) {
  let found = map.get(key);
  if (!found) map.set(key, (found = new Map()));
  return found;
}

/** What a map of maps has at a place; the first one to ask makes it. */
export function at(map, outer, inner, make) {
  const found = of(map, outer);
  if (!found.has(inner)) found.set(inner, make());
  return found.get(inner);
}
