//! What servers may ask of whoever connects: TLS, a certificate, a user and a password.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use tempfile::TempDir;

/// Certificates that `openssl` makes anew: an authority, one for servers at 127.0.0.1 (by no name), one for clients.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them.
    pub fn make() -> Self {
        let directory =
            tempfile::Builder::new().prefix("phalanx-certificates-").tempdir().expect("a directory");
        let made = Self { directory };
        // The system's own file would add what belongs to an authority to each of them.
        std::fs::write(made.file("empty.cnf"), "[req]\ndistinguished_name = name\n[name]\n").expect("a file");
        made.openssl("ca", &["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]);
        made.openssl("server", &["subjectAltName=IP:127.0.0.1", "basicConstraints=critical,CA:FALSE"]);
        made.openssl("client", &["basicConstraints=critical,CA:FALSE"]);
        made
    }

    /// The authority that has signed the others.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// For a client.
    pub fn certificate(&self) -> PathBuf {
        self.file("client.pem")
    }

    /// The key of [`Certificates::certificate`].
    pub fn key(&self) -> PathBuf {
        self.file("client.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Of no other ones.
    fn name(&self) -> Cow<'_, str> {
        self.directory.path().file_name().unwrap_or_default().to_string_lossy()
    }

    fn openssl(&self, name: &str, extensions: &[&str]) {
        let mut command = Command::new("openssl");
        command
            .args(["req", "-x509", "-config", "empty.cnf", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={name} of {}", self.name())])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .args(extensions.iter().flat_map(|extension| ["-addext", *extension]));
        if name != "ca" {
            command.args(["-CA", "ca.pem", "-CAkey", "ca.key"]);
        }
        let done = command.current_dir(self.directory.path()).stdin(Stdio::null()).output();
        let done = done.expect("openssl can be run");
        assert!(done.status.success(), "no certificate: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// Redis servers that speak TLS only, to whoever logs in as [`Guard::USER`]. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    certificates: Arc<Certificates>,
    asks_for_certificate: bool,
}

impl Guard {
    /// Who may do everything on the servers; nobody else may do anything.
    pub const USER: &str = "phalanx";
    /// Their password there.
    pub const PASSWORD: &str = "password-of-the-servers";
    /// The password of the Sentinels, for the default user.
    pub const SENTINEL_PASSWORD: &str = "password-of-the-sentinels";

    /// With certificates of its own.
    pub fn new() -> Self {
        Self { certificates: Arc::new(Certificates::make()), asks_for_certificate: false }
    }

    /// The same, but clients must show a certificate too.
    pub fn asking_for_certificates(self) -> Self {
        Self { asks_for_certificate: true, ..self }
    }

    /// Those that it works with.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Options of a server on this port, which a Sentinel has too: a name and its value each.
    pub(crate) fn tls(&self, port: u16) -> Vec<(&'static str, String)> {
        let file = |name: &str| text(&self.certificates.file(name));
        let yes_or_no = if self.asks_for_certificate { "yes" } else { "no" };
        vec![
            ("port", "0".into()),
            ("tls-port", port.to_string()),
            ("tls-cert-file", file("server.pem")),
            ("tls-key-file", file("server.key")),
            ("tls-ca-cert-file", file("ca.pem")),
            ("tls-auth-clients", yes_or_no.into()),
            ("tls-replication", "yes".into()),
        ]
    }

    /// The options of a server on this port, as arguments.
    pub(crate) fn server(&self, port: u16) -> Vec<String> {
        let mut arguments: Vec<_> =
            self.tls(port).into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        let (user, password) = (Self::USER, format!(">{}", Self::PASSWORD));
        arguments.extend(
            ["--user", user, "on", &password, "~*", "&*", "+@all", "--user", "default", "off"]
                .map(str::to_owned),
        );
        arguments.extend(["--masteruser", user, "--masterauth", Self::PASSWORD].map(str::to_owned));
        arguments
    }

    /// The lines of a Sentinel's file.
    pub(crate) fn sentinel(&self, port: u16, primary_name: &str) -> Vec<String> {
        let tls = self.tls(port).into_iter().map(|(name, value)| format!("{name} {value}"));
        let logins = [
            format!("sentinel auth-user {primary_name} {}", Self::USER),
            format!("sentinel auth-pass {primary_name} {}", Self::PASSWORD),
            format!("requirepass {}", Self::SENTINEL_PASSWORD),
            format!("sentinel sentinel-pass {}", Self::SENTINEL_PASSWORD),
        ];
        tls.chain(logins).collect()
    }

    /// What redis-cli needs to be let in to a server.
    pub(crate) fn cli(&self) -> Vec<String> {
        self.cli_with(&["--user", Self::USER, "--pass", Self::PASSWORD])
    }

    /// What redis-cli needs to be let in to a Sentinel.
    pub(crate) fn sentinel_cli(&self) -> Vec<String> {
        self.cli_with(&["--pass", Self::SENTINEL_PASSWORD])
    }

    fn cli_with(&self, login: &[&str]) -> Vec<String> {
        let certificates = &self.certificates;
        let (ca, certificate, key) =
            (text(&certificates.ca()), text(&certificates.certificate()), text(&certificates.key()));
        let tls = ["--tls", "--no-auth-warning", "--cacert", &ca, "--cert", &certificate, "--key", &key];
        tls.iter().chain(login).map(ToString::to_string).collect()
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
