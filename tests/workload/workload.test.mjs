// Given many users whose devices come and go, groups that change, rooms, messages that are taken back, connections that are cut in the
// middle of a frame, a relay that loses, repeats, delays and reorders, and a node that is killed, when everything has healed, then no
// promise was broken.

import { storm } from './storm.mjs';

// A tenth to a quarter of what a run does on two cores that have nothing else to do: below this it has not tried.
const AT_LEAST = {
  acknowledged: 200,
  deliveries: 4_000,
  duplicates: 60,
  reconnects: 50,
  cuts: 20,
  takeovers: 10,
  pauses: 10,
  kills: 1,
  'changes of members': 40,
  'own joinings': 4,
  'own leavings': 3,
  'sends without an answer': 10,
  'refused: not_member': 10,
  recalls: 20,
  recalled: 400,
  tombstones: 200,
  'recall: forbidden': 1,
  'read marks': 20,
  receipts: 200,
  'said in rooms': 80,
  'heard in rooms': 200,
  'signals that came': 60,
  'spears: gaps_total': 20,
};

storm('the promises hold in a storm', { seconds: 20 }, AT_LEAST);
