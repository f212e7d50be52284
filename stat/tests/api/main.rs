//! The business API of real stat nodes, over real sockets, on an embedded roster, relay and store.

mod cluster;
mod documented;
mod drain;
mod fake_idgen;
mod groups;
mod messages;
mod openapi;
mod personal;
mod refusals;
mod support;
