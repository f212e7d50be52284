//! The house rules that ARCHITECTURE.md states, checked.

use std::{fs, path::Path};

const ROLES: [&str; 5] = ["idgen", "ticket", "spear", "stat", "minions-ui"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The members of the workspace, as their manifests name their dependencies.
fn members() -> Vec<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("a manifest");
    let members = manifest["workspace"]["members"].as_array().expect("a list").clone();
    members
        .iter()
        .filter_map(|member| member.as_str())
        .filter(|member| *member != ".")
        .map(Into::into)
        .collect()
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let architecture = read("ARCHITECTURE.md");
    let is_path = |text: &&str| {
        text.contains('/')
            && !text.contains(' ')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c))
    };
    let named: Vec<&str> = architecture.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(named.len() > 20, "the code map names paths: {named:?}");
    let missing: Vec<_> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what does not exist: {missing:?}");
}

#[test]
fn roles_never_import_one_another() {
    for role in ROLES {
        let manifest: toml::Table = read(&format!("{role}/Cargo.toml")).parse().expect("a manifest");
        for table in ["dependencies", "dev-dependencies"] {
            let Some(dependencies) = manifest.get(table).and_then(|table| table.as_table()) else { continue };
            let other = dependencies.keys().find(|name| ROLES.contains(&name.as_str()) && *name != role);
            assert!(other.is_none(), "{role} imports the role {other:?}");
        }
    }
}

#[test]
fn no_crate_is_a_drawer_for_everything() {
    for member in members() {
        assert!(!["common", "utils", "util", "shared", "core"].contains(&member.as_str()), "{member}");
    }
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    for member in members() {
        let manifest = read(&format!("{member}/Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{member} does not");
    }
}

#[test]
fn the_socket_io_library_is_known_in_one_folder_only() {
    let mut folders = vec![root().join("spear/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                if !entry.ends_with("spear/src/socket") {
                    folders.push(entry);
                }
            } else {
                let text = fs::read_to_string(&entry).expect("text");
                assert!(!text.contains("engineioxide"), "{} names the library", entry.display());
            }
        }
    }
}

#[test]
fn every_role_documents_its_settings() {
    for role in ROLES {
        let settings = read(&format!("profiles/default/{role}.toml"));
        assert!(settings.contains(&format!("[{role}]\n")), "{role}.toml has no [{role}]");
        assert!(
            settings.lines().filter(|line| line.starts_with('#')).count() > 5,
            "{role}.toml explains nothing"
        );
    }
}
