//! What the settings say about ZooKeeper and Redis, in the words of the crates that use them.

use std::{fs, path::Path, time::Duration};

use redis_link::{Mode, Tls, TlsError, TlsFiles, Wait};
use roster::ZooKeeperOptions;

use crate::{RedisMode, RedisSettings, RedisTlsSettings, Secret, ZooKeeperSettings, cluster::ClusterError};

/// For how long a `cid` is remembered (CONTRACT §3).
const CID_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that one attempt to connect to Redis may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn zookeeper(settings: &ZooKeeperSettings) -> ZooKeeperOptions {
    let session_timeout = Duration::from_millis(settings.session_timeout_ms);
    ZooKeeperOptions {
        servers: settings.servers.clone(),
        chroot: settings.chroot.clone(),
        root: settings.root.clone(),
        session_timeout,
        user: settings.user.clone(),
        password: settings.password.expose().to_owned(),
        // Whoever waits longer than a session lasts has lost it.
        operation_timeout: session_timeout,
    }
}

/// Reads the files that the settings name; `table` is where these stand.
///
/// # Errors
/// [`ClusterError::File`]: one cannot be used.
pub(crate) fn redis(table: &str, settings: &RedisSettings) -> Result<redis_link::RedisOptions, ClusterError> {
    let secret = |key: &str, here: &Secret, file: &Path| password(&format!("{table}.{key}_file"), here, file);
    let password = secret("password", &settings.password, &settings.password_file)?;
    let sentinel_password =
        secret("sentinel_password", &settings.sentinel_password, &settings.sentinel_password_file)?;
    let response_timeout = Duration::from_millis(settings.response_timeout_ms);
    Ok(redis_link::RedisOptions {
        mode: match settings.mode {
            RedisMode::Single => Mode::Single,
            RedisMode::Sentinel => Mode::Sentinel,
            RedisMode::Cluster => Mode::Cluster,
        },
        servers: settings.servers.clone(),
        primary_name: settings.primary_name.clone(),
        lease: settings.sentinel_lease,
        tls: tls(table, &settings.tls)?,
        user: settings.user.clone(),
        password,
        sentinel_user: settings.sentinel_user.clone(),
        sentinel_password,
        database: settings.database,
        connect_timeout: CONNECT_TIMEOUT.min(response_timeout),
        response_timeout,
        full_timeout: Duration::from_millis(settings.full_timeout_ms),
    })
}

fn tls(table: &str, settings: &RedisTlsSettings) -> Result<Option<Tls>, ClusterError> {
    if !settings.enabled {
        return Ok(None);
    }
    let files = TlsFiles {
        ca: settings.ca_file.clone(),
        certificate: settings.certificate_file.clone(),
        key: settings.key_file.clone(),
    };
    let unusable = |error: TlsError| {
        let (key, problem) = match error {
            TlsError::Ca { why } => ("ca_file", why),
            TlsError::Certificate { why } => ("certificate_file", why),
            TlsError::Key { why } => ("key_file", why),
        };
        ClusterError::File { key: format!("{table}.tls.{key}"), problem }
    };
    Tls::read(&files).map(Some).map_err(unusable)
}

fn password(key: &str, here: &Secret, file: &Path) -> Result<String, ClusterError> {
    if file.as_os_str().is_empty() {
        return Ok(here.expose().to_owned());
    }
    let unusable = |problem: String| ClusterError::File {
        key: key.to_owned(),
        problem: format!("{}: {problem}", file.display()),
    };
    let text = fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    match text.trim() {
        "" => Err(unusable("it is empty".into())),
        text => Ok(text.to_owned()),
    }
}

pub(crate) fn redis_store(settings: &RedisSettings) -> Result<store::RedisOptions, ClusterError> {
    let timeout = Duration::from_millis(settings.wait_timeout_ms);
    Ok(store::RedisOptions {
        link: redis("redis", settings)?,
        prefix: settings.key_prefix.clone(),
        wait: (settings.wait_replicas > 0).then_some(Wait { replicas: settings.wait_replicas, timeout }),
        cid_retention: CID_RETENTION,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(settings: &RedisSettings) -> String {
        redis("relay.redis", settings).expect_err("this cannot be used").to_string()
    }

    #[test]
    fn a_password_may_stand_in_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("password");
        let settings = RedisSettings { password_file: file.clone(), ..RedisSettings::default() };
        let begins = format!("relay.redis.password_file: {}: ", file.display());
        assert!(refusal(&settings).starts_with(&begins), "{}", refusal(&settings));
        fs::write(&file, "\n").expect("written");
        assert_eq!(refusal(&settings), format!("{begins}it is empty"));
        fs::write(&file, "secret\n").expect("written");
        assert_eq!(redis("redis", &settings).expect("a file").password, "secret");
    }

    #[test]
    fn a_bad_file_is_named_with_its_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file.pem");
        let tls = |tls: RedisTlsSettings| RedisSettings {
            tls: RedisTlsSettings { enabled: true, ..tls },
            ..RedisSettings::default()
        };
        let ca = tls(RedisTlsSettings { ca_file: file.clone(), ..RedisTlsSettings::default() });
        let begins = format!("relay.redis.tls.ca_file: {}", file.display());
        assert_eq!(refusal(&ca), format!("{begins}: No such file or directory (os error 2)"));
        fs::write(&file, "no certificate").expect("written");
        assert_eq!(refusal(&ca), format!("{begins} holds no certificate (PEM)"));
        let off = RedisSettings {
            tls: RedisTlsSettings { ca_file: file, ..RedisTlsSettings::default() },
            ..RedisSettings::default()
        };
        assert!(redis("redis", &off).expect("nothing is read").tls.is_none());
    }
}
