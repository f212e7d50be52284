//! TLS towards Redis: what is read once, and the handshake of each connection.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Whom to trust, and who we are. Read once, when it is made: other files count after a restart. Cheap to clone.
///
/// The name or address by which a server is reached must stand in its certificate.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// The files that it is made of, PEM each. An empty path: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates that sign the servers' own; none: those that the system trusts.
    pub ca: PathBuf,
    /// Our certificate, with those between it and its root; none: servers that ask for one refuse us.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// `ca`, or where that is none, what the system trusts.
    #[error("{why}")]
    Ca {
        /// What is wrong.
        why: String,
    },
    /// `certificate`.
    #[error("{why}")]
    Certificate {
        /// What is wrong.
        why: String,
    },
    /// `key`.
    #[error("{why}")]
    Key {
        /// What is wrong; nothing of what the file holds.
        why: String,
    },
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] says which of them cannot be used, and why.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let roots = roots(&files.ca).map_err(|why| TlsError::Ca { why })?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Ca { why: error.to_string() })?
            .with_root_certificates(roots);
        if is_none(&files.certificate) && is_none(&files.key) {
            return Ok(Self(Arc::new(builder.with_no_client_auth())));
        }
        let chain = certificates(&files.certificate).map_err(|why| TlsError::Certificate { why })?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| TlsError::Key { why: reading(&files.key, &error) })?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Key {
            why: format!(
                "{} does not go with the certificate in {}: {error}",
                files.key.display(),
                files.certificate.display()
            ),
        })?;
        Ok(Self(Arc::new(config)))
    }

    /// Encrypts a connection to the server called `host`: a name, or an address without brackets.
    ///
    /// # Errors
    /// The server is not who it should be, refuses us, or does not speak TLS.
    pub(crate) async fn handshake(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::other(format!("{host:?} can stand in no certificate")))?;
        TlsConnector::from(self.0.clone()).connect(name, stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl PartialEq for Tls {
    /// Whether both are clones of the same one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

fn is_none(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if is_none(file) {
        // Some that cannot be read leave the others.
        let (fine, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match fine {
            0 => Err("the system has no certificates to check the servers' with: name a file".into()),
            _ => Ok(roots),
        };
    }
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error| reading(file, &error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(failed)?.collect();
    match found.map_err(failed)? {
        none if none.is_empty() => Err(format!("{} holds no certificate (PEM)", file.display())),
        found => Ok(found),
    }
}

fn reading(file: &Path, error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    let file = file.display();
    match error {
        Error::Io(error) => format!("{file}: {error}"),
        Error::NoItemsFound => format!("{file} does not hold what it should (PEM)"),
        error => format!("{file}: {error}"),
    }
}
