//! Binding a port, with an error that helps.

use std::io;

use tokio::net::TcpListener;

use crate::port_holder;

/// Why a port could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("port {port} on {host} is taken by {holder}: stop it, or set another port for {node}")]
    Taken {
        /// Whose port it should be.
        node: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// Who listens there, as far as the system tells.
        holder: String,
    },
    /// Anything else: no such address, not allowed.
    #[error("{node} cannot listen on {host}:{port}: {source}")]
    Other {
        /// Whose port it should be.
        node: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
}

/// Binds `host:port` for `node`; port 0 lets the system choose.
pub(crate) async fn bind(node: &str, host: &str, port: u16) -> Result<TcpListener, ListenError> {
    let (node, host) = (node.to_owned(), host.to_owned());
    TcpListener::bind((host.as_str(), port)).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let holder =
                port_holder::find(port).map_or("another process".to_owned(), |holder| holder.to_string());
            ListenError::Taken { node, host, port, holder }
        }
        _ => ListenError::Other { node, host, port, source },
    })
}
