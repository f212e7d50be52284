//! The files of a profile.

use std::{
    fs,
    path::{Path, PathBuf},
};

use wire::Role;

use super::{Brokers, SettingsError, error::did_you_mean};

/// The tables of `cluster.toml`, before those of brokers and `[webhooks]`.
const SHARED_TABLES: [&str; 9] =
    ["instance", "cluster", "log", "jwt", "roster", "store", "relay", "zookeeper", "redis"];

/// The profile that holds every setting.
const DEFAULT: &str = "default";

/// All tables of the tree.
pub(super) fn tables() -> impl Iterator<Item = &'static str> {
    shared_tables().chain(Role::ALL.map(Role::as_str))
}

/// Those of `cluster.toml`.
fn shared_tables() -> impl Iterator<Item = &'static str> {
    SHARED_TABLES.into_iter().chain(Brokers::TABLES.iter().copied()).chain(["webhooks"])
}

/// The files of the profile `name` in the order in which they are laid over one another, each checked for its tables.
pub(super) fn files(profiles: &Path, name: &str) -> Result<Vec<PathBuf>, SettingsError> {
    let defaults = profiles.join(DEFAULT);
    if !defaults.is_dir() {
        let message = format!(
            "{}: no such directory: set --profiles to the directory that holds `default`",
            defaults.display()
        );
        return Err(SettingsError::plain(message));
    }
    let directory = profiles.join(name);
    if !is_name(name) || !directory.is_dir() {
        return Err(unknown_profile(profiles, name));
    }
    let mut files = Vec::new();
    for file in names() {
        let path = defaults.join(&file);
        if !path.is_file() {
            return Err(SettingsError::plain(format!("{}: this file is missing", path.display())));
        }
        files.push(path);
    }
    if name != DEFAULT {
        files.extend(present(&directory)?);
    }
    for file in &files {
        check_tables(file)?;
    }
    Ok(files)
}

/// The profiles that can be named.
fn known(profiles: &Path) -> Vec<String> {
    let entries = fs::read_dir(profiles).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_name(name))
        .collect();
    names.sort();
    names
}

fn unknown_profile(profiles: &Path, name: &str) -> SettingsError {
    let known = known(profiles);
    let hint =
        did_you_mean(name, known.iter().map(String::as_str)).map(|near| format!("; did you mean {near}?"));
    SettingsError::plain(format!(
        "{}: there is no profile {name:?}; expected one of {}{}",
        profiles.display(),
        known.join(", "),
        hint.unwrap_or_default(),
    ))
}

/// A name is a directory's name, not a way out of it.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn names() -> impl Iterator<Item = String> {
    std::iter::once("cluster").chain(Role::ALL.map(Role::as_str)).map(|stem| format!("{stem}.toml"))
}

/// Which files a profile has; a TOML file of another name would be ignored without a word, so it is refused.
fn present(directory: &Path) -> Result<Vec<PathBuf>, SettingsError> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !names().any(|known| known == name) {
            let expected = names().collect::<Vec<_>>().join(", ");
            let message = format!("{}: unknown file, expected one of {expected}", entry.path().display());
            return Err(SettingsError::plain(message));
        }
    }
    Ok(names().map(|name| directory.join(name)).filter(|path| path.is_file()).collect())
}

/// A file holds its own tables only, so that a setting is found where its name says.
fn check_tables(file: &Path) -> Result<(), SettingsError> {
    let place = file.display();
    let text = fs::read_to_string(file).map_err(|error| SettingsError::plain(format!("{place}: {error}")))?;
    let content: toml::Table = toml::from_str(&text)
        .map_err(|error| SettingsError::plain(format!("{place}: {}", error.to_string().trim_end())))?;
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let allowed: Vec<&str> = if stem == "cluster" { shared_tables().collect() } else { vec![stem] };
    for (key, value) in &content {
        if !allowed.contains(&key.as_str()) {
            let hint = did_you_mean(key, allowed.iter().copied()).map_or_else(
                || format!("expected [{}]", allowed.join("], [")),
                |near| format!("did you mean [{near}]?"),
            );
            return Err(SettingsError::plain(format!("{place}: {key}: unknown table, {hint}")));
        }
        if !value.is_table() {
            return Err(SettingsError::plain(format!("{place}: {key}: expected a table, [{key}]")));
        }
    }
    Ok(())
}
