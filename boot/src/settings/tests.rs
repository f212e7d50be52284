//! The loader against profiles on disk.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use tempfile::TempDir;
use wire::Role;

use super::{RelayKind, SettingsError, Tree, load};

/// As a role would have it: some of the node's keys, a table of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    id: String,
    port: u16,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    body_bytes: usize,
}

const CLUSTER: &str = r#"
    [instance]
    namespace = ""
    port_offset = 0
    [cluster]
    embedded = true
    data_dir = "data"
    secret = ""
    ticket_key = ""
    on_zookeeper_loss = "unique"
    [log]
    format = "pretty"
    level = "info"
    [jwt]
    hs256_secret = ""
    hs256_secret_file = ""
    public_key_file = ""
    jwks_file = ""
    issuer = ""
    audience = ""
    leeway_ms = 5000
    [roster]
    kind = "embedded"
    [store]
    kind = "sqlite"
    [relay]
    kind = "embedded"
    [zookeeper]
    servers = ["127.0.0.1:2181"]
    chroot = ""
    root = "/phalanx"
    session_timeout_ms = 6000
    user = ""
    password = ""
    [redis]
    mode = "single"
    servers = ["127.0.0.1:6379"]
    primary_name = "mymaster"
    sentinel_lease = true
    user = ""
    password = ""
    password_file = ""
    sentinel_user = ""
    sentinel_password = ""
    sentinel_password_file = ""
    database = 0
    key_prefix = "phalanx"
    response_timeout_ms = 2000
    full_timeout_ms = 2000
    wait_replicas = 0
    wait_timeout_ms = 1000
    [kafka]
    servers = ["127.0.0.1:9092"]
    topic_prefix = "phalanx-relay-"
    replication_factor = 1
    retention_ms = 60000
    acks = "leader"
    linger_ms = 0
    publish_timeout_ms = 2000
    response_timeout_ms = 2000
    security = "plaintext"
    ca_file = ""
    mechanism = "PLAIN"
    user = ""
    password = ""
    [rocketmq]
    name_servers = ["127.0.0.1:9876"]
    topic_prefix = "phalanx-relay-"
    publish_timeout_ms = 2000
    response_timeout_ms = 2000
"#;

fn role_file(role: Role) -> String {
    format!(
        r#"
        [{role}]
        instances = 2
        id = "{role}-++"
        host = "127.0.0.1"
        port = "30001++"
        public_url = ""
        weight = 1
        drain_timeout_ms = 1000
        [{role}.admin]
        host = "127.0.0.1"
        port = "30501++"
        [{role}.limits]
        body_bytes = 1024
        "#
    )
}

/// A directory with `default` and the profile `mine`, whose files are given.
fn profiles(mine: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |profile: &str, file: &str, text: &str| {
        fs::create_dir_all(directory.path().join(profile)).expect("a directory");
        fs::write(directory.path().join(profile).join(file), text).expect("a file");
    };
    write("default", "cluster.toml", CLUSTER);
    for role in Role::ALL {
        write("default", &format!("{role}.toml"), &role_file(role));
    }
    fs::create_dir_all(directory.path().join("mine")).expect("a directory");
    for (file, text) in mine {
        write("mine", file, text);
    }
    directory
}

fn load_with(directory: &Path, environment: &[(&str, &str)]) -> Result<Tree, SettingsError> {
    let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Tree::load(directory, "mine", environment)
}

fn spear(directory: &TempDir, instance: u32) -> Result<Settings, SettingsError> {
    load_with(directory.path(), &[])?.role(Role::Spear, instance)
}

fn refusal<T: std::fmt::Debug>(result: Result<T, SettingsError>) -> String {
    result.expect_err("this cannot be used").to_string()
}

#[test]
fn a_profile_overrides_the_defaults_and_the_environment_both() {
    let directory = profiles(&[("spear.toml", "[spear.limits]\nbody_bytes = 2048")]);
    assert_eq!(spear(&directory, 0).expect("good").limits.body_bytes, 2048);
    let tree = load_with(
        directory.path(),
        &[("PHALANX__SPEAR__LIMITS__BODY_BYTES", "4096"), ("PHALANX_OTHER", "1")],
    );
    let settings: Settings = load(&tree.expect("good"), "spear").expect("good");
    assert_eq!(settings.limits.body_bytes, 4096);
}

#[test]
fn instances_get_ids_and_ports_that_follow_and_the_offset_counts_for_all_ports() {
    let directory = profiles(&[("cluster.toml", "[instance]\nnamespace = \"mine\"\nport_offset = 1000")]);
    let second = spear(&directory, 1).expect("good");
    assert_eq!((second.id.as_str(), second.port), ("spear-2", 31002));
    let tree = load_with(directory.path(), &[]).expect("good");
    assert_eq!(tree.node(Role::Spear, 1).expect("good").admin.port, 31502);
    assert_eq!(tree.shared().data_dir(), Path::new("data/mine"));
}

#[test]
fn the_role_with_a_dash_has_a_variable_too() {
    let directory = profiles(&[]);
    let tree = load_with(directory.path(), &[("PHALANX__MINIONS_UI__PORT", "7++")]).expect("good");
    assert_eq!(tree.node(Role::MinionsUi, 1).expect("good").port, 8);
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_probable_one() {
    let directory = profiles(&[("spear.toml", "[spear.limits]\nbody_byts = 2048")]);
    let message = refusal(spear(&directory, 0));
    let expected = "mine/spear.toml: spear.limits.body_byts: unknown key, did you mean body_bytes?";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn an_unknown_key_of_a_shared_table_is_named() {
    let directory = profiles(&[("cluster.toml", "[log]\ncolour = true")]);
    let message = refusal(load_with(directory.path(), &[]));
    assert!(
        message.ends_with("mine/cluster.toml: log.colour: unknown key, expected one of format, level"),
        "{message}"
    );
}

#[test]
fn an_unknown_table_file_and_variable_are_named() {
    let directory = profiles(&[("spear.toml", "[spaer]\nport = 1")]);
    let message = refusal(spear(&directory, 0));
    assert!(message.ends_with("mine/spear.toml: spaer: unknown table, did you mean [spear]?"), "{message}");

    let directory = profiles(&[("spaer.toml", "")]);
    let message = refusal(spear(&directory, 0));
    assert!(
        message.contains("mine/spaer.toml: unknown file, expected one of cluster.toml, idgen.toml"),
        "{message}"
    );

    let message = refusal(load_with(profiles(&[]).path(), &[("PHALANX__SPAER__PORT", "1")]));
    assert_eq!(
        message,
        "environment variable PHALANX__SPAER__PORT: unknown table \"spaer\", did you mean spear?"
    );
}

#[test]
fn a_bad_value_says_what_was_expected() {
    let table: BTreeMap<&str, &str> = BTreeMap::from([
        (
            "[spear]\nport = \"door\"",
            "spear.port: expected a number from 0 to 65535, or \"30001++\" for instances on ports that follow, got \"door\"",
        ),
        (
            "[spear]\nport = 65536\ninstances = 1",
            "spear.port: expected a number from 0 to 65535, or \"30001++\" for instances on ports that follow, got \"65536\"",
        ),
        ("[spear]\nport = 30001", "spear.port: expected \"30001++\": there are 2 instances"),
        (
            "[spear]\nid = \"lance\"",
            "spear.id: expected ++ where the number goes, as in \"lance-++\": there are 2 instances",
        ),
        (
            "[spear.limits]\nbody_bytes = \"many\"",
            "spear.limits.body_bytes: expected a whole number, 0 or more, got \"many\"",
        ),
        ("[spear]\ninstances = -1", "spear.instances: expected a whole number from 0 to 1000"),
        ("[spear]\nlimits = 3", "spear.limits: expected a table, got 3"),
    ]);
    for (text, expected) in table {
        let directory = profiles(&[("spear.toml", text)]);
        let message = refusal(spear(&directory, 0));
        assert!(message.ends_with(&format!("mine/spear.toml: {expected}")), "{text}: {message}");
    }
}

#[test]
fn what_each_host_must_set_is_named_where_it_is_missing() {
    let table = BTreeMap::from([
        ("id = \"set MY_ID\"", "id: expected 1 to 64 of A-Z a-z 0-9 _ . : @ -, got \"set MY_ID\""),
        ("host = \"set MY_HOST\"", "host: expected an address or a host name, got \"set MY_HOST\""),
        ("admin.host = \"\"", "admin.host: expected an address or a host name, got \"\""),
        (
            "public_url = \"set MY_URL\"",
            "public_url: expected http(s)://host:port, or nothing, got \"set MY_URL\"",
        ),
        (
            "public_url = \"https://\"",
            "public_url: expected http(s)://host:port, or nothing, got \"https://\"",
        ),
    ]);
    for (line, expected) in table {
        let directory = profiles(&[("spear.toml", &format!("[spear]\ninstances = 1\n{line}"))]);
        let message = refusal(load_with(directory.path(), &[]).and_then(|tree| tree.node(Role::Spear, 0)));
        assert!(message.ends_with(&format!("mine/spear.toml: spear.{expected}")), "{line}: {message}");
    }
}

#[test]
fn a_user_of_a_server_needs_a_password() {
    for (table, name, more) in [
        ("zookeeper", "ZOOKEEPER", ""),
        ("redis", "REDIS", ""),
        ("kafka", "KAFKA", "security = \"sasl_plaintext\""),
    ] {
        let directory = profiles(&[("cluster.toml", &format!("[{table}]\nuser = \"phalanx\"\n{more}"))]);
        let variable = format!("PHALANX__{name}__PASSWORD");
        let message = refusal(load_with(directory.path(), &[]));
        assert!(message.contains(&format!("{table}.password")) && message.contains(&variable), "{message}");
        load_with(directory.path(), &[(&variable, "a password")]).expect("both");
    }
}

#[test]
fn the_user_at_the_sentinels_needs_a_password_too_and_a_file_may_hold_it() {
    for (table, variable) in [("redis", "REDIS"), ("relay.redis", "RELAY__REDIS")] {
        let directory = profiles(&[("cluster.toml", &format!("[{table}]\nsentinel_user = \"watcher\""))]);
        let message = refusal(load_with(directory.path(), &[]));
        let expected =
            format!("PHALANX__{variable}__SENTINEL_PASSWORD, or name a file in sentinel_password_file");
        assert!(message.contains(&format!(": {table}.sentinel_password: ")), "{message}");
        assert!(message.ends_with(&expected), "{message}");
        let file = format!("PHALANX__{variable}__SENTINEL_PASSWORD_FILE");
        load_with(directory.path(), &[(&file, "/somewhere")]).expect("both");
    }
}

#[test]
fn a_bad_setting_of_redis_is_named() {
    let table = BTreeMap::from([
        ("password = \"a\"\npassword_file = \"b\"", "password: expected it either here or in password_file"),
        ("tls.ca_file = \"ca.pem\"", "tls.ca_file: expected none: tls.enabled is false"),
        (
            "tls = {enabled = true, certificate_file = \"c.pem\"}",
            "tls.key_file: expected the key of tls.certificate_file",
        ),
        (
            "tls = {enabled = true, key_file = \"k.pem\"}",
            "tls.certificate_file: expected the certificate of tls.key_file",
        ),
        ("tls.cafile = \"ca.pem\"", "tls.cafile: unknown key, did you mean ca_file?"),
        ("servers = [\"nowhere\"]", "servers: expected host:port, got \"nowhere\""),
    ]);
    for (line, expected) in table {
        for table in ["redis", "relay.redis"] {
            let directory = profiles(&[("cluster.toml", &format!("[{table}]\n{line}"))]);
            let message = refusal(load_with(directory.path(), &[]));
            assert!(
                message.ends_with(&format!("mine/cluster.toml: {table}.{expected}")),
                "{line}: {message}"
            );
        }
    }
    let directory = profiles(&[("cluster.toml", "[relay]\nredis = 3")]);
    let message = refusal(load_with(directory.path(), &[]));
    assert!(message.ends_with("mine/cluster.toml: relay.redis: expected a table, got 3"), "{message}");
}

#[test]
fn what_the_redis_of_the_relay_does_not_say_is_as_the_store_s() {
    let store = "[redis]\nservers = [\"a:1\"]\nuser = \"me\"\npassword_file = \"/a\"\n\
                 tls = {enabled = true, ca_file = \"ca.pem\"}\n";
    let relay = |more: &str| {
        let directory = profiles(&[("cluster.toml", &format!("{store}{more}"))]);
        load_with(directory.path(), &[]).expect("good").shared().clone().relay.redis
    };
    let same = relay("");
    assert_eq!((same.servers.as_slice(), same.user.as_str()), (["a:1".to_owned()].as_slice(), "me"));
    assert!(same.tls.enabled && same.password_file == Path::new("/a"));
    let other = relay("[relay.redis]\nservers = [\"b:2\"]\npassword = \"p\"\ntls = {}\n");
    assert_eq!((other.servers.as_slice(), other.user.as_str()), (["b:2".to_owned()].as_slice(), "me"));
    assert_eq!((other.password.expose(), other.password_file.as_path()), ("p", Path::new("")));
    assert!(!other.tls.enabled && other.tls.ca_file == Path::new(""), "TLS stands for itself");
    assert_eq!(other.response_timeout_ms, same.response_timeout_ms);
    let quick = relay("[relay.redis]\nresponse_timeout_ms = 500\n");
    assert_eq!(quick.response_timeout_ms, 500, "for how long a WAIT may last means nothing here");
}

#[test]
fn a_bad_setting_of_kafka_is_named() {
    let table = BTreeMap::from([
        ("servers = [\"nowhere\"]", "servers: expected host:port, got \"nowhere\""),
        ("topic_prefix = \"a/b\"", "topic_prefix: expected 1 to 50 of A-Z a-z 0-9 . _ -, got \"a/b\""),
        ("replication_factor = 0", "replication_factor: expected 1 to 10, got 0"),
        ("retention_ms = 1", "retention_ms: expected 10000 to 604800000, got 1"),
        ("linger_ms = 101", "linger_ms: expected 0 to 100, got 101"),
        ("publish_timeout_ms = 1", "publish_timeout_ms: expected 100 to 60000, got 1"),
        ("response_timeout_ms = 1", "response_timeout_ms: expected 100 to 60000, got 1"),
        ("security = \"sasl_plaintext\"", "user: expected a user: security has SASL"),
        ("ca_file = \"ca.pem\"", "ca_file: expected none: security has no TLS"),
        (
            "linger_ms = 100\npublish_timeout_ms = 100",
            "linger_ms: expected less than publish_timeout_ms (100), got 100",
        ),
    ]);
    for (line, expected) in table {
        let directory = profiles(&[("cluster.toml", &format!("[kafka]\n{line}"))]);
        let message = refusal(load_with(directory.path(), &[]));
        assert!(message.ends_with(&format!("kafka.{expected}")), "{line}: {message}");
    }
}

#[test]
fn the_relay_over_rocketmq_is_for_clusters_of_several_processes() {
    let several = "[cluster]\nembedded = false\n[roster]\nkind = \"zookeeper\"\n[store]\nkind = \"redis\"\n[relay]\nkind = ";
    let directory = profiles(&[("cluster.toml", &format!("{several}\"rocketmq\""))]);
    let tree = load_with(directory.path(), &[]).expect("read");
    assert_eq!(tree.shared().relay.kind, RelayKind::RocketMq);
    let directory = profiles(&[("cluster.toml", &format!("{several}\"embedded\""))]);
    let message = refusal(load_with(directory.path(), &[]));
    let expected = "relay.kind: expected \"redis\", \"kafka\" or \"rocketmq\": cluster.embedded is false";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn a_relay_that_was_left_out_is_refused_and_its_table_is_not() {
    let several = "[cluster]\nembedded = false\n[roster]\nkind = \"zookeeper\"\n[store]\nkind = \"redis\"\n";
    let text = format!("{several}[relay]\nkind = \"kafka\"\n[kafka]\nacks = \"all\"");
    let directory = profiles(&[("cluster.toml", &text)]);
    let read = load_with(directory.path(), &[]);
    if cfg!(feature = "kafka") {
        assert_eq!(read.expect("it is there").shared().relay.kind, RelayKind::Kafka);
        return;
    }
    let message = refusal(read);
    let expected = "relay.kind: Kafka is not in this program: build it with --features kafka";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn a_bad_setting_of_rocketmq_is_named() {
    let long = format!("topic_prefix = \"{}\"", "x".repeat(51));
    let too_long = format!("topic_prefix: expected 1 to 50 of A-Z a-z 0-9 _ -, got \"{}\"", "x".repeat(51));
    let table = BTreeMap::from([
        ("name_servers = [\"nowhere\"]", "name_servers: expected host:port, got \"nowhere\""),
        ("name_servers = []", "name_servers: expected at least one host:port"),
        ("topic_prefix = \"a.b\"", "topic_prefix: expected 1 to 50 of A-Z a-z 0-9 _ -, got \"a.b\""),
        ("topic_prefix = \"\"", "topic_prefix: expected 1 to 50 of A-Z a-z 0-9 _ -, got \"\""),
        (&long, &too_long),
        ("publish_timeout_ms = 99", "publish_timeout_ms: expected 100 to 60000, got 99"),
        ("response_timeout_ms = 60001", "response_timeout_ms: expected 100 to 60000, got 60001"),
        ("name_server = []", "name_server: unknown key, did you mean name_servers?"),
    ]);
    for (line, expected) in table {
        let directory = profiles(&[("cluster.toml", &format!("[rocketmq]\n{line}"))]);
        let message = refusal(load_with(directory.path(), &[]));
        assert!(message.ends_with(&format!("rocketmq.{expected}")), "{line}: {message}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    let directory = profiles(&[]);
    let tree = load_with(directory.path(), &[("PHALANX__SPEAR__LIMITS__BODY_BYTES", "many")]).expect("read");
    let message = refusal(tree.role::<Settings>(Role::Spear, 0));
    assert!(
        message
            .starts_with("environment variable PHALANX__SPEAR__LIMITS__BODY_BYTES: spear.limits.body_bytes:"),
        "{message}"
    );
}

#[test]
fn an_offset_that_leaves_the_range_is_refused() {
    let directory = profiles(&[("cluster.toml", "[instance]\nport_offset = 40000")]);
    let message = refusal(spear(&directory, 0));
    assert!(
        message.contains("make 70501, which is over 65535")
            || message.contains("make 70001, which is over 65535"),
        "{message}"
    );
}

#[test]
fn a_missing_key_names_the_file_that_should_hold_it() {
    let directory = profiles(&[]);
    fs::write(
        directory.path().join("default/spear.toml"),
        role_file(Role::Spear).replace("body_bytes = 1024", ""),
    )
    .expect("a file");
    let message = refusal(spear(&directory, 0));
    assert!(
        message.ends_with("default/spear.toml: spear.limits.body_bytes: this key is missing"),
        "{message}"
    );
}

#[test]
fn a_missing_profile_lists_those_that_there_are() {
    let directory = profiles(&[]);
    let message = refusal(Tree::load(directory.path(), "main", []));
    assert!(
        message.ends_with("there is no profile \"main\"; expected one of default, mine; did you mean mine?"),
        "{message}"
    );
    assert!(refusal(Tree::load(directory.path(), "../mine", [])).contains("there is no profile"));
}

#[test]
fn a_missing_default_file_is_named() {
    let directory = profiles(&[]);
    fs::remove_file(directory.path().join("default/ticket.toml")).expect("it was there");
    assert!(refusal(spear(&directory, 0)).ends_with("default/ticket.toml: this file is missing"));
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    let directory = profiles(&[("spear.toml", "[spear]\nport = = 1")]);
    let message = refusal(spear(&directory, 0));
    assert!(message.contains("mine/spear.toml: TOML parse error at line 2"), "{message}");
}

#[test]
fn the_printed_tree_masks_secrets() {
    let directory = profiles(&[(
        "cluster.toml",
        "[cluster]\nsecret = \"very secret\"\nticket_key = \"very secret too\"\n\
         [redis]\npassword = \"very secret\"\nsentinel_password = \"very secret\"\n\
         [kafka]\nsecurity = \"sasl_plaintext\"\nuser = \"phalanx\"\npassword = \"very secret\"\n\
         [relay.redis]\npassword = \"very secret\"\nsentinel_password = \"very secret\"",
    )]);
    let tree = load_with(directory.path(), &[]).expect("good");
    for text in
        [tree.to_toml().expect("printed"), tree.to_json().expect("printed"), format!("{:?}", tree.shared())]
    {
        assert!(!text.contains("very secret"), "{text}");
        assert!(text.contains("***"), "{text}");
    }
}
