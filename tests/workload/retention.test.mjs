// Given the same storm on a cluster that keeps few messages of each conversation, when everything has healed, then whatever retention
// took was told to those who had not got it, and nothing else was.

import { storm } from './storm.mjs';

// A tenth to a quarter of what a run does on two cores that have nothing else to do.
const AT_LEAST = {
  acknowledged: 80,
  deliveries: 800,
  reconnects: 20,
  takeovers: 3,
  recalls: 5,
  gaps: 100,
  kills: 1,
};

storm('what retention takes is told in a storm', { seconds: 10, users: 18, kept: 15 }, AT_LEAST);
